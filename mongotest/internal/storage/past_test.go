package storage

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Whatever is written, made, altered, renamed and dropped: the data of any past
// time can be had again, with its catalog and its indexes.
func TestThePastIsWhatItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.must(func(tx *Tx) error {
			_, err := tx.Create("db.c", CollectionSpec{}, Meta{})
			return err
		})
		var times []bson.Timestamp
		var dumps [][]string
		var open []*Transaction
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			open = pastStep(t, w, open)
			times, dumps = append(times, w.log.Last()), append(dumps, w.dump())
		}
		for range 5 {
			i := rapid.IntRange(0, len(times)-1).Draw(t, "time")
			for i+1 < len(times) && times[i+1] == times[i] {
				i++ // what is not logged has no time of its own
			}
			past, ok := w.e.BeginAt(Meta{}, times[i])
			require.True(t, ok)
			assert.Equal(t, dumps[i], w.dumpOf(past.View), "at %v", times[i])
			past.Abort()
		}
		for _, txn := range open {
			txn.Abort()
		}
		w.requireConsistent()
	})
}

func pastStep(t *rapid.T, w *world, open []*Transaction) []*Transaction {
	name := func(label string) string { return rapid.SampledFrom([]string{"db.c", "db.d", "db.e"}).Draw(t, label) }
	ns := name("ns")
	var err error
	switch rapid.IntRange(0, 13).Draw(t, "do") {
	case 0:
		options := []bson.Raw{value.D(), value.D("capped", true, "size", 4096, "max", 5), value.D("clusteredIndex", value.D("key", value.D("_id", 1), "unique", true))}
		err = w.e.Update(func(tx *Tx) error {
			_, err := tx.Create(ns, CollectionSpec{Options: rapid.SampledFrom(options).Draw(t, "options")}, Meta{})
			return err
		})
	case 1:
		err = pastDDL(w, ns, func(tx *Tx, c *Collection) error { return tx.Drop(c, Meta{}) })
	case 2:
		to := name("to")
		err = w.e.Update(func(tx *Tx) error { return tx.Rename(ns, to, true, Meta{}) })
	case 3:
		err = pastDDL(w, ns, func(tx *Tx, c *Collection) error {
			_, err := tx.CreateIndexes(c, []bson.Raw{keySpec("a", value.D("a", 1)), keySpec("b", value.D("b", 1), "sparse", true)}, Meta{})
			return err
		})
	case 4:
		err = pastDDL(w, ns, func(tx *Tx, c *Collection) error { return tx.DropIndex(c, "a", Meta{}) })
	case 5:
		hidden := rapid.Bool().Draw(t, "hidden")
		err = pastDDL(w, ns, func(tx *Tx, c *Collection) error {
			_, err := tx.CollMod(c, value.D("index", value.D("name", "a", "hidden", hidden)), Meta{})
			return err
		})
	case 6:
		err = w.e.Update(func(tx *Tx) error {
			if v := tx.Collection("db.v"); v != nil && rapid.Bool().Draw(t, "drop") {
				return tx.Drop(v, Meta{})
			} else if v != nil {
				_, err := tx.CollMod(v, value.D("viewOn", "d", "pipeline", value.A()), Meta{})
				return err
			}
			_, err := tx.Create("db.v", CollectionSpec{Options: value.D("viewOn", "c", "pipeline", value.A())}, Meta{})
			return err
		})
	case 7:
		if len(open) == 0 {
			return append(open, w.e.Begin(Meta{Txn: oplog.TxnInfo{LSID: value.D("id", 1), Number: 1}}))
		}
		_, err = open[0].Commit()
		open = open[1:]
	case 8, 9:
		if len(open) > 0 {
			err = open[0].Do(pastWrites(t, ns))
		}
	default:
		err = w.e.Update(pastWrites(t, ns))
	}
	var refused *mongoerr.Error
	require.True(t, err == nil || errors.As(err, &refused), "%v", err)
	return open
}

func pastDDL(w *world, ns string, f func(*Tx, *Collection) error) error {
	return w.e.Update(func(tx *Tx) error {
		if c := tx.Collection(ns); c != nil && !c.IsView() {
			return f(tx, c)
		}
		return nil
	})
}

