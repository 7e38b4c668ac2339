package storage

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Random transactions and plain writes that overlap leave consistent indexes
// and a log that tells exactly what became visible.
func TestOverlappingTransactionsKeepDataAndLogTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.must(func(tx *Tx) error {
			c, err := tx.Create("db.c", CollectionSpec{}, Meta{})
			if err != nil {
				return err
			}
			_, err = tx.CreateIndexes(c, []bson.Raw{keySpec("a", value.D("a", 1), "unique", true)}, Meta{})
			return err
		})
		open := []*Transaction{}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			open = historyStep(t, w, open)
		}
		for _, txn := range open {
			txn.Abort()
		}
		assert.True(t, w.e.locks.empty())
		w.requireConsistent()
		requireReplayable(t, w)
	})
}

// historyStep opens or ends a transaction, or writes in one or outside.
func historyStep(t *rapid.T, w *world, open []*Transaction) []*Transaction {
	which := rapid.IntRange(0, 4).Draw(t, "transaction")
	do := rapid.IntRange(0, 9).Draw(t, "do")
	if which >= len(open) {
		if do < 3 {
			return append(open, w.e.Begin(Meta{Txn: oplog.TxnInfo{LSID: value.D("id", 1), Number: 1}}))
		}
		requireExpected(t, w.e.Update(drawWrite(t)))
		return open
	}
	txn := open[which]
	rest := append(append([]*Transaction{}, open[:which]...), open[which+1:]...)
	switch do {
	case 0:
		_, err := txn.Commit()
		require.NoError(t, err)
		return rest
	case 1:
		txn.Abort()
		return rest
	}
	if err := txn.Do(drawWrite(t)); err != nil {
		requireExpected(t, err)
		if rapid.Bool().Draw(t, "abort") {
			txn.Abort()
			return rest
		}
	}
	return open
}

func requireExpected(t *rapid.T, err error) {
	expected := err == nil || mongoerr.Is(err, mongoerr.DuplicateKey) || mongoerr.Is(err, mongoerr.WriteConflict)
	require.True(t, expected, "%v", err)
}

// drawWrite is a write that fits whatever is there: it inserts a document or
// replaces or deletes the one of its _id.
func drawWrite(t *rapid.T) write {
	id := rapid.IntRange(1, 6).Draw(t, "id")
	d := doc(id, "a", rapid.IntRange(1, 6).Draw(t, "a"))
	remove := rapid.Bool().Draw(t, "remove")
	return func(tx *Tx) error {
		_, exists := tx.FindID(tx.Collection("db.c"), value.Int32(int32(id)))
		switch {
		case !exists:
			return inserting(d)(tx)
		case remove:
			return deleting(id)(tx)
		}
		return setting(id, d)(tx)
	}
}

// Readers, writers and transactions may run at once. (The race detector is
// what judges this test.)
func TestConcurrentUse(t *testing.T) {
	w := withCollection(t)
	for i := range 200 {
		require.NoError(t, w.insert(doc(i)))
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 40 {
				id := (g*40 + i) % 200
				txn := w.begin(int64(g))
				if txn.Do(setting(id, doc(id, "t", i))) == nil && i%2 == 0 {
					_, _ = txn.Commit()
				}
				_ = txn.View(func(tx *Tx) error {
					for range tx.Scan(tx.Collection("db.c"), ScanSpec{Index: "_id_"}) {
						continue
					}
					return nil
				})
				txn.Abort()
				_ = w.e.UpdateWait(t.Context(), setting((id+7)%200, doc((id+7)%200, "u", i)))
				w.ids(ScanSpec{Reverse: true})
			}
		})
	}
	wg.Wait()
	w.requireConsistent()
}
