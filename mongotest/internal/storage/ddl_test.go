package storage

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

const createdC = `c db.$cmd { create: "c", idIndex: { v: 2, key: { _id: 1 }, name: "_id_" } }`

func TestIndexEntriesInTheOplog(t *testing.T) {
	w := withCollection(t)
	a, b := keySpec("a_1", value.D("a", 1), "unique", true), keySpec("b_1", value.D("b", 1), "expireAfterSeconds", 5)
	require.NoError(t, w.index(a, b))
	require.NoError(t, w.index(a, b), "they exist")
	assert.Equal(t, []string{
		createdC,
		`c db.$cmd { createIndexes: "c", v: 2, key: { a: 1 }, name: "a_1", unique: true }`,
		`c db.$cmd { createIndexes: "c", v: 2, key: { b: 1 }, name: "b_1", expireAfterSeconds: 5 }`,
	}, w.entries())

	require.NoError(t, w.insert(doc(1, "a", 1)))
	require.NoError(t, w.index(keySpec("c_1", value.D("c", 1)), keySpec("d_1", value.D("d", 1), "hidden", true)))
	es, err := w.log.Read(bson.Timestamp{}, false, 100)
	require.NoError(t, err)
	require.Len(t, es, 6)
	commit := es[5].O
	assert.Equal(t, "commitIndexBuild", es[5].CommandName())
	assert.Equal(t, es[4].O.Lookup("indexBuildUUID"), commit.Lookup("indexBuildUUID"))
	assert.Equal(t, `[ { v: 2, key: { c: 1 }, name: "c_1" }, { v: 2, key: { d: 1 }, name: "d_1", hidden: true } ]`,
		renderValue(commit.Lookup("indexes")))

	w.must(func(tx *Tx) error { return tx.DropIndex(tx.Collection("db.c"), "a_1", Meta{}) })
	assert.Equal(t, `c db.$cmd { dropIndexes: "c", index: "a_1" } { v: 2, key: { a: 1 }, name: "a_1", unique: true }`, w.entries()[6])
}

