package mongod_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// names returns the names in a listing's first batch.
func names(t *testing.T, list bson.RawValue) []string {
	t.Helper()
	vals, err := list.Array().Values()
	require.NoError(t, err)
	out := []string{}
	for _, v := range vals {
		out = append(out, v.Document().Lookup("name").StringValue())
	}
	return out
}

func TestListings(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	f.run("db", "create", "b", "capped", true, "size", 4096)
	f.run("db", "create", "v", "viewOn", "c", "pipeline", []bson.Raw{})
	list := func(pairs ...any) []string {
		return names(t, f.run("db", append([]any{"listCollections", 1}, pairs...)...).Lookup("cursor", "firstBatch"))
	}
	assert.Equal(t, []string{"b", "c", "system.views", "v"}, list())
	assert.Equal(t, []string{"v"}, list("filter", value.D("type", "view"), "nameOnly", true))
	assert.Equal(t, []string{"b"}, list("filter", value.D("options.capped", true)))
	assert.Equal(t, []string{"b", "c"}, list("cursor", value.D("batchSize", 2)))
	shown := f.run("db", "listCollections", 1, "filter", value.D("name", "b")).Lookup("cursor", "firstBatch", "0", "options")
	assert.Equal(t, value.D("capped", true, "size", int32(4096)), shown.Document(), "a small integer, as drivers expect")

	dbs := func(pairs ...any) []string {
		return names(t, f.run("admin", append([]any{"listDatabases", 1}, pairs...)...).Lookup("databases"))
	}
	assert.Equal(t, []string{"admin", "config", "db", "local"}, dbs())
	assert.Equal(t, []string{"db"}, dbs("filter", value.D("name", value.D("$nin", value.A("admin", "config", "local"))), "nameOnly", true))
	f.fail(mongoerr.NamespaceNotFound, "db", "listIndexes", "none")
}

func TestCollectionsAreMadeAndDropped(t *testing.T) {
	f := newFixture(t)
	f.run("db", "create", "c", "comment", "generic arguments are no options", "writeConcern", value.D("w", 1))
	f.fail(mongoerr.NamespaceExists, "db", "create", "c", "capped", true, "size", 100)
	f.insert(doc(1, 1))
	reply := f.run("db", "drop", "c")
	assert.EqualValues(t, 1, num(reply, "nIndexesWas"))
	f.run("db", "drop", "c") // nothing to do is no error since 7.0
	f.insert(doc(1, 1))
	f.run("db", "dropDatabase", 1)
	f.run("db", "dropDatabase", 1)
	assert.Empty(t, f.find())
	f.fail(mongoerr.IllegalOperation, "admin", "dropDatabase", 1)
	f.fail(5255100, "db", "dropDatabase", 2)
	f.fail(mongoerr.InvalidNamespace, "bad name", "create", "c")
}

func TestIndexesAreMadeAndDropped(t *testing.T) {
	f := newFixture(t)
	specs := []bson.Raw{value.D("key", value.D("a", 1), "name", "a_1"), value.D("key", value.D("b", 1), "name", "b_1", "unknown", 1)}
	reply := f.run("db", "createIndexes", "c", "indexes", specs, "ignoreUnknownIndexOptions", true)
	assert.EqualValues(t, 1, num(reply, "numIndexesBefore"))
	assert.EqualValues(t, 3, num(reply, "numIndexesAfter"))
	assert.True(t, reply.Lookup("createdCollectionAutomatically").Boolean())
	reply = f.run("db", "createIndexes", "c", "indexes", specs[:1])
	assert.Equal(t, "all indexes already exist", reply.Lookup("note").StringValue())
	f.run("db", "dropIndexes", "c", "index", value.D("a", 1))
	f.fail(mongoerr.IndexNotFound, "db", "dropIndexes", "c", "index", "a_1")
	f.run("db", "dropIndexes", "c", "index", "*")
	assert.Equal(t, []string{"_id_"}, names(t, f.run("db", "listIndexes", "c").Lookup("cursor", "firstBatch")))
}

func TestCollModSaysWhatItChanged(t *testing.T) {
	f := newFixture(t)
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("a", 1), "name", "a_1")})
	reply := f.run("db", "collMod", "c", "index", value.D("name", "a_1", "hidden", true))
	assert.True(t, reply.Lookup("hidden_new").Boolean())
	f.fail(mongoerr.NamespaceNotFound, "db", "collMod", "none", "index", value.D("name", "a_1", "hidden", true))
}

func TestAValidatorRejectsDocuments(t *testing.T) {
	f := newFixture(t)
	f.run("db", "create", "c", "validator", value.D("a", value.D("$gt", 0)))
	insert := []any{"insert", "c", "documents", []bson.Raw{doc(1, -1)}}
	assert.EqualValues(t, mongoerr.DocumentValidationFailure, num(f.run("db", insert...), "writeErrors", "0", "code"))
	assert.EqualValues(t, 1, num(f.run("db", append(insert, "bypassDocumentValidation", true)...), "n"))
}

func TestAShardMakesACollectionWithTheUUIDItIsTold(t *testing.T) {
	f := newFixture(t)
	id, key := value.NewUUID(), value.D("k", 1)
	g := f.through(command.Routed{FromMigrate: true, UUID: id, ShardKey: key})
	g.run("db", "create", "c")
	g.run("db", "create", "c") // again is no error
	list := f.run("db", "listCollections", 1)
	assert.Equal(t, value.Of(id), list.Lookup("cursor", "firstBatch", "0", "info", "uuid"))
	f.insert(value.D("_id", 1, "k", 7))
	entry := f.run("local", "find", "oplog.rs", "filter", value.D("op", "i")).Lookup("cursor", "firstBatch", "0").Document()
	assert.JSONEq(t, `{"k": 7, "_id": 1}`, relaxed(t, entry.Lookup("o2")))
}

