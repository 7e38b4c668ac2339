package coordinator

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/hashicorp/raft"
	"github.com/klauspost/compress/zstd"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/coordinator/state"
)

// snapshotVersion is the layout that is written: four bytes of head, and a
// snapshotDocument that is compressed with zstd. Version 1 was a snapshotDocument
// alone. As the length of a document, with which that begins, the head is negative.
const snapshotVersion = 2

const headLength = 4

func snapshotHead(version byte) [headLength]byte { return [headLength]byte{'S', 'F', version, 0xff} }

// A snapshotDocument is the state. BSON outside of MongoDB knows no limit of 16 MiB;
// its own is 2 GiB.
type snapshotDocument struct {
	Version int         `bson:"version"`
	Index   uint64      `bson:"index,omitempty"` // in the raft log, of the last command in it
	Sync    *state.Sync `bson:"sync"`
}

var snapshotForm = formOf(reflect.TypeFor[snapshotDocument]())

func readSnapshot(from io.Reader) (*snapshotDocument, error) {
	r := bufio.NewReader(from)
	head, err := r.Peek(headLength)
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	version := int64(1)
	if known := snapshotHead(head[2]); [headLength]byte(head) == known {
		version = int64(head[2])
	}
	switch version {
	case 1:
		return readDocument(r, 1)
	case snapshotVersion:
	default:
		return nil, newerSnapshot(version)
	}
	if _, err := r.Discard(headLength); err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	defer z.Close()
	return readDocument(z, snapshotVersion)
}

func readDocument(r io.Reader, want int64) (*snapshotDocument, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	// The version first: of another one nothing else can be relied upon.
	if version, _ := bson.Raw(b).Lookup("version").AsInt64OK(); version != want {
		return nil, newerSnapshot(version)
	}
	if err := snapshotForm.check(b); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	doc := snapshotDocument{Sync: state.New()}
	if err := bson.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	return &doc, nil
}

func newerSnapshot(version int64) error {
	return fmt.Errorf("version %d is not known, the last known one is %d: %w", version, snapshotVersion, ErrNewer)
}

type snapshot struct {
	sync  *state.Sync
	index uint64
}

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if err := writeSnapshot(sink, s); err != nil {
		return errors.Join(fmt.Errorf("persist snapshot %s: %w", sink.ID(), err), sink.Cancel())
	}
	return sink.Close()
}

// WriteSnapshot writes a snapshot of a state.
func WriteSnapshot(w io.Writer, s *state.Sync) error { return writeSnapshot(w, snapshot{sync: s}) }

func writeSnapshot(w io.Writer, s snapshot) error {
	b, err := bson.Marshal(snapshotDocument{Version: snapshotVersion, Index: s.index, Sync: s.sync})
	if err != nil {
		return err
	}
	head := snapshotHead(snapshotVersion)
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	_, err = z.Write(b)
	return errors.Join(err, z.Close())
}

// Release implements raft.FSMSnapshot.
func (snapshot) Release() {}