func TestIndexesThatCannotBeCreated(t *testing.T) {
	a := value.D("a", 1)
	for name, tc := range map[string]struct {
		spec bson.Raw
		code mongoerr.Code
	}{
		"text, unique":                   {value.D("key", value.D("t", "text"), "name", "x", "unique", true), mongoerr.CannotCreateIndex},
		"2dsphere, unique":               {value.D("key", value.D("t", "2dsphere"), "name", "x", "unique", true), mongoerr.CannotCreateIndex},
		"an unknown plugin":              {keySpec("x", value.D("t", "gone")), mongoerr.CannotCreateIndex},
		"no fields":                      {keySpec("x", value.D()), mongoerr.CannotCreateIndex},
		"direction zero":                 {keySpec("x", value.D("b", 0)), mongoerr.CannotCreateIndex},
		"a boolean direction":            {keySpec("x", value.D("b", true)), mongoerr.CannotCreateIndex},
		"no name":                        {value.D("key", value.D("b", 1)), mongoerr.FailedToParse},
		"no key":                         {value.D("name", "x"), mongoerr.FailedToParse},
		"an unknown option":              {keySpec("x", value.D("b", 1), "odd", 1), mongoerr.InvalidIndexSpecificationOption},
		"an unknown collation":           {keySpec("x", value.D("b", 1), "collation", value.D("locale", "zzz")), mongoerr.BadValue},
		"an empty collation":             {keySpec("x", value.D("b", 1), "collation", value.D()), mongoerr.BadValue},
		"a collation of text":            {keySpec("x", value.D("b", "text"), "collation", value.D("locale", "de")), mongoerr.CannotCreateIndex},
		"a collation of a plane":         {keySpec("x", value.D("b", "2d"), "collation", value.D("locale", "de")), mongoerr.CannotCreateIndex},
		"another collation of _id":       {keySpec("x", value.D("_id", 1), "collation", value.D("locale", "de")), mongoerr.BadValue},
		"two hashed fields":              {keySpec("x", value.D("b", "hashed", "c", "hashed")), mongoerr.CannotCreateIndex},
		"unique hashed":                  {keySpec("x", value.D("b", "hashed"), "unique", true), codeHashedUnique},
		"TTL on two fields":              {keySpec("x", value.D("b", 1, "c", 1), "expireAfterSeconds", 1), mongoerr.CannotCreateIndex},
		"TTL out of range":               {keySpec("x", value.D("b", 1), "expireAfterSeconds", -1), mongoerr.CannotCreateIndex},
		"options on _id":                 {keySpec("x", value.D("_id", 1), "sparse", true), mongoerr.InvalidIndexSpecificationOption},
		"sparse and partial":             {keySpec("x", value.D("b", 1), "sparse", true, "partialFilterExpression", value.D("c", 1)), mongoerr.CannotCreateIndex},
		"another key under one name":     {keySpec("a_1", value.D("b", 1)), mongoerr.IndexKeySpecsConflict},
		"unique under the name of plain": {keySpec("a_1", a, "unique", true), mongoerr.IndexKeySpecsConflict},
		"another name for one index":     {keySpec("other", a), mongoerr.IndexOptionsConflict},
		"another TTL of one index":       {keySpec("a_1", a, "expireAfterSeconds", 1), mongoerr.IndexOptionsConflict},
		"the name of the _id index":      {keySpec("_id_", value.D("b", 1)), mongoerr.IndexKeySpecsConflict},
		"duplicates":                     {keySpec("d_1", value.D("d", 1), "unique", true), mongoerr.DuplicateKey},
	} {
		t.Run(name, func(t *testing.T) {
			w := withCollection(t)
			require.NoError(t, w.index(keySpec("a_1", a)))
			require.NoError(t, w.insert(doc(1, "d", 1), doc(2, "d", 1)))
			before := w.dump()
			err := w.index(keySpec("fine", value.D("f", 1)), tc.spec)
			assert.True(t, mongoerr.Is(err, tc.code), "%v", err)
			assert.Equal(t, before, w.dump())
		})
	}
}

func TestIndexesThatDifferInMoreThanTheirNameMayShareAKey(t *testing.T) {
	w := withCollection(t)
	a := value.D("a", 1)
	require.NoError(t, w.index(
		keySpec("plain", a), keySpec("unique", a, "unique", true), keySpec("sparse", a, "sparse", true),
		keySpec("partial", a, "partialFilterExpression", value.D("b", 1)), keySpec("down", value.D("a", -1)),
	))
	require.NoError(t, w.index(keySpec("_id_", value.D("_id", 1)), keySpec("any", value.D("_id", 1.0))), "the _id index exists")
	_ = w.e.View(func(tx *Tx) error {
		c := tx.Collection("db.c")
		assert.Len(t, c.Indexes(), 6)
		assert.Len(t, c.IndexesByKey(value.D("a", 1.0)), 4)
		return nil
	})
}

func TestDropIndexRefuses(t *testing.T) {
	w := withCollection(t)
	w.must(func(tx *Tx) error {
		c := tx.Collection("db.c")
		assert.True(t, mongoerr.Is(tx.DropIndex(c, "_id_", Meta{}), mongoerr.InvalidOptions))
		assert.True(t, mongoerr.Is(tx.DropIndex(c, "x", Meta{}), mongoerr.IndexNotFound))
		return nil
	})
}

