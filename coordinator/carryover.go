package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// ErrOccupied reports a data directory that is not empty.
var ErrOccupied = errors.New("the data directory is not empty")

// Save writes a snapshot of what the data directory of a node that does not run
// holds. Of the last commands in it nobody may know that a majority took them: whoever
// gave them was told so, or that the outcome is unknown.
func Save(ctx context.Context, dir string, to io.Writer) error {
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	st, err := openStores(ctx, Config{ID: "save", Dir: dir})
	if err != nil {
		return err
	}
	f, err := replay(st)
	if err = errors.Join(err, st.close()); err != nil {
		return err
	}
	return writeSnapshot(to, snapshot{sync: f.sync, index: f.index})
}

// replay applies all that is in a data directory.
func replay(st *stores) (*fsm, error) {
	f := newFSM()
	from, err := st.logs.FirstIndex()
	if err != nil {
		return nil, err
	}
	all, err := st.snapshots.List()
	if err != nil {
		return nil, err
	}
	if len(all) > 0 {
		_, rc, err := st.snapshots.Open(all[0].ID)
		if err != nil {
			return nil, fmt.Errorf("the newest snapshot: %w", err)
		}
		if err := f.Restore(rc); err != nil {
			return nil, err
		}
		if from > all[0].Index+1 {
			return nil, fmt.Errorf("%w: entries between %d and %d are missing", ErrDamaged, all[0].Index, from)
		}
		from = max(from, all[0].Index+1)
	}
	last, err := st.logs.LastIndex()
	if err != nil {
		return nil, err
	}
	if last == 0 && len(all) == 0 {
		return nil, errors.New("the data directory holds nothing")
	}
	for i := max(from, 1); i <= last; i++ {
		var entry raft.Log
		if err := st.logs.GetLog(i, &entry); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i, err)
		}
		if entry.Type == raft.LogCommand {
			_ = f.Apply(&entry) // what it returned was told to whoever gave the command
		}
	}
	return f, f.whyBroken()
}

// Restore makes the data directory of the first node of a new cluster out of a
// snapshot. Others join it with empty directories.
func Restore(ctx context.Context, dir, id, addr string, from io.Reader) (err error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s: %w", dir, ErrOccupied)
	}
	doc, err := readSnapshot(from)
	if err != nil {
		return err
	}
	st, err := openStores(ctx, Config{ID: id, Dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, hclog.NewNullLogger())
	if err != nil {
		return err
	}
	index := max(doc.Index, 1)
	all := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(id), Address: raft.ServerAddress(addr)}}}
	sink, err := snapshots.Create(raft.SnapshotVersionMax, index, 1, all, index, st.transport)
	if err != nil {
		return err
	}
	if err := (snapshot{sync: doc.Sync, index: doc.Index}).Persist(sink); err != nil {
		return err
	}
	return st.stable.SetUint64(termKey, 1)
}

// Snapshot writes a snapshot of the state, as of now.
func (c *Coordinator) Snapshot(ctx context.Context, to io.Writer) error {
	if err := c.CaughtUp(ctx); err != nil {
		return err
	}
	s, err := c.fsm.Snapshot()
	if err != nil {
		return err
	}
	taken, ok := s.(snapshot)
	if !ok {
		return fmt.Errorf("snapshot: it is a %T", s)
	}
	return writeSnapshot(to, taken)
}