func TestShardCollectionIsLoggedOnce(t *testing.T) {
	f := newFixture(t)
	f.run("db", "create", "c")
	f.fail(mongoerr.CommandNotFound, "admin", "shardCollection", "db.c", "key", value.D("k", 1))
	g := f.through(command.Routed{ShardKey: value.D("k", 1)})
	g.run("admin", "shardCollection", "db.c", "key", value.D("k", 1))
	g.run("admin", "shardCollection", "db.c", "key", value.D("k", 1))
	entries := f.run("local", "find", "oplog.rs", "filter", value.D("op", "n"))
	assert.Len(t, batch(t, entries), 1)
}

func TestTheOplogIsReadLikeACollection(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2))
	last := f.run("local", "find", "oplog.rs", "sort", value.D("$natural", -1), "limit", 1).Lookup("cursor", "firstBatch", "0").Document()
	assert.EqualValues(t, 2, num(last, "o", "_id"))
	from := []any{"filter", value.D("ts", value.D("$gte", last.Lookup("ts")))}
	assert.Len(t, batch(t, f.run("local", append([]any{"find", "oplog.rs"}, from...)...)), 1)
	assert.EqualValues(t, f.Log().Len(), num(f.run("local", "count", "oplog.rs"), "n"))
	f.fail(mongoerr.InvalidNamespace, "local", "drop", "oplog.rs")
	tail := f.run("local", append([]any{"find", "oplog.rs", "tailable", true, "awaitData", true}, from...)...)
	f.insert(doc(3, 3))
	more := f.run("local", "getMore", cursorID(tail), "collection", "oplog.rs")
	assert.EqualValues(t, 3, num(more, "cursor", "nextBatch", "0", "o", "_id"))
	f.Log().Truncate(f.Log().Last())
	f.insert(doc(4, 4))
	assert.Empty(t, batch(t, f.run("config", "find", "transactions")))
}

func TestConvertToCappedKeepsTheLatestDocuments(t *testing.T) {
	f := newFixture(t)
	for i := range 10 {
		f.insert(doc(i, i))
	}
	size := len(doc(1, 1))
	f.run("db", "cloneCollectionAsCapped", "c", "toCollection", "copy", "size", size*4)
	f.run("db", "convertToCapped", "c", "size", size*2)
	assert.Len(t, f.find(), 2)
	assert.EqualValues(t, 8, f.find()[0])
	assert.EqualValues(t, 4, num(f.run("db", "count", "copy"), "n"))
	f.fail(mongoerr.NamespaceExists, "db", "cloneCollectionAsCapped", "c", "toCollection", "copy", "size", 100)
	f.fail(mongoerr.NamespaceNotFound, "db", "convertToCapped", "none", "size", 100)
	f.fail(mongoerr.InvalidOptions, "db", "convertToCapped", "c", "size", 0)
}

func TestValidateDBMetadataNamesWhatTheStableAPIHasNot(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("a", 1), "name", "a_1", "sparse", true)})
	ask := func(strict bool, db string) int {
		reply := f.run("admin", "validateDBMetadata", 1, "apiParameters", value.D("version", "1", "strict", strict), "db", db)
		found, err := reply.Lookup("apiVersionErrors").Array().Values()
		require.NoError(t, err)
		return len(found)
	}
	assert.Equal(t, 1, ask(true, "db"))
	assert.Zero(t, ask(false, "db"))
	assert.Zero(t, ask(true, "other"))
	f.fail(mongoerr.APIVersionError, "admin", "validateDBMetadata", 1, "apiParameters", value.D("version", "2"))
}

func TestADryRunOfCollModChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	index := []bson.Raw{value.D("key", value.D("a", 1), "name", "a_1", "prepareUnique", true)}
	f.run("db", "createIndexes", "c", "indexes", index)
	f.run("db", "collMod", "c", "index", value.D("name", "a_1", "unique", true), "dryRun", true)
	assert.NotContains(t, relaxed(t, f.run("db", "listIndexes", "c").Lookup("cursor")), `"unique"`)
	f.fail(mongoerr.InvalidOptions, "db", "collMod", "c", "validationLevel", "off", "dryRun", true)
}

func TestTheWriteBlockHasOneReason(t *testing.T) {
	f := newFixture(t)
	f.run("admin", "setUserWriteBlockMode", 1, "global", true, "reason", "DiskUseThresholdExceeded")
	f.fail(mongoerr.IllegalOperation, "admin", "setUserWriteBlockMode", 1, "global", false)
	f.run("admin", "setUserWriteBlockMode", 1, "global", false, "reason", "DiskUseThresholdExceeded")
	f.run("admin", "setUserWriteBlockMode", 1, "global", true)
	f.run("admin", "setUserWriteBlockMode", 1, "global", false)
}

func TestDBHashTellsCappedCollectionsAndUUIDs(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	f.run("db", "create", "log", "capped", true, "size", 4096)
	reply := f.run("db", "dbHash", 1)
	assert.JSONEq(t, `["log"]`, relaxed(t, reply.Lookup("capped")))
	for _, name := range []string{"c", "log"} {
		assert.NotZero(t, reply.Lookup("uuids", name))
		assert.Len(t, reply.Lookup("collections", name).StringValue(), 32)
	}
	f.fail(mongoerr.BadValue, "db", "dbHash", 1, "collections", value.A(1))
}