func TestCollModOnIndexes(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.index(keySpec("a_1", value.D("a", 1), "expireAfterSeconds", 5)))
	reply, err := w.collMod("index", value.D("keyPattern", value.D("a", 1), "hidden", true))
	require.NoError(t, err)
	assert.Equal(t, bson.D{{Key: "hidden_old", Value: value.Bool(false)}, {Key: "hidden_new", Value: value.Bool(true)}}, reply)
	_, err = w.collMod("index", value.D("name", "a_1", "expireAfterSeconds", 9))
	require.NoError(t, err)
	_, err = w.collMod("index", value.D("name", "a_1", "hidden", false))
	require.NoError(t, err)

	entries := w.entries()[2:]
	uuid := ""
	_ = w.e.View(func(tx *Tx) error {
		c := tx.Collection("db.c")
		uuid = renderValue(value.Binary(4, c.UUID[:]))
		assert.Equal(t, `{ v: 2, key: { a: 1 }, name: "a_1", expireAfterSeconds: 9 }`, render(c.Index("a_1").Spec))
		return nil
	})
	assert.Equal(t, []string{
		`c db.$cmd { collMod: "c", index: { name: "a_1", hidden: true } } { collectionOptions_old: { uuid: ` + uuid + ` }, indexOptions_old: { hidden: false } }`,
		`c db.$cmd { collMod: "c", index: { name: "a_1", expireAfterSeconds: 9 } } { collectionOptions_old: { uuid: ` + uuid + ` }, indexOptions_old: { expireAfterSeconds: 5 } }`,
		`c db.$cmd { collMod: "c", index: { name: "a_1", hidden: false } } { collectionOptions_old: { uuid: ` + uuid + ` }, indexOptions_old: { hidden: true } }`,
	}, entries)
}

func TestAnIndexBecomesUnique(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.index(keySpec("a_1", value.D("a", 1))))
	require.NoError(t, w.insert(doc(1, "a", 1), doc(2, "a", 1), doc(3, "a", 3)))
	unique := value.D("name", "a_1", "unique", true)
	_, err := w.collMod("index", unique)
	assert.True(t, mongoerr.Is(err, mongoerr.InvalidOptions), "%v", err)
	_, err = w.collMod("index", value.D("name", "a_1", "prepareUnique", true))
	require.NoError(t, err)
	assert.True(t, mongoerr.Is(w.insert(doc(4, "a", 3)), mongoerr.DuplicateKey))
	require.NoError(t, w.e.Update(setting(1, doc(1, "a", 1, "b", 1))), "old duplicates stay")

	_, err = w.collMod("index", unique)
	require.True(t, mongoerr.Is(err, mongoerr.CannotConvertIndexToUnique), "%v", err)
	assert.Equal(t, "[ { ids: [ 1, 2 ] } ]", renderValue(mongoerr.From(err).Info[0].Value.(bson.RawValue)))
	require.NoError(t, w.e.Update(deleting(1)))
	reply, err := w.collMod("index", unique)
	require.NoError(t, err)
	assert.Equal(t, bson.D{{Key: "unique_new", Value: true}}, reply)
	_, err = w.collMod("index", value.D("name", "a_1", "prepareUnique", true))
	require.NoError(t, err, "a unique index has nothing to prepare")
	_ = w.e.View(func(tx *Tx) error {
		assert.Equal(t, `{ v: 2, key: { a: 1 }, name: "a_1", unique: true }`, render(tx.Collection("db.c").Index("a_1").Spec))
		return nil
	})
	w.requireConsistent()
}

