package storage

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestInsertStoresWhatTheServerStores(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.insert(value.D("a", 1, "_id", 7)))
	require.NoError(t, w.e.View(func(tx *Tx) error {
		r, ok := tx.FindID(tx.Collection("db.c"), value.Double(7))
		require.True(t, ok)
		assert.Equal(t, "{ _id: 7, a: 1 }", render(r.Doc))
		return nil
	}))

	empty := value.Timestamp(bson.Timestamp{})
	w.must(func(tx *Tx) error {
		c := tx.Collection("db.c")
		r, err := tx.Insert(c, doc(empty, "ts", empty, "sub", value.D("ts", empty)), Meta{})
		require.NoError(t, err)
		assert.True(t, isEmptyTimestamp(r.Doc.Lookup("_id")), "not in _id")
		assert.False(t, isEmptyTimestamp(r.Doc.Lookup("ts")))
		assert.True(t, isEmptyTimestamp(r.Doc.Lookup("sub", "ts")), "only at the top level")
		r, err = tx.Insert(c, doc(8, "ts", empty), Meta{KeepEmptyTimestamps: true})
		require.NoError(t, err)
		assert.True(t, isEmptyTimestamp(r.Doc.Lookup("ts")))
		r, err = tx.Insert(c, value.D("x", 1), Meta{})
		require.NoError(t, err)
		assert.Equal(t, bson.TypeObjectID, r.Doc.Index(0).Value().Type)
		return nil
	})
}

func TestInsertRefuses(t *testing.T) {
	big := make([]byte, maxDocSize)
	for name, tc := range map[string]struct {
		doc  bson.Raw
		code mongoerr.Code
	}{
		"an array as _id":       {doc(value.ArrayOf()), mongoerr.InvalidIDField},
		"a regex as _id":        {doc(value.Regex("a", "")), mongoerr.InvalidIDField},
		"undefined as _id":      {doc(value.Undefined()), mongoerr.InvalidIDField},
		"a dollar field in _id": {doc(value.D("$x", 1)), mongoerr.DollarPrefixedFieldName},
		"two _ids":              {value.D("_id", 1, "_id", 2), mongoerr.BadValue},
		"more than 16 MiB":      {doc(1, "b", value.Binary(0, big)), mongoerr.BadValue},
		"damaged bytes":         {bson.Raw{9, 0, 0, 0, 0}, mongoerr.InvalidBSON},
	} {
		t.Run(name, func(t *testing.T) {
			w := withCollection(t)
			err := w.insert(tc.doc)
			assert.True(t, mongoerr.Is(err, tc.code), "%v", err)
			assert.Empty(t, w.ids(ScanSpec{}))
		})
	}
}

func TestWritesAreLoggedWithTheirDocumentKey(t *testing.T) {
	w := withCollection(t)
	w.must(func(tx *Tx) error { return tx.SetShardKey(tx.Collection("db.c"), value.D("s", 1, "n.x", 1)) })
	w.must(func(tx *Tx) error {
		c := tx.Collection("db.c")
		r, err := tx.Insert(c, doc(1, "n", value.D("x", "k"), "s", 5), Meta{FromMigrate: true})
		require.NoError(t, err)
		full := doc(1, "s", 6)
		r, err = tx.Replace(c, r.ID, full, Meta{Form: FormReplacement})
		require.NoError(t, err)
		_, err = tx.Replace(c, r.ID, doc(1, "s", 6), Meta{})
		require.NoError(t, err, "equal bytes are no change")
		_, err = tx.Replace(c, r.ID, doc(1, "s", 6, "y", 1), Meta{Form: FormDiff})
		require.NoError(t, err)
		return tx.Delete(c, r.ID, Meta{})
	})
	assert.Equal(t, []string{
		`c db.$cmd { create: "c", idIndex: { v: 2, key: { _id: 1 }, name: "_id_" } }`,
		`i db.c { _id: 1, n: { x: "k" }, s: 5 } { s: 5, n.x: "k", _id: 1 } fromMigrate`,
		`u db.c { _id: 1, s: 6 } { s: 5, n.x: "k", _id: 1 }`,
		`u db.c { $v: 2, diff: { i: { y: 1 } } } { s: 6, _id: 1 }`,
		`d db.c { s: 6, _id: 1 }`,
	}, w.entries())
}

