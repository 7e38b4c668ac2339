package coordinator

import (
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/hashicorp/raft"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/coordinator/state"
)

const snapshotVersion = 1

type snapshotDocument struct {
	Version int         `bson:"version"`
	Sync    *state.Sync `bson:"sync"`
}

var snapshotForm = formOf(reflect.TypeFor[snapshotDocument]())

func readSnapshot(r io.Reader) (*state.Sync, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	// The version first: of another one nothing else can be relied upon.
	version, _ := bson.Raw(b).Lookup("version").AsInt64OK()
	if version != snapshotVersion {
		return nil, fmt.Errorf("version %d is not known, the last known one is %d: %w", version, snapshotVersion, ErrNewer)
	}
	if err := snapshotForm.check(b); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
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