func TestCollModOnCollections(t *testing.T) {
	w := withCollection(t, "validator", value.D("a", 1))
	_, err := w.collMod("validator", value.D("b", 1), "validationLevel", "off", "changeStreamPreAndPostImages", value.D("enabled", true))
	require.NoError(t, err)
	_ = w.e.View(func(tx *Tx) error {
		c := tx.Collection("db.c")
		assert.True(t, c.Images())
		assert.Equal(t, `{ validator: { b: 1 }, validationLevel: "off", changeStreamPreAndPostImages: { enabled: true } }`, render(c.Options))
		return nil
	})
	assert.Contains(t, w.entries()[1], `{ collMod: "c", validator: { b: 1 }, validationLevel: "off", changeStreamPreAndPostImages: { enabled: true } } { collectionOptions_old: { uuid: `)
	assert.Contains(t, w.entries()[1], `validator: { a: 1 } } }`)
	before := w.dump()
	for name, mod := range map[string]bson.Raw{
		"an unknown option":      value.D("odd", 1),
		"a view's option":        value.D("viewOn", "x"),
		"a capped one's":         value.D("cappedSize", 100),
		"a clustered one's":      value.D("expireAfterSeconds", 1),
		"an unknown index":       value.D("index", value.D("name", "no", "hidden", true)),
		"an index without a key": value.D("index", value.D("hidden", true)),
		"the _id index":          value.D("index", value.D("name", "_id_", "hidden", true)),
		"nothing of an index":    value.D("index", value.D("name", "_id_")),
		"a bad level":            value.D("validator", value.D("c", 1), "validationLevel", "odd"),
	} {
		_, err := w.collMod("index", mod)
		require.Error(t, err, name)
		w.must(func(tx *Tx) error {
			_, err := tx.CollMod(tx.Collection("db.c"), mod, Meta{})
			assert.Error(t, err, name)
			return nil
		})
	}
	assert.Equal(t, before, w.dump())
}

func TestCreateRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		ns      string
		options bson.Raw
		code    mongoerr.Code
	}{
		"an existing name":         {"db.c", nil, mongoerr.NamespaceExists},
		"a database's other case":  {"DB.x", nil, mongoerr.DatabaseDifferCase},
		"no collection":            {"db.", nil, mongoerr.InvalidNamespace},
		"a dollar":                 {"db.a$b", nil, mongoerr.InvalidNamespace},
		"an unknown option":        {"db.x", value.D("odd", 1), mongoerr.IDLUnknownField},
		"capped without size":      {"db.x", value.D("capped", true), mongoerr.InvalidOptions},
		"size without capped":      {"db.x", value.D("size", 4096), mongoerr.InvalidOptions},
		"an unknown collation":     {"db.x", value.D("collation", value.D("locale", "zzz")), mongoerr.BadValue},
		"an _id index of another":  {"db.x", value.D("collation", value.D("locale", "de"), "idIndex", value.D("key", value.D("_id", 1), "name", "_id_", "collation", value.D("locale", "fr"))), mongoerr.BadValue},
		"clustered by another key": {"db.x", value.D("clusteredIndex", value.D("key", value.D("a", 1), "unique", true)), mongoerr.InvalidIndexSpecificationOption},
		"expiry without clusters":  {"db.x", value.D("expireAfterSeconds", 1), mongoerr.InvalidOptions},
		"buckets of nothing":       {"db.system.buckets.x", nil, mongoerr.IllegalOperation},
		"half a time series":       {"db.x", value.D("timeseries", value.D("timeField", "t", "bucketMaxSpanSeconds", 60)), mongoerr.InvalidOptions},
		"an expiry of ages":        {"db.x", value.D("timeseries", value.D("timeField", "t"), "expireAfterSeconds", int64(1)<<31-1), mongoerr.InvalidOptions},
	} {
		t.Run(name, func(t *testing.T) {
			w := withCollection(t)
			err := w.e.Update(func(tx *Tx) error {
				_, err := tx.Create(tc.ns, CollectionSpec{Options: tc.options}, Meta{})
				return err
			})
			assert.True(t, mongoerr.Is(err, tc.code), "%v", err)
			assert.Len(t, w.entries(), 1)
		})
	}
}