func TestReplaceKeepsTheID(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.insert(doc(1, "a", 1)))
	w.must(func(tx *Tx) error {
		c := tx.Collection("db.c")
		r, _ := tx.FindID(c, value.Int32(1))
		r, err := tx.Replace(c, r.ID, value.D("a", 2), Meta{})
		require.NoError(t, err)
		assert.Equal(t, "{ _id: 1, a: 2 }", render(r.Doc))
		_, err = tx.Replace(c, r.ID, doc(2, "a", 2), Meta{})
		assert.True(t, mongoerr.Is(err, mongoerr.ImmutableField), "%v", err)
		return nil
	})
}

func TestImagesAreKeptWhereAskedFor(t *testing.T) {
	w := withCollection(t, "changeStreamPreAndPostImages", value.D("enabled", true))
	w.must(func(tx *Tx) error {
		c := tx.Collection("db.c")
		r, err := tx.Insert(c, doc(1), Meta{})
		require.NoError(t, err)
		_, err = tx.Replace(c, r.ID, doc(1, "a", 1), Meta{})
		require.NoError(t, err)
		return tx.Delete(c, r.ID, Meta{})
	})
	es, err := w.log.Read(bson.Timestamp{}, false, 10)
	require.NoError(t, err)
	assert.Equal(t, doc(1), es[2].Pre)
	assert.Equal(t, doc(1, "a", 1), es[2].Post)
	assert.Equal(t, doc(1, "a", 1), es[3].Pre)
}

func TestAFailedUpdateLeavesNoTrace(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.index(keySpec("a_1", value.D("a", 1), "unique", true)))
	require.NoError(t, w.insert(doc(1, "a", 1), doc(2, "a", 2)))
	before, log := w.dump(), w.entries()
	stop := errors.New("stop")
	err := w.e.Update(func(tx *Tx) error {
		c := tx.Collection("db.c")
		r, _ := tx.FindID(c, value.Int32(1))
		require.NoError(t, tx.Delete(c, r.ID, Meta{}))
		r, _ = tx.FindID(c, value.Int32(2))
		_, err := tx.Replace(c, r.ID, doc(2, "a", 1), Meta{})
		require.NoError(t, err)
		_, err = tx.Insert(c, doc(3, "a", 2), Meta{})
		require.NoError(t, err)
		_, err = tx.CreateIndexes(c, []bson.Raw{keySpec("b", value.D("b", 1))}, Meta{})
		require.NoError(t, err)
		require.NoError(t, tx.DropIndex(c, "a_1", Meta{}))
		_, err = tx.Insert(c, doc(4, "a", 2), Meta{})
		require.NoError(t, err)
		require.NoError(t, tx.Rename("db.c", "db.d", false, Meta{}))
		_, err = tx.Create("db.v", CollectionSpec{Options: value.D("viewOn", "d")}, Meta{})
		require.NoError(t, err)
		require.NoError(t, tx.DropDatabase("db", Meta{}))
		_, err = tx.Create("db.c", CollectionSpec{}, Meta{})
		require.NoError(t, err)
		return stop
	})
	require.ErrorIs(t, err, stop)
	assert.Equal(t, before, w.dump())
	assert.Equal(t, log, w.entries())
}

func TestAViewRefusesWrites(t *testing.T) {
	w := withCollection(t)
	_ = w.e.View(func(tx *Tx) error {
		_, err := tx.Insert(tx.Collection("db.c"), doc(1), Meta{})
		assert.True(t, mongoerr.Is(err, mongoerr.IllegalOperation), "%v", err)
		return nil
	})
}

func TestCappedCollectionsEvictTheOldest(t *testing.T) {
	w := withCollection(t, "capped", true, "size", 1000, "max", 3)
	require.NoError(t, w.insert(doc(1), doc(2), doc(3), doc(4)))
	assert.Equal(t, []string{"2", "3", "4"}, w.ids(ScanSpec{}))
	assert.Equal(t, []string{"i db.c { _id: 4 } { _id: 4 }", "d db.c { _id: 1 }"}, w.entries()[4:])

	big := value.Binary(0, make([]byte, 900))
	require.NoError(t, w.insert(doc(5, "b", big), doc(6, "b", big)))
	assert.Equal(t, []string{"6"}, w.ids(ScanSpec{}))
	err := w.insert(doc(7, "b", value.Binary(0, make([]byte, 1000))))
	assert.True(t, mongoerr.Is(err, mongoerr.BadValue), "%v", err)

	_, err = w.collMod("cappedSize", 4000, "cappedMax", 0)
	require.NoError(t, err)
	require.NoError(t, w.insert(doc(8), doc(9), doc(10), doc(11)))
	assert.Len(t, w.ids(ScanSpec{}), 5)
	_, err = w.collMod("cappedMax", 2)
	require.NoError(t, err)
	assert.Len(t, w.ids(ScanSpec{}), 5, "a smaller limit holds from the next insert on")
	require.NoError(t, w.insert(doc(12)))
	assert.Equal(t, []string{"11", "12"}, w.ids(ScanSpec{}))
}

