package coordinator

import (
	"errors"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// A Memory is a data directory whose log is not in files: it is fast, and a node that
// starts again finds what it has kept.
type Memory struct {
	log       *raft.InmemStore
	snapshots raft.SnapshotStore
}

// NewMemory returns an empty Memory, whose snapshots are in dir.
func NewMemory(dir string) (*Memory, error) {
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, hclog.NewNullLogger())
	return &Memory{log: raft.NewInmemStore(), snapshots: snapshots}, err
}

// Keep has a Coordinator keep all in the Memory.
func (m *Memory) Keep(cfg *Config) {
	cfg.stored = func(s *stores) { s.logs, s.stable, s.snapshots = m.log, m.log, m.snapshots }
}

// Compact takes a snapshot, after which little is left of the log: whoever lacks more
// is sent the snapshot.
func (c *Coordinator) Compact() error {
	usual := c.raft.ReloadableConfig()
	short := usual
	// With less, entries that no other node has would be all that is left.
	short.TrailingLogs = 4 + c.raft.LastIndex() - min(c.raft.AppliedIndex(), c.raft.LastIndex())
	if err := c.raft.ReloadConfig(short); err != nil {
		return err
	}
	err := c.raft.Snapshot().Error()
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		err = nil
	}
	return errors.Join(err, c.raft.ReloadConfig(usual))
}

// LeadsIn returns the term in which the node takes itself for the leader, 0 if it
// does not.
func (c *Coordinator) LeadsIn() uint64 {
	before := c.raft.CurrentTerm()
	if c.raft.State() != raft.Leader || c.raft.CurrentTerm() != before {
		return 0
	}
	return before
}
