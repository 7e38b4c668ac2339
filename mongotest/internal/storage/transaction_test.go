package storage

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func (w *world) begin(n int64) *Transaction {
	return w.e.Begin(Meta{Txn: oplog.TxnInfo{LSID: value.D("id", n), Number: n}})
}

// A write is what a test does to one document of db.c.
type write func(*Tx) error

func inserting(d bson.Raw) write {
	return func(tx *Tx) error {
		_, err := tx.Insert(tx.Collection("db.c"), d, Meta{})
		return err
	}
}

func setting(id int, d bson.Raw) write {
	return func(tx *Tx) error {
		c := tx.Collection("db.c")
		r, ok := tx.FindID(c, value.Int32(int32(id)))
		if !ok {
			return errors.New("no such document")
		}
		_, err := tx.Replace(c, r.ID, d, Meta{})
		return err
	}
}

func deleting(id int) write {
	return func(tx *Tx) error {
		c := tx.Collection("db.c")
		r, ok := tx.FindID(c, value.Int32(int32(id)))
		if !ok {
			return errors.New("no such document")
		}
		return tx.Delete(c, r.ID, Meta{})
	}
}

// uniqueWorld has the documents 1 and 2 in db.c and a unique index on a.
func uniqueWorld(t *testing.T) *world {
	w := withCollection(t)
	require.NoError(t, w.index(keySpec("a", value.D("a", 1), "unique", true)))
	require.NoError(t, w.insert(doc(1, "a", 1), doc(2, "a", 2)))
	return w
}

func TestConflictsInTransactions(t *testing.T) {
	none := mongoerr.Code(0)
	for name, tc := range map[string]struct {
		other, own write
		open       mongoerr.Code // while the other is not committed
		committed  mongoerr.Code // after its commit
	}{
		"different documents":                {deleting(1), deleting(2), none, none},
		"the same document":                  {setting(1, doc(1, "a", 5)), setting(1, doc(1, "a", 6)), mongoerr.WriteConflict, mongoerr.WriteConflict},
		"a deleted document":                 {deleting(1), setting(1, doc(1, "a", 6)), mongoerr.WriteConflict, mongoerr.WriteConflict},
		"an inserted _id":                    {inserting(doc(3, "a", 3)), inserting(doc(3, "a", 4)), mongoerr.WriteConflict, mongoerr.WriteConflict},
		"an inserted unique key":             {inserting(doc(3, "a", 3)), inserting(doc(4, "a", 3)), mongoerr.WriteConflict, mongoerr.WriteConflict},
		"a unique key set in an old one":     {setting(1, doc(1, "a", 3)), inserting(doc(4, "a", 3)), mongoerr.WriteConflict, mongoerr.WriteConflict},
		"a unique key given up":              {deleting(1), inserting(doc(4, "a", 1)), mongoerr.WriteConflict, mongoerr.DuplicateKey},
		"a unique key that is taken, anyhow": {deleting(2), inserting(doc(4, "a", 1)), mongoerr.DuplicateKey, mongoerr.DuplicateKey},
	} {
		for when, want := range map[string]mongoerr.Code{"open": tc.open, "committed": tc.committed} {
			t.Run(name+", "+when, func(t *testing.T) {
				w := uniqueWorld(t)
				other, own := w.begin(1), w.begin(2)
				require.NoError(t, other.Do(tc.other))
				if when == "committed" {
					_, err := other.Commit()
					require.NoError(t, err)
				}
				err := own.Do(tc.own)
				if want == none {
					require.NoError(t, err)
				} else {
					require.True(t, mongoerr.Is(err, want), "%v", err)
				}
				assert.Equal(t, want == mongoerr.WriteConflict, err != nil && len(mongoerr.From(err).Labels) == 1)
				_, _ = own.Commit()
				other.Abort()
				w.requireConsistent()
			})
		}
		t.Run(name+", against a plain write", func(t *testing.T) {
			w := uniqueWorld(t)
			own := w.begin(2)
			require.NoError(t, w.e.Update(tc.other))
			err := own.Do(tc.own)
			assert.Equal(t, tc.committed != none, err != nil)
			assert.True(t, err == nil || mongoerr.Is(err, tc.committed), "%v", err)
		})
	}
}

