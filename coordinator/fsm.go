package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// ErrNewer reports a data directory, or another node, that has what only a newer
// version of the program can read. Nothing was lost.
var ErrNewer = errors.New("written by a newer version of shardferry: start this node with the version that the others run, or ran last")

// fsm adapts state.Sync to raft. It decodes, applies and snapshots; every rule
// about a sync lives in package state.
type fsm struct {
	mu      sync.Mutex
	sync    *state.Sync
	view    *state.Sync   // a copy of sync for readers, nil when it is outdated
	changed chan struct{} // closed at the next change
	index   uint64        // in the raft log, of the last command that was applied
	bytes   uint64        // of the commands that this process has applied
	broken  error         // why nothing is applied any more
	breaks  chan struct{} // closed when broken is set
}

var _ raft.FSM = (*fsm)(nil)

func newFSM() *fsm {
	return &fsm{sync: state.New(), changed: make(chan struct{}), breaks: make(chan struct{})}
}

// Apply implements raft.FSM. The result is nil or the error of the command.
//
// An entry that cannot be read is committed nevertheless. If it were skipped this
// copy would differ from the others, so that it stays as it is, and the node ends.
func (f *fsm) Apply(l *raft.Log) any {
	cmd, err := readEntry(l)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.end(fmt.Errorf("log entry %d cannot be read, and nothing from it on is applied; all is kept: %w", l.Index, err))
	}
	if f.broken != nil {
		return fmt.Errorf("%w: %w", shardferry.ErrOutcomeUnknown, f.broken)
	}
	err = cmd.Apply(f.sync)
	f.index = l.Index
	f.bytes += uint64(len(l.Data) + len(l.Extensions))
	f.announce()
	return err
}

// end lets nothing more be applied. The caller holds mu.
func (f *fsm) end(why error) {
	if f.broken == nil {
		f.broken = why
		close(f.breaks)
	}
}

// whyBroken returns why nothing is applied any more, and nil as long as it is.
func (f *fsm) whyBroken() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken
}

// watch returns an error when the node has to end.
func (f *fsm) watch(ctx context.Context) error {
	select {
	case <-f.breaks:
		return f.whyBroken()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Snapshot implements raft.FSM. It copies, so that Persist may run beside Apply.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return nil, f.broken // raft counts as applied what was not
	}
	return snapshot{f.look(), f.index}, nil
}

// Restore implements raft.FSM. It replaces the state; it never adds to it. After
// one snapshot that cannot be read no other is taken: the log no longer begins
// where an older one ends.
func (f *fsm) Restore(rc io.ReadCloser) (err error) {
	defer func() { err = errors.Join(err, rc.Close()) }()
	if err := f.whyBroken(); err != nil {
		return err
	}
	restored, err := readSnapshot(rc)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.end(fmt.Errorf("the snapshot cannot be read, and nothing is applied; all is kept: %w", err))
		return f.broken
	}
	f.sync, f.index = restored.Sync, restored.Index
	f.announce()
	return nil
}

// read returns a copy of the state that nobody changes, and a channel that is
// closed when there is a newer one.
func (f *fsm) read() (*state.Sync, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.look(), f.changed
}

// look is read for a caller that holds mu.
func (f *fsm) look() *state.Sync {
	if f.view == nil {
		f.view = f.sync.Clone()
	}
	return f.view
}

// applied returns the index of the last command that was applied.
func (f *fsm) applied() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.index
}

// volume returns how many bytes of commands this process has applied.
func (f *fsm) volume() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes
}

// reached waits until the command with this index is applied here.
func (f *fsm) reached(ctx context.Context, index uint64) error {
	for {
		f.mu.Lock()
		at, changed := f.index, f.changed
		f.mu.Unlock()
		if at >= index {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// announce tells readers that the state has changed. The caller holds mu.
func (f *fsm) announce() {
	f.view = nil
	close(f.changed)
	f.changed = make(chan struct{})
}
