package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/disk"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// populated returns a world on the disk with n documents in db.c.
func populated(t *testing.T, dir string, n int) (*world, *disk.Log) {
	w, d := onDisk(t, dir, oplog.Options{})
	w.must(func(tx *Tx) error {
		_, err := tx.Create("db.c", CollectionSpec{}, Meta{})
		return err
	})
	for i := range n {
		require.NoError(t, w.insert(doc(int32(i), "pad", strings.Repeat("x", 500))))
	}
	return w, d
}

// Documents are where the log has them, not on the heap, also for the oplog.
func TestDocumentsAreInTheLog(t *testing.T) {
	w, d := populated(t, t.TempDir(), 3)
	defer d.Close()
	require.NoError(t, w.e.View(func(tx *Tx) error {
		for _, r := range tx.Scan(tx.Collection("db.c"), ScanSpec{}) {
			_, ok := d.Locate(r.Doc)
			assert.True(t, ok)
		}
		return nil
	}))
	es, err := w.log.Read(bson.Timestamp{}, false, 10)
	require.NoError(t, err)
	for _, e := range es {
		_, ok := d.Locate(e.O)
		assert.True(t, ok)
	}
	var size int64
	for _, s := range d.Segments() {
		size += s.Bytes
	}
	assert.Less(t, size, int64(3*800), "every document is written once")
}