func TestATransactionSeesItsSnapshotAndItsOwnWrites(t *testing.T) {
	w := uniqueWorld(t)
	txn := w.begin(7)
	assert.Equal(t, w.log.Last(), txn.ReadTime())
	require.NoError(t, w.insert(doc(3, "a", 3)))
	assert.True(t, w.log.Last().After(txn.ReadTime()))
	require.NoError(t, txn.Do(func(tx *Tx) error {
		c := tx.Collection("db.c")
		require.Equal(t, int64(2), c.Count())
		require.NoError(t, deleting(1)(tx))
		require.NoError(t, inserting(doc(4, "a", 1))(tx), "the key is free for itself")
		return setting(2, doc(2, "a", 2, "n", 1))(tx)
	}))
	stop := errors.New("stop")
	require.ErrorIs(t, txn.Do(func(tx *Tx) error {
		require.NoError(t, inserting(doc(9, "a", 9))(tx))
		require.NoError(t, deleting(2)(tx))
		return stop
	}), stop)
	require.NoError(t, txn.View(func(tx *Tx) error {
		assert.Equal(t, int64(2), tx.Collection("db.c").Count())
		return nil
	}))
	assert.Equal(t, []string{"1", "2", "3"}, w.ids(ScanSpec{}), "nobody else sees it")
	before := len(w.entries())
	ts, err := txn.Commit()
	require.NoError(t, err)
	assert.Equal(t, w.log.Last(), ts)
	assert.Equal(t, []string{"4", "2", "3"}, w.ids(ScanSpec{Index: "a"}))
	w.requireConsistent()

	require.Len(t, w.entries(), before+1)
	e, ok := w.log.At(ts)
	require.True(t, ok)
	assert.True(t, e.Txn.Multi)
	assert.Equal(t, int64(7), e.Txn.Number)
	ops, err := e.O.Lookup("applyOps").Array().Values()
	require.NoError(t, err)
	require.Len(t, ops, 3)
	assert.Equal(t, "d", ops[0].Document().Lookup("op").StringValue())
	assert.Equal(t, "{ _id: 1 }", render(ops[0].Document().Lookup("o").Document()))
	assert.Equal(t, "i", ops[1].Document().Lookup("op").StringValue())
	assert.Equal(t, "{ _id: 4 }", render(ops[1].Document().Lookup("o2").Document()))

	_, err = txn.Commit()
	assert.True(t, mongoerr.Is(err, mongoerr.NoSuchTransaction), "%v", err)
}

func TestAnAbortedTransactionLeavesNothing(t *testing.T) {
	w := uniqueWorld(t)
	before, log := w.dump(), w.entries()
	txn := w.begin(1)
	require.NoError(t, txn.Do(inserting(doc(3, "a", 3))))
	require.NoError(t, txn.Do(deleting(1)))
	txn.Abort()
	txn.Abort()
	assert.Equal(t, before, w.dump())
	assert.Equal(t, log, w.entries())
	require.NoError(t, w.e.Update(deleting(1)), "no lock is left")
	assert.True(t, w.e.locks.empty())
	err := txn.Do(deleting(2))
	assert.True(t, mongoerr.Is(err, mongoerr.NoSuchTransaction), "%v", err)
}

func TestPlainWritesConflictWithOpenTransactions(t *testing.T) {
	w := uniqueWorld(t)
	txn := w.begin(1)
	require.NoError(t, txn.Do(deleting(1)))
	require.NoError(t, txn.Do(inserting(doc(3, "a", 3))))
	for name, fn := range map[string]write{
		"a record":       deleting(1),
		"a unique key":   inserting(doc(4, "a", 3)),
		"a freed key":    inserting(doc(4, "a", 1)),
		"an _id":         inserting(doc(3, "a", 7)),
		"the collection": func(tx *Tx) error { return tx.Drop(tx.Collection("db.c"), Meta{}) },
		"the database":   func(tx *Tx) error { return tx.DropDatabase("db", Meta{}) },
		"its name":       func(tx *Tx) error { return tx.Rename("db.c", "db.d", false, Meta{}) },
		"its indexes":    func(tx *Tx) error { return tx.DropIndex(tx.Collection("db.c"), "a", Meta{}) },
		"its shard key":  func(tx *Tx) error { return tx.SetShardKey(tx.Collection("db.c"), value.D("a", 1)) },
	} {
		err := w.e.Update(fn)
		assert.True(t, mongoerr.Is(err, mongoerr.WriteConflict), "%s: %v", name, err)
	}
	require.NoError(t, w.e.Update(deleting(2)))
}

