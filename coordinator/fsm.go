package coordinator

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/coordinator/state"
)

// fsm adapts state.Sync to raft. It decodes, applies and snapshots; every rule
// about a sync lives in package state.
type fsm struct {
	mu      sync.Mutex
	sync    *state.Sync
	view    *state.Sync   // a copy of sync for readers, nil when it is outdated
	changed chan struct{} // closed at the next change
}

var _ raft.FSM = (*fsm)(nil)

func newFSM() *fsm { return &fsm{sync: state.New(), changed: make(chan struct{})} }

// Apply implements raft.FSM. The result is nil or the error of the command.
func (f *fsm) Apply(l *raft.Log) any {
	cmd, err := decodeCommand(l.Data)
	if err != nil {
		// The cluster committed an entry this binary cannot read. Skipping it
		// would make this replica disagree with the others, so stop here.
		panic(fmt.Sprintf("coordinator: raft index %d: %v", l.Index, err))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	err = cmd.Apply(f.sync)
	f.announce()
	return err
}

// Snapshot implements raft.FSM. It copies, so that Persist may run beside Apply.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	s, _ := f.read()
	return snapshot{s}, nil
}

// Restore implements raft.FSM. It replaces the state; it never adds to it.
func (f *fsm) Restore(rc io.ReadCloser) (err error) {
	defer func() { err = errors.Join(err, rc.Close()) }()
	b, err := io.ReadAll(rc)
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	restored, err := decodeSnapshot(b)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sync = restored
	f.announce()
	return nil
}

// read returns a copy of the state that nobody changes, and a channel that is
// closed when there is a newer one.
func (f *fsm) read() (*state.Sync, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.view == nil {
		f.view = f.sync.Clone()
	}
	return f.view, f.changed
}

// announce tells readers that the state has changed. The caller holds mu.
func (f *fsm) announce() {
	f.view = nil
	close(f.changed)
	f.changed = make(chan struct{})
}

const snapshotVersion = 1

type snapshotDocument struct {
	Version int         `bson:"version"`
	Sync    *state.Sync `bson:"sync"`
}

func decodeSnapshot(b []byte) (*state.Sync, error) {
	// The version first: of another one nothing else can be relied upon.
	version, _ := bson.Raw(b).Lookup("version").AsInt64OK()
	if version != snapshotVersion {
		return nil, fmt.Errorf("decode snapshot: version %d, this program reads %d: use the program that wrote it", version, snapshotVersion)
	}
	doc := snapshotDocument{Sync: state.New()}
	if err := bson.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	return doc.Sync, nil
}

type snapshot struct{ sync *state.Sync }

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	b, err := bson.Marshal(snapshotDocument{Version: snapshotVersion, Sync: s.sync})
	if err == nil {
		_, err = sink.Write(b)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("persist snapshot %s: %w", sink.ID(), err), sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (snapshot) Release() {}
