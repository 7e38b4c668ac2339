package storage

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// prepare prepares a transaction that adds 100 and 102 to db.c, changes 1 and
// deletes 2.
func (w *world) prepare() (*Transaction, bson.Timestamp) {
	t := w.e.Begin(Meta{Txn: oplog.TxnInfo{LSID: value.D("id", 1), Number: 1}})
	require.NoError(w.t, t.Do(func(tx *Tx) error {
		c := tx.Collection("db.c")
		for _, id := range []int32{100, 102} {
			if _, err := tx.Insert(c, doc(id, "a", id), Meta{}); err != nil {
				return err
			}
		}
		if _, err := tx.Replace(c, 1, doc(int32(1), "a", int32(50)), Meta{}); err != nil {
			return err
		}
		return tx.Delete(c, 2, Meta{})
	}))
	at, err := t.Prepare("", nil)
	require.NoError(w.t, err)
	return t, at
}

func (w *world) idsOf(t *Transaction) (ids []int64) {
	require.NoError(w.t, t.View(func(tx *Tx) error {
		for _, r := range tx.Scan(tx.Collection("db.c"), ScanSpec{}) {
			ids = append(ids, r.Doc.Lookup("_id").AsInt64())
		}
		return nil
	}))
	slices.Sort(ids)
	return ids
}

// A prepared transaction counts from its commitTimestamp on, though others have
// written since and its commit is logged later: for reads that come after the
// commit, and for snapshots that were taken before it.
func TestACommitTimestampIsBeforeTheCommit(t *testing.T) {
	const later = 6
	for k := range later + 2 {
		t.Run(fmt.Sprintf("%d after prepare", k), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { commitAfter(t, k, later) }) // no second passes
		})
	}
}

func commitAfter(t *testing.T, k, later int) {
	w := withCollection(t)
	require.NoError(t, w.insert(doc(int32(1)), doc(int32(2)), doc(int32(3))))
	first := w.log.Last()
	txn, prepared := w.prepare()
	var docs []bson.Raw
	for i := range later {
		docs = append(docs, doc(int32(10+i)))
	}
	require.NoError(t, w.insert(docs...)) // one step of the history
	last := w.log.Last()
	before, ok := w.e.BeginAt(Meta{}, last)
	require.True(t, ok)
	commit := bson.Timestamp{T: prepared.T, I: prepared.I + uint32(k)}
	at, err := txn.CommitAt(commit)
	require.NoError(t, err)
	assert.True(t, at.After(commit) && at.After(last), "the entry comes last")
	require.NoError(t, w.insert(doc(int32(200))))

	assert.Equal(t, w.idsOf(mustAt(t, w, last)), w.idsOf(before), "the snapshot from before the commit")
	for ts := first; !ts.After(at); ts.I++ {
		want := []int64{1, 2, 3}
		for i := range later {
			if !ts.Before(bson.Timestamp{T: prepared.T, I: prepared.I + 1 + uint32(i)}) {
				want = append(want, int64(10+i))
			}
		}
		if !ts.Before(commit) {
			want = append(slices.DeleteFunc(want, func(id int64) bool { return id == 2 }), 100, 102)
		}
		assert.Equal(t, want, w.idsOf(mustAt(t, w, ts)), "at %v, prepared %v, committed %v", ts, prepared, commit)
	}
}

func mustAt(t *testing.T, w *world, at bson.Timestamp) *Transaction {
	t.Helper()
	txn, ok := w.e.BeginAt(Meta{}, at)
	require.True(t, ok)
	return txn
}

