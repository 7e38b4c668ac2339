package coordinator

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// A Memory is a data directory without files: it is fast, and a node that starts again
// finds what it has kept.
type Memory struct {
	log       *raft.InmemStore
	snapshots *album
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return &Memory{log: raft.NewInmemStore(), snapshots: &album{}} }

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

// An album holds the last snapshot that was finished. Raft's own store in memory shows
// one before that.
type album struct {
	mu   sync.Mutex
	made int
	last *picture
}

type picture struct {
	bytes.Buffer
	meta  raft.SnapshotMeta
	album *album
}

var _ raft.SnapshotStore = (*album)(nil)

func (a *album) Create(v raft.SnapshotVersion, index, term uint64, all raft.Configuration, at uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made++
	return &picture{album: a, meta: raft.SnapshotMeta{
		Version: v, ID: fmt.Sprint(a.made), Index: index, Term: term, Configuration: all, ConfigurationIndex: at,
	}}, nil
}

func (a *album) List() ([]*raft.SnapshotMeta, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		return nil, nil
	}
	meta := a.last.meta
	return []*raft.SnapshotMeta{&meta}, nil
}

func (a *album) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil || a.last.meta.ID != id {
		return nil, nil, fmt.Errorf("there is no snapshot %s any more", id)
	}
	meta := a.last.meta
	return &meta, io.NopCloser(bytes.NewReader(a.last.Bytes())), nil
}

func (p *picture) ID() string    { return p.meta.ID }
func (p *picture) Cancel() error { return nil }

func (p *picture) Close() error {
	p.album.mu.Lock()
	defer p.album.mu.Unlock()
	p.meta.Size, p.album.last = int64(p.Len()), p
	return nil
}