// pastWrites are some writes that are logged one by one.
func pastWrites(t *rapid.T, ns string) func(*Tx) error {
	n := rapid.IntRange(1, 4).Draw(t, "writes")
	var ids []int32
	var docs []bson.Raw
	for range n {
		ids = append(ids, int32(rapid.IntRange(1, 9).Draw(t, "id")))
		docs = append(docs, drawDoc(t, ids[len(ids)-1]))
	}
	remove := rapid.Bool().Draw(t, "remove")
	return func(tx *Tx) error {
		c := tx.Collection(ns)
		if c == nil {
			return nil
		}
		for i, id := range ids {
			r, ok := tx.FindID(c, value.Int32(id))
			var err error
			switch {
			case ok && remove:
				err = tx.Delete(c, r.ID, Meta{})
			case ok:
				_, err = tx.Replace(c, r.ID, docs[i], Meta{})
			default:
				_, err = tx.Insert(c, docs[i], Meta{})
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// The documents of one insert are there one after the other, each from its own
// entry of the log on.
func TestThePastHasHalfABatch(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.insert(doc(0)))
	first := w.log.Last()
	require.NoError(t, w.insert(doc(1), doc(2), doc(3), doc(4)))
	require.NoError(t, w.e.Update(func(tx *Tx) error {
		c := tx.Collection("db.c")
		r, _ := tx.FindID(c, value.Int32(2))
		return tx.Delete(c, r.ID, Meta{})
	}))
	for n := range uint32(5) {
		past, ok := w.e.BeginAt(Meta{}, bson.Timestamp{T: first.T, I: first.I + n})
		require.True(t, ok)
		assert.Len(t, w.dumpOf(past.View), 1+int(n)+1+1+int(n)+1, "after %d", n)
		past.Abort()
	}
}

// A transaction on the past meets what others have written since.
func TestATransactionOnThePastConflictsWithWhatCameSince(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.insert(doc(1), doc(2)))
	then := w.log.Last()
	change := func(id int32) func(*Tx) error {
		return func(tx *Tx) error {
			c := tx.Collection("db.c")
			r, _ := tx.FindID(c, value.Int32(id))
			_, err := tx.Replace(c, r.ID, doc(id, "x", len(r.Doc)), Meta{})
			return err
		}
	}
	w.must(change(1))
	past, ok := w.e.BeginAt(Meta{}, then)
	require.True(t, ok)
	require.NoError(t, past.Do(change(2)))
	require.ErrorContains(t, past.Do(change(1)), "Write conflict")
	past.Abort()
}

// The past is forgotten by age, and before that when it takes too much memory.
func TestThePastIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := withCollection(t)
		require.NoError(t, w.insert(doc(1)))
		old := w.log.Last()
		time.Sleep(HistoryWindow + 2*time.Second)
		require.NoError(t, w.insert(doc(2)))
		recent := w.log.Last()
		require.NoError(t, w.insert(doc(3)))
		_, ok := w.e.BeginAt(Meta{}, recent)
		assert.True(t, ok)

		w.e.past.limit = 1 << 20
		for i := range 20 * chunkSteps {
			w.must(func(tx *Tx) error {
				c := tx.Collection("db.c")
				r, _ := tx.FindID(c, value.Int32(1))
				_, err := tx.Replace(c, r.ID, doc(1, "x", i, "pad", fmt.Sprintf("%0100d", i)), Meta{})
				return err
			})
		}
		assert.LessOrEqual(t, w.e.past.bytes, int64(1<<20))
		for _, at := range []bson.Timestamp{old, recent} {
			_, ok = w.e.BeginAt(Meta{}, at)
			assert.False(t, ok, "%v", at)
		}
		assert.True(t, w.e.Forgotten().After(recent))
		_, ok = w.e.BeginAt(Meta{}, w.log.Last())
		assert.True(t, ok)
	})
}

// What branches off has the past of before, and each branch one of its own after
// that.
func TestBranchesShareThePastBeforeThem(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.insert(doc(1), doc(2)))
	kept := w.log.Last()
	to := w.e.Begin(Meta{})
	before := w.dump()
	require.NoError(t, w.insert(doc(3)))
	other := *w
	other.log = w.log.Branch(kept)
	other.e = to.Branch(other.log)
	assert.Equal(t, before, other.dump())
	require.NoError(t, other.insert(doc(4)))
	require.NoError(t, w.insert(doc(5)))
	w.must(func(tx *Tx) error { return tx.Drop(tx.Collection("db.c"), Meta{}) })
	assert.NotEqual(t, before, other.dump())
	for _, branch := range []*world{w, &other} {
		past, ok := branch.e.BeginAt(Meta{}, kept)
		require.True(t, ok)
		assert.Equal(t, before, branch.dumpOf(past.View))
		past.Abort()
	}
}
