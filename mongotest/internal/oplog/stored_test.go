package oplog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/disk"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// openStored returns a log on the disk with what dir has.
func openStored(t require.TestingT, dir string, o Options) (*Log, *disk.Log) {
	d, err := disk.Open(disk.Config{Dir: dir, SegmentSize: 4096})
	require.NoError(t, err)
	l := NewLog(NewClock(), o)
	l.Attach(d)
	require.NoError(t, d.Replay(func(at disk.Place, frame []byte) error {
		return l.Restore(at, frame, func([]byte) error { return nil })
	}))
	require.NoError(t, d.Resume())
	return l, d
}

func drawRaw(t *rapid.T, name string) bson.Raw {
	if rapid.Bool().Draw(t, name+" missing") {
		return nil
	}
	return value.D("x", rapid.String().Draw(t, name))
}

func drawEntry(t *rapid.T) *Entry {
	e := &Entry{
		Op:   rapid.SampledFrom([]Op{Insert, Update, Delete, Command, Noop}).Draw(t, "op"),
		NS:   rapid.SampledFrom([]string{"", "d.c", "d.$cmd"}).Draw(t, "ns"),
		Term: rapid.Int64Range(0, 3).Draw(t, "term"),
		O:    value.D("o", rapid.String().Draw(t, "o")), O2: drawRaw(t, "o2"), Pre: drawRaw(t, "pre"), Post: drawRaw(t, "post"),
		FromMigrate: rapid.Bool().Draw(t, "migrate"),
		Wall:        time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, "wall"), 5e6),
	}
	if rapid.Bool().Draw(t, "uuid") {
		e.UUID = value.UUID{1, 2, 3}
	}
	if rapid.Bool().Draw(t, "txn") {
		e.Txn = TxnInfo{LSID: value.D("id", rapid.Int32().Draw(t, "id")), Number: rapid.Int64().Draw(t, "number"), StmtID: rapid.Int32().Draw(t, "stmt"), Multi: rapid.Bool().Draw(t, "multi")}
	}
	if rapid.Bool().Draw(t, "inner") {
		e.Inner = []Image{{Pre: drawRaw(t, "inner pre")}, {Post: drawRaw(t, "inner post")}}
	}
	return e
}

// A log on the disk answers as one in memory does, now and when it is opened
// again, whatever is appended, rolled over, truncated and rolled back.
func TestStoredLogIsTheSame(t *testing.T) {
	dirs := t
	rapid.Check(t, func(t *rapid.T) {
		dir := dirs.TempDir()
		o := Options{MaxEntries: rapid.IntRange(0, 20).Draw(t, "bound")}
		clock := NewClock()
		memory := NewLog(clock, o)
		stored, d := openStored(t, dir, o)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				stored.Truncate(memory.Last())
				memory.Truncate(memory.Last())
				_, _, err := stored.Commit([]byte("of the engine"))
				require.NoError(t, err)
			default:
				var es, again []*Entry
				for range rapid.IntRange(1, 4).Draw(t, "entries") {
					e := drawEntry(t)
					if rapid.Bool().Draw(t, "stored document") {
						var err error
						e.O, _, err = d.Blob(1, 1, e.O)
						require.NoError(t, err)
					}
					c := *e
					es, again = append(es, e), append(again, &c)
				}
				memory.Append(es...)
				for i := range again {
					again[i].TS = es[i].TS
				}
				stored.clock.Advance(before(es[0].TS))
				stored.Append(again...)
			}
			requireSame(t, memory, stored)
		}
		d.Close()
		stored, d = openStored(t, dir, o)
		defer d.Close()
		stored.Forget(memory.Dropped()) // what Truncate dropped is the engine's to remember
		requireSame(t, memory, stored)
		assert.False(t, stored.clock.Now().Before(memory.Last()))
	})
}

// before returns a time whose next tick is ts.
func before(ts bson.Timestamp) bson.Timestamp { return bson.Timestamp{T: ts.T, I: ts.I - 1} }