// Space comes back when documents are deleted and the oplog has rolled over; that
// it has is not forgotten with it.
func TestSpaceComesBack(t *testing.T) {
	dir := t.TempDir()
	w, d := populated(t, dir, 200)
	files := len(d.Segments())
	require.Greater(t, files, 10)
	w.must(func(tx *Tx) error {
		for _, r := range tx.Scan(tx.Collection("db.c"), ScanSpec{}) {
			if r.ID%10 > 0 {
				if err := tx.Delete(tx.Collection("db.c"), r.ID, Meta{}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	done, err := w.e.Reclaim(t.Context())
	require.NoError(t, err)
	assert.False(t, done, "the oplog still has it all")
	w.log.Truncate(w.log.Last())
	done, err = w.e.Reclaim(t.Context())
	require.NoError(t, err)
	assert.True(t, done)
	assert.Less(t, len(d.Segments()), files/2)
	require.NoError(t, d.Unmap())
	assert.Len(t, w.ids(ScanSpec{}), 20)
	state, dropped := w.state(), w.log.Dropped()
	d.Close()

	w, d = onDisk(t, dir, oplog.Options{})
	defer d.Close()
	assert.Equal(t, state, w.state())
	_, err = w.log.Read(bson.Timestamp{}, false, 1)
	require.ErrorIs(t, err, oplog.ErrTruncated)
	assert.Equal(t, dropped, w.log.Dropped())
}

// An index stays multikey when the document that made it so is gone.
func TestMultikeyIsKept(t *testing.T) {
	dir := t.TempDir()
	w, d := populated(t, dir, 0)
	require.NoError(t, w.index(keySpec("a", value.D("a", 1)), keySpec("b", value.D("b", 1))))
	require.NoError(t, w.insert(doc(int32(1), "a", value.A(1, 2))))
	w.must(func(tx *Tx) error { return tx.Delete(tx.Collection("db.c"), 1, Meta{}) })
	d.Close()
	w, d = onDisk(t, dir, oplog.Options{})
	defer d.Close()
	require.NoError(t, w.e.View(func(tx *Tx) error {
		assert.True(t, tx.Collection("db.c").Index("a").Multikey())
		assert.False(t, tx.Collection("db.c").Index("b").Multikey())
		return nil
	}))
}

// Neither record ids nor cluster times come again after a restart.
func TestNothingIsGivenOutTwice(t *testing.T) {
	dir := t.TempDir()
	w, d := populated(t, dir, 3)
	w.must(func(tx *Tx) error { return tx.Delete(tx.Collection("db.c"), 3, Meta{}) })
	seen := bson.Timestamp{T: w.log.Last().T + 1000}
	w.e.clock.Advance(seen)
	kept, err := w.e.KeepClock(bson.Timestamp{})
	require.NoError(t, err)
	assert.Equal(t, seen, kept)
	before := d.Appended()
	again, err := w.e.KeepClock(kept)
	require.NoError(t, err)
	assert.Equal(t, kept, again)
	assert.Equal(t, before, d.Appended(), "nothing new, nothing written")
	d.Close()

	w, d = onDisk(t, dir, oplog.Options{})
	defer d.Close()
	assert.True(t, w.e.clock.Now().After(seen))
	w.must(func(tx *Tx) error {
		r, err := tx.Insert(tx.Collection("db.c"), doc(int32(9)), Meta{})
		assert.Equal(t, int64(4), r.ID)
		return err
	})
	assert.True(t, w.log.Last().After(seen))
}

// The past of before a restart cannot be read: nothing leads back to it.
func TestPastEndsAtARestart(t *testing.T) {
	dir := t.TempDir()
	w, d := populated(t, dir, 3)
	at := w.log.Last()
	require.NoError(t, w.insert(doc(int32(9))))
	_, ok := w.e.BeginAt(Meta{}, at)
	assert.True(t, ok)
	d.Close()
	w, d = onDisk(t, dir, oplog.Options{})
	defer d.Close()
	_, ok = w.e.BeginAt(Meta{}, at)
	assert.False(t, ok)
	_, ok = w.e.BeginAt(Meta{}, w.log.Last())
	assert.True(t, ok)
}

// What was prepared waits on the disk until it is decided, with its documents,
// and a collection that it makes.
func TestPreparedWaitsForItsDecision(t *testing.T) {
	const key = PreparedStates + "x"
	for _, commit := range []bool{true, false} {
		dir := t.TempDir()
		w, d := populated(t, dir, 3)
		lsid := value.D("id", 1)
		txn := w.e.Begin(Meta{Txn: oplog.TxnInfo{LSID: lsid, Number: 1}})
		require.NoError(t, txn.Do(func(tx *Tx) error {
			c, err := tx.Create("db.made", CollectionSpec{}, Meta{})
			if err != nil {
				return err
			}
			if _, err := tx.Insert(c, doc(int32(1)), Meta{}); err != nil {
				return err
			}
			return tx.Delete(tx.Collection("db.c"), 2, Meta{})
		}))
		prepared, err := txn.Prepare(key, value.D("lsid", lsid, "txnNumber", int64(1)))
		require.NoError(t, err)
		assert.Equal(t, w.log.Last(), prepared)
		before := w.dump()
		d.Close()
		w, d = onDisk(t, dir, oplog.Options{})
		assert.Equal(t, before, w.dump(), "nobody sees it yet")
		w.log.Truncate(w.log.Last())
		done, err := w.e.Reclaim(t.Context())
		require.NoError(t, err)
		assert.False(t, done, "its documents are needed")
		as := bson.Timestamp{}
		if commit {
			as = prepared
		}
		entry, err := w.e.FinishPrepared(key, as)
		require.NoError(t, err)
		assert.Equal(t, w.log.Last(), entry.TS)
		assert.Equal(t, prepared, entry.Txn.Prev)
		if commit {
			assert.Equal(t, "commitTransaction", entry.CommandName())
			assert.Equal(t, []string{"0", "2"}, w.ids(ScanSpec{}))
		} else {
			assert.Equal(t, "abortTransaction", entry.CommandName())
			assert.Equal(t, before, w.dump())
		}
		w.requireConsistent()
		after := w.dump()
		d.Close()
		w, d = onDisk(t, dir, oplog.Options{})
		assert.Equal(t, after, w.dump())
		w.e.States(func(key string, _ bson.Raw) { assert.Fail(t, "a state is left", key) })
		_, err = w.e.FinishPrepared(key, prepared)
		require.Error(t, err)
		d.Close()
	}
}

// A disk that fails leaves the data as it was, for those who read it still.
func TestWriteOnBrokenDisk(t *testing.T) {
	dir := t.TempDir()
	w, d := populated(t, dir, 3)
	require.NoError(t, os.RemoveAll(dir))
	before := w.state()
	var err error
	for err == nil {
		before = w.state()
		err = w.insert(doc(bson.NewObjectID(), "pad", strings.Repeat("x", 1000)))
	}
	assert.True(t, mongoerr.Is(err, mongoerr.OutOfDiskSpace), "%v", err)
	assert.Equal(t, before, w.state())
	<-d.Broken()
	require.Error(t, w.e.Sync())
}

// A frame that says what cannot be is damage, and its file is named.
func TestImpossibleFrame(t *testing.T) {
	dir := t.TempDir()
	_, d := populated(t, dir, 0)
	w := &changes{}
	w.op(changePut, 1, 1, 1, 7)
	_, err := d.Frame(append([]byte{byte(len(w.ops))}, w.ops...), 0)
	require.NoError(t, err)
	d.Close()
	d, err = disk.Open(disk.Config{Dir: dir, SegmentSize: tinySegment})
	require.NoError(t, err)
	clock := oplog.NewClock()
	err = NewEngine(oplog.NewLog(clock, oplog.Options{}), clock).Open(d)
	var damage *disk.DamageError
	require.ErrorAs(t, err, &damage)
	assert.Equal(t, filepath.Join(dir, "00000001.segment"), damage.Path)
}

// Whatever a frame says, reading it ends, with an error or without.
func FuzzChanges(f *testing.F) {
	w := &changes{}
	w.op(changePut, 1, 2, 3, 100)
	w.op(changeDelete, 1, 2)
	w.op(changeCatalog, 1)
	w.text((&Collection{entry: entry{NS: "db.v", Options: value.D("viewOn", "c")}}).catalogDoc())
	w.op(changeDrop, 1)
	w.op(changeState)
	w.text([]byte("key"))
	w.text(doc(1))
	w.op(changeNoState)
	w.text([]byte("key"))
	w.time(changeRollback, bson.Timestamp{T: 1, I: 1})
	w.time(changeForgot, bson.Timestamp{T: 1, I: 1})
	w.time(changeClock, bson.Timestamp{T: 1, I: 1})
	f.Add(w.ops)
	d, err := disk.Open(disk.Config{Dir: f.TempDir(), SegmentSize: tinySegment})
	require.NoError(f, err)
	require.NoError(f, d.Resume())
	f.Fuzz(func(t *testing.T, ops []byte) {
		clock := oplog.NewClock()
		log := oplog.NewLog(clock, oplog.Options{})
		log.Attach(d)
		l := newLoader(d, log, clock)
		r := opReader{rest: ops}
		for len(r.rest) > 0 {
			before := len(r.rest)
			if err := l.change(disk.Place{Segment: 1, Offset: 100}, &r); err != nil {
				return
			}
			if len(r.rest) >= before {
				t.Fatal("nothing was read")
			}
		}
		for ident, part := range l.all {
			if part.entry == nil {
				continue
			}
			if c, err := part.collection(ident); err == nil && c.NS == "" {
				t.Fatal("a collection without a name")
			}
		}
	})
}