func TestDropsAndRenamesInTheOplog(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.insert(doc(1)))
	old, kept := value.UUID{}, value.UUID{}
	w.must(func(tx *Tx) error {
		c, err := tx.Create("db.d", CollectionSpec{}, Meta{})
		old, kept = c.UUID, tx.Collection("db.c").UUID
		return err
	})
	err := w.e.Update(func(tx *Tx) error { return tx.Rename("db.c", "db.d", false, Meta{}) })
	assert.True(t, mongoerr.Is(err, mongoerr.NamespaceExists), "%v", err)
	w.must(func(tx *Tx) error { return tx.Rename("db.c", "db.d", true, Meta{FromMigrate: true}) })
	w.must(func(tx *Tx) error {
		assert.Equal(t, []string{"db"}, tx.Databases())
		assert.Nil(t, tx.Collection("db.c"))
		assert.Equal(t, "db.d", tx.CollectionByUUID(kept).NS)
		assert.Nil(t, tx.CollectionByUUID(old))
		return tx.DropDatabase("db", Meta{})
	})
	assert.Equal(t, []string{
		`c db.$cmd { renameCollection: "db.c", to: "db.d", stayTemp: false, dropTarget: ` +
			renderValue(value.Binary(4, old[:])) + ` } { numRecords: 0 } fromMigrate`,
		`c db.$cmd { drop: "d" } { numRecords: 1 }`,
		`c db.$cmd { dropDatabase: 1 }`,
	}, w.entries()[3:])
}

func TestRenamingAcrossDatabasesCopies(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.index(keySpec("a", value.D("a", 1))))
	require.NoError(t, w.insert(doc(1, "a", 1)))
	w.must(func(tx *Tx) error { return tx.Rename("db.c", "new.c", false, Meta{}) })
	w.must(func(tx *Tx) error {
		c := tx.Collection("new.c")
		assert.Len(t, c.Indexes(), 2)
		assert.Equal(t, int64(1), c.Count())
		assert.Equal(t, []string{"new"}, tx.Databases())
		assert.Equal(t, "{}", render(c.Options))
		return nil
	})
	entries := w.entries()
	assert.Equal(t, `c db.$cmd { drop: "c" } { numRecords: 1 }`, entries[len(entries)-1])
	w.requireConsistent()
}

func TestViewsLiveInSystemViews(t *testing.T) {
	w := withCollection(t)
	pipeline := value.ArrayOf(value.Doc(value.D("$match", value.D())))
	w.must(func(tx *Tx) error {
		v, err := tx.Create("db.v", CollectionSpec{Options: value.D("viewOn", "c", "pipeline", pipeline)}, Meta{})
		require.NoError(t, err)
		_, err = tx.Insert(v, doc(1), Meta{})
		assert.True(t, mongoerr.Is(err, mongoerr.CommandNotSupportedOnView), "%v", err)
		_, err = tx.CollMod(v, value.D("viewOn", "d", "pipeline", value.ArrayOf()), Meta{})
		require.NoError(t, err)
		on, p := tx.Collection("db.v").View()
		assert.Equal(t, "d", on)
		assert.True(t, value.IsEmpty(p))
		return nil
	})
	w.must(func(tx *Tx) error { return tx.Drop(tx.Collection("db.v"), Meta{}) })
	assert.Equal(t, []string{
		`c db.$cmd { create: "system.views", idIndex: { v: 2, key: { _id: 1 }, name: "_id_" } }`,
		`i db.system.views { _id: "db.v", viewOn: "c", pipeline: [ { $match: {} } ] } { _id: "db.v" }`,
		`u db.system.views { _id: "db.v", viewOn: "d", pipeline: [] } { _id: "db.v" }`,
		`d db.system.views { _id: "db.v" }`,
	}, w.entries()[1:])
	w.must(func(tx *Tx) error {
		_, err := tx.Create("db.v", CollectionSpec{Options: value.D("viewOn", "c")}, Meta{})
		require.NoError(t, err)
		require.NoError(t, tx.DropDatabase("db", Meta{}))
		assert.Empty(t, tx.Databases())
		return nil
	})
}

func TestLocalIsNotLogged(t *testing.T) {
	w := newWorld(t)
	w.must(func(tx *Tx) error {
		c, err := tx.Create("local.x", CollectionSpec{}, Meta{})
		require.NoError(t, err)
		_, err = tx.Insert(c, doc(1), Meta{})
		return err
	})
	assert.Empty(t, w.entries())
}