func requireSame(t require.TestingT, want, have *Log) {
	require.Equal(t, want.Len(), have.Len())
	require.Equal(t, want.Bytes(), have.Bytes())
	require.Equal(t, want.First(), have.First())
	require.Equal(t, want.Last(), have.Last())
	require.Equal(t, want.Dropped(), have.Dropped())
	from := want.Dropped()
	ws, err := want.Read(from, false, 1000)
	require.NoError(t, err)
	hs, err := have.Read(from, false, 1000)
	require.NoError(t, err)
	require.Len(t, hs, len(ws))
	for i, w := range ws {
		h := *hs[i]
		require.True(t, w.Wall.Equal(h.Wall))
		h.Wall = w.Wall
		require.Equal(t, *w, h)
		at, ok := have.At(w.TS)
		require.True(t, ok)
		require.Equal(t, h.O, at.O)
	}
}

// A rollback takes the newest entries away, on the disk too once its frame says
// so.
func TestStoredRollback(t *testing.T) {
	l, d := openStored(t, t.TempDir(), Options{})
	defer d.Close()
	first := l.Noop(value.D("n", 1))
	l.Noop(value.D("n", 2))
	l.Rollback(first)
	assert.Equal(t, 1, l.Len())
	assert.Equal(t, first, l.Last())
	third := l.Noop(value.D("n", 3))
	assert.True(t, third.After(first))
	es, err := l.Read(bson.Timestamp{}, false, 10)
	require.NoError(t, err)
	require.Len(t, es, 2)
	assert.Equal(t, value.D("n", 3), es[1].O)
}

// An entry whose document is gone has rolled over, and so have those before it.
func TestEntryOfReclaimedDocument(t *testing.T) {
	dir := t.TempDir()
	l, d := openStored(t, dir, Options{})
	l.Noop(value.D("n", 1))
	doc, _, err := d.Blob(1, 1, value.D("_id", 1, "s", string(make([]byte, 3000))))
	require.NoError(t, err)
	_, _, err = l.Commit(make([]byte, 1000), &Entry{Op: Insert, NS: "d.c", O: doc}) // in the next segment
	require.NoError(t, err)
	gone := l.Last()
	kept := l.Noop(value.D("n", 2))
	oldest, ok := l.OldestSegment()
	assert.True(t, ok)
	assert.Equal(t, uint32(1), oldest)
	assert.Equal(t, uint32(1), d.Segments()[1].Lowest)
	require.NoError(t, d.Retire(2))
	d.Close()

	l, d = openStored(t, dir, Options{})
	defer d.Close()
	assert.Equal(t, 1, l.Len())
	assert.Equal(t, kept, l.First())
	assert.Equal(t, gone, l.Dropped())
	_, err = l.Read(gone, true, 1)
	require.ErrorIs(t, err, ErrTruncated)
}

// Whatever the bytes, decoding ends with an entry that encodes to one of the
// same meaning, or with an error.
func FuzzDecodeEntry(f *testing.F) {
	none := func([]byte) (disk.Place, bool) { return disk.Place{}, false }
	lowest := uint32(0)
	full := &Entry{
		TS: bson.Timestamp{T: 1, I: 2}, Term: 3, Op: Update, NS: "d.c", UUID: value.UUID{1}, O: value.D("a", 1), O2: value.D("_id", 1), FromMigrate: true, Wall: time.Unix(1, 0),
		Txn: TxnInfo{LSID: value.D("id", 1), Number: 4, StmtID: 5, Multi: true, Prev: bson.Timestamp{T: 1, I: 1}}, Pre: value.D(), Post: value.D(), Inner: []Image{{Pre: value.D()}},
	}
	f.Add(appendEntry(nil, full, none, &lowest)[4:])
	f.Add(appendEntry(nil, full, func([]byte) (disk.Place, bool) { return disk.Place{Segment: 1, Offset: 2}, true }, &lowest)[4:])
	intern := func(b []byte) string { return string(b) }
	doc := func(p disk.Place) []byte {
		if p.Segment == 1 {
			return value.D("a", 1)
		}
		return nil
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEntry(b, intern, doc)
		if err != nil {
			return
		}
		again, err := decodeEntry(appendEntry(nil, e, none, &lowest)[4:], intern, doc)
		require.NoError(t, err)
		assert.Equal(t, e.TS, again.TS)
		assert.Len(t, again.O, len(e.O))
		assert.Equal(t, e.Txn.Number, again.Txn.Number)
		assert.Len(t, again.Inner, len(e.Inner))
	})
}