func TestATransactionOnAChangedCatalogMustBeRepeated(t *testing.T) {
	w := uniqueWorld(t)
	txn := w.begin(1)
	require.NoError(t, w.index(keySpec("b", value.D("b", 1))))
	err := txn.Do(deleting(1))
	assert.True(t, mongoerr.Is(err, mongoerr.SnapshotUnavailable), "%v", err)
	assert.Equal(t, []string{transientLabel}, mongoerr.From(err).Labels)
}

func TestATransactionCreatesCollections(t *testing.T) {
	w := uniqueWorld(t)
	txn, late := w.begin(1), w.begin(2)
	create := func(tx *Tx) error {
		c, err := tx.Create("db.n", CollectionSpec{}, Meta{})
		if err != nil {
			return err
		}
		if _, err := tx.CreateIndexes(c, []bson.Raw{keySpec("x", value.D("x", 1), "unique", true)}, Meta{}); err != nil {
			return err
		}
		_, err = tx.Insert(c, doc(1), Meta{})
		return err
	}
	require.NoError(t, txn.Do(create))
	err := late.Do(create)
	assert.True(t, mongoerr.Is(err, mongoerr.WriteConflict), "%v", err)
	assert.True(t, mongoerr.Is(w.e.Update(create), mongoerr.WriteConflict))
	_, err = txn.Commit()
	require.NoError(t, err)
	err = late.Do(create)
	assert.True(t, mongoerr.Is(err, mongoerr.WriteConflict), "%v", err)
	err = late.Do(func(tx *Tx) error {
		_, err := tx.CreateIndexes(tx.Collection("db.c"), []bson.Raw{keySpec("y", value.D("y", 1))}, Meta{})
		return err
	})
	assert.True(t, mongoerr.Is(err, mongoerr.OperationNotSupportedInTransaction), "%v", err)
	w.must(func(tx *Tx) error {
		_, err := tx.Insert(tx.Collection("db.n"), doc(2, "x", 1), Meta{})
		return err
	})
	w.requireConsistent()
	es, err := w.log.Read(bson.Timestamp{}, false, 100)
	require.NoError(t, err)
	ops, err := es[len(es)-2].O.Lookup("applyOps").Array().Values()
	require.NoError(t, err)
	assert.Equal(t, `{ create: "n", idIndex: { v: 2, key: { _id: 1 }, name: "_id_" } }`, render(ops[0].Document().Lookup("o").Document()))
	assert.Equal(t, `{ createIndexes: "n", v: 2, key: { x: 1 }, name: "x", unique: true }`, render(ops[1].Document().Lookup("o").Document()))
}

func TestALargeTransactionIsAChainOfEntries(t *testing.T) {
	w := withCollection(t)
	txn := w.begin(1)
	blob := value.Binary(0, make([]byte, 7<<20))
	for i := range 5 {
		require.NoError(t, txn.Do(inserting(doc(i, "b", blob))))
	}
	ts, err := txn.Commit()
	require.NoError(t, err)
	es, err := w.log.Read(bson.Timestamp{}, false, 100)
	require.NoError(t, err)
	require.Len(t, es, 4)
	assert.True(t, es[1].O.Lookup("partialTxn").Boolean())
	assert.Equal(t, int64(5), es[3].O.Lookup("count").AsInt64())
	assert.Equal(t, es[2].TS, es[3].Txn.Prev)
	assert.Equal(t, ts, es[3].TS)
}

// A plain write waits for the transaction it conflicts with, without holding
// anybody else up.
func TestUpdateWaitOutlastsTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := uniqueWorld(t)
		txn := w.begin(1)
		require.NoError(t, txn.Do(setting(1, doc(1, "a", 10))))
		done := make(chan error, 1)
		go func() { done <- w.e.UpdateWait(t.Context(), inserting(doc(3, "a", 10))) }()
		synctest.Wait()
		require.NoError(t, w.insert(doc(4, "a", 4)))
		txn.Abort()
		require.NoError(t, <-done)

		txn = w.begin(2)
		require.NoError(t, txn.Do(deleting(1)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, w.e.UpdateWait(ctx, deleting(1)), context.DeadlineExceeded)
		_, err := txn.Commit()
		require.NoError(t, err)
		assert.NotContains(t, w.ids(ScanSpec{}), "1")
	})
}