func TestCappedSizesAreRoundedForOldServers(t *testing.T) {
	w := newWorld(t)
	w.must(func(tx *Tx) error {
		spec := CollectionSpec{Options: value.D("capped", true, "size", 1000), RoundSize: true}
		c, err := tx.Create("db.old", spec, Meta{})
		require.NoError(t, err)
		size, _ := c.CappedLimits()
		assert.Equal(t, int64(1024), size)
		assert.Equal(t, "{ capped: true, size: 1024 }", render(c.Options))
		return nil
	})
}

func TestExpiredDocumentsAreDeleted(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	at := func(age time.Duration) bson.RawValue { return value.DateTime(now.Add(-age).UnixMilli()) }
	w := withCollection(t)
	require.NoError(t, w.index(keySpec("ttl", value.D("at", -1), "expireAfterSeconds", 60)))
	require.NoError(t, w.insert(
		doc(1, "at", at(time.Hour)),
		doc(2, "at", at(time.Second)),
		doc(3, "at", value.ArrayOf(at(0), at(2*time.Minute))),
		doc(4, "at", "no date"), doc(5), doc(6, "at", at(time.Minute)),
	))
	n := 0
	w.must(func(tx *Tx) (err error) {
		n, err = tx.DeleteExpired(now, 0, nil)
		return err
	})
	assert.Equal(t, 3, n)
	assert.Equal(t, []string{"2", "4", "5"}, w.ids(ScanSpec{}))
	assert.Contains(t, w.entries(), "d db.c { _id: 3 }")

	w = withCollection(t, "clusteredIndex", value.D("key", value.D("_id", 1), "unique", true), "expireAfterSeconds", 60)
	require.NoError(t, w.insert(doc(at(0)), doc(at(time.Hour)), doc(5)))
	w.must(func(tx *Tx) error {
		n, err := tx.DeleteExpired(now, 1, nil)
		assert.Equal(t, 1, n)
		return err
	})
	assert.Len(t, w.ids(ScanSpec{}), 2)
}

func TestValidatorsDecide(t *testing.T) {
	w := newWorld(t)
	w.e.SetValidator(func(_, doc bson.Raw, _ *collation.Collation) (bool, bson.Raw, error) {
		_, ok := value.Get(doc, "good")
		return ok, value.D("why", "no good"), nil
	})
	w.must(func(tx *Tx) error {
		_, err := tx.Create("db.c", CollectionSpec{Options: value.D("validator", value.D("good", 1))}, Meta{})
		return err
	})
	err := w.insert(doc(1))
	require.True(t, mongoerr.Is(err, mongoerr.DocumentValidationFailure), "%v", err)
	info := mongoerr.From(err).Info[0].Value.(bson.Raw)
	assert.Equal(t, `{ failingDocumentId: 1, details: { why: "no good" } }`, render(info))

	w.must(func(tx *Tx) error {
		c := tx.Collection("db.c")
		r, err := tx.Insert(c, doc(1), Meta{BypassValidation: true})
		require.NoError(t, err)
		_, err = tx.Replace(c, r.ID, doc(1, "a", 1), Meta{})
		require.True(t, mongoerr.Is(err, mongoerr.DocumentValidationFailure))
		_, err = tx.CollMod(c, value.D("validationLevel", "moderate"), Meta{})
		require.NoError(t, err)
		_, err = tx.Replace(c, r.ID, doc(1, "a", 1), Meta{})
		require.NoError(t, err, "it was invalid before")
		return nil
	})
	require.Error(t, w.insert(doc(2)))
	_, err = w.collMod("validationAction", "warn")
	require.NoError(t, err)
	assert.NoError(t, w.insert(doc(2)))
}

func TestRetryableWritesCarryTheirSession(t *testing.T) {
	w := withCollection(t)
	info := oplog.TxnInfo{LSID: value.D("id", 1), Number: 3, StmtID: 2}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w.must(func(tx *Tx) error {
		_, err := tx.Insert(tx.Collection("db.c"), doc(1), Meta{Txn: info, Now: now})
		return err
	})
	es, err := w.log.Read(bson.Timestamp{}, false, 10)
	require.NoError(t, err)
	assert.Equal(t, info, es[1].Txn)
	assert.Equal(t, now, es[1].Wall)
}