// Nobody sees what is prepared, and who would meet it is told where, and when to
// look again.
func TestAScanMeetsWhatIsPrepared(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.index(value.D("key", value.D("a", 1), "name", "a_1")))
	for i := range int32(5) {
		require.NoError(t, w.insert(doc(i+1, "a", i+1)))
	}
	early := w.e.Begin(Meta{})
	txn, _ := w.prepare()
	meets := func(view func(func(*Tx) error) error, s ScanSpec) (ids []int64, met *PrepareConflictError) {
		require.NoError(t, view(func(tx *Tx) error {
			c := tx.Collection("db.c")
			var at Key
			at, met = tx.Undecided(c, s)
			for key, r := range tx.Scan(c, s) {
				if met != nil && !s.Before(key, at) {
					break
				}
				ids = append(ids, r.Doc.Lookup("_id").AsInt64())
			}
			return nil
		}))
		return ids, met
	}
	bounds := func(low, high int32) ScanSpec {
		s := ScanSpec{Index: "a_1", MinIncl: true, MaxIncl: true}
		require.NoError(t, w.e.View(func(tx *Tx) error {
			ix := tx.Collection("db.c").Index("a_1")
			var err error
			if s.Min, err = ix.Bound(doc2("a", low)); err == nil {
				s.Max, err = ix.Bound(doc2("a", high))
			}
			return err
		}))
		return s
	}
	for name, c := range map[string]struct {
		spec ScanSpec
		want []int64
		free bool
	}{
		"the first record is changed":               {ScanSpec{}, nil, false},
		"backwards, after what is there":            {ScanSpec{Reverse: true}, nil, false},
		"after both changed ones":                   {ScanSpec{Resume: Key{ID: 2}}, []int64{3, 4, 5}, false},
		"a range of an index without any":           {bounds(3, 5), []int64{3, 4, 5}, true},
		"a range that an update has left":           {bounds(1, 1), nil, false},
		"a range that an update has entered":        {bounds(3, 60), []int64{3, 4, 5}, false},
		"a range with nothing but what is prepared": {bounds(99, 101), nil, false},
		"a range beyond everything":                 {bounds(200, 300), nil, true},
		"backwards in an index, before the deleted": {reversed(bounds(2, 40)), []int64{5, 4, 3}, false},
		"an index that is not there":                {ScanSpec{Index: "b_1"}, nil, true},
	} {
		ids, met := meets(w.e.View, c.spec)
		assert.Equal(t, c.want, ids, name)
		assert.Equal(t, c.free, met == nil, name)
	}
	ids, met := meets(early.View, ScanSpec{})
	assert.Len(t, ids, 5)
	assert.Nil(t, met, "a snapshot from before it was prepared has nothing to wait for")

	late := w.e.Begin(Meta{})
	_, met = meets(late.View, ScanSpec{})
	require.NotNil(t, met)
	assert.True(t, mongoerr.Is(txn.Do(func(*Tx) error { return nil }), mongoerr.PreparedTransactionInProgress))
	at := txn.Abort()
	<-met.Decided
	assert.Equal(t, w.log.Last(), at)
	ids, met = meets(late.View, ScanSpec{})
	assert.Equal(t, []int64{1, 2, 3, 4, 5}, ids)
	assert.Nil(t, met)
}

func reversed(s ScanSpec) ScanSpec { s.Reverse = true; return s }

func doc2(name string, v int32) bson.Raw { return value.D(name, v) }

// The log tells of a prepared transaction when it is prepared and when that is
// decided, the second entry pointing to the first.
func TestTheLogOfAPreparedTransaction(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.insert(doc(int32(1)), doc(int32(2))))
	txn, prepared := w.prepare()
	again, err := txn.Prepare("", nil)
	require.NoError(t, err)
	assert.Equal(t, prepared, again, "a second time it changes nothing")
	entry, _ := w.log.At(prepared)
	assert.True(t, value.Truthy(entry.O.Lookup("prepare")))
	committed, err := txn.CommitAt(prepared)
	require.NoError(t, err)
	entry, _ = w.log.At(committed)
	assert.Equal(t, prepared, entry.Txn.Prev)
	assert.Equal(t, "commitTransaction", entry.CommandName())

	empty := w.e.Begin(Meta{Txn: oplog.TxnInfo{LSID: value.D("id", 2), Number: 1}})
	prepared, err = empty.Prepare("", nil)
	require.NoError(t, err)
	entry, _ = w.log.At(prepared)
	assert.JSONEq(t, `{"applyOps": [], "prepare": true}`, entry.O.String(), "also of one that has only read")
	entry, _ = w.log.At(empty.Abort())
	assert.Equal(t, "abortTransaction", entry.CommandName())
	assert.Equal(t, prepared, entry.Txn.Prev)
}
