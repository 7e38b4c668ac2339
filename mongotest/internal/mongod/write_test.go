package mongod_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestInsertReportsEachFailure(t *testing.T) {
	f := newFixture(t)
	docs := []bson.Raw{doc(1, 1), doc(1, 2), doc(2, 2), doc(1, 3), doc(3, 3)}
	reply := f.run("db", "insert", "c", "documents", docs, "ordered", false)
	assert.EqualValues(t, 3, num(reply, "n"))
	first := reply.Lookup("writeErrors", "0").Document()
	assert.EqualValues(t, 1, num(first, "index"))
	assert.EqualValues(t, mongoerr.DuplicateKey, num(first, "code"))
	assert.JSONEq(t, `{"_id": 1}`, relaxed(t, first.Lookup("keyValue")))
	assert.EqualValues(t, 3, num(reply, "writeErrors", "1", "index"))

	reply = f.run("db", "insert", "c", "documents", []bson.Raw{doc(4, 1), doc(1, 2), doc(5, 2)})
	assert.EqualValues(t, 1, num(reply, "n"))
	assert.Equal(t, []int64{1, 2, 3, 4}, f.find())
	f.fail(mongoerr.InvalidLength, "db", "insert", "c", "documents", []bson.Raw{})
}

func TestUpdateCountsWhatItMatchedAndChanged(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 1), doc(3, 3))
	reply := f.run("db", "update", "c", "updates", []bson.Raw{
		value.D("q", value.D("a", 1), "u", value.D("$set", value.D("a", 2)), "multi", true),
		value.D("q", value.D("_id", 3), "u", value.D("$set", value.D("a", 3))),
		value.D("q", value.D("_id", 9), "u", value.D("$set", value.D("a", 9)), "upsert", true),
		value.D("q", value.D("_id", 3), "u", value.D("b", 1)),
		value.D("q", value.D("_id", 2), "u", []bson.Raw{value.D("$set", value.D("n", "$a"))}),
	})
	assert.EqualValues(t, 6, num(reply, "n"))
	assert.EqualValues(t, 4, num(reply, "nModified"))
	assert.JSONEq(t, `[{"index": 2, "_id": 9}]`, relaxed(t, reply.Lookup("upserted")))
	assert.Equal(t, []string{
		`{"_id": {"$numberInt":"1"},"a": {"$numberInt":"2"}}`,
		`{"_id": {"$numberInt":"2"},"a": {"$numberInt":"2"},"n": {"$numberInt":"2"}}`,
		`{"_id": {"$numberInt":"3"},"b": {"$numberInt":"1"}}`,
		`{"_id": {"$numberInt":"9"},"a": {"$numberInt":"9"}}`,
	}, batch(t, f.run("db", "find", "c")))
}

func TestAFailedUpdateStopsAnOrderedCommand(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, "text"), doc(2, 1))
	inc := value.D("$inc", value.D("a", 1))
	updates := []bson.Raw{value.D("q", value.D("_id", 1), "u", inc), value.D("q", value.D("_id", 2), "u", inc)}
	reply := f.run("db", "update", "c", "updates", updates)
	assert.EqualValues(t, 0, num(reply, "n"))
	assert.EqualValues(t, mongoerr.TypeMismatch, num(reply, "writeErrors", "0", "code"))
	reply = f.run("db", "update", "c", "updates", updates, "ordered", false)
	assert.EqualValues(t, 1, num(reply, "nModified"))
}

func TestAnUpdateTakesTheFirstInItsOrder(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 2))
	f.run("db", "update", "c", "updates", []bson.Raw{value.D("q", value.D(), "u", value.D("$set", value.D("b", 1)), "sort", value.D("a", -1))})
	assert.Equal(t, []int64{2}, f.find("filter", value.D("b", 1)))
}

func TestARetriedBulkWriteChangesNothing(t *testing.T) {
	f := newFixture(t)
	args := []any{
		"bulkWrite", 1, "nsInfo",
		[]bson.Raw{value.D("ns", "db.c")},
		"lsid", lsid(), "txnNumber", int64(1),
		"ops",
		[]bson.Raw{value.D("insert", 0, "document", doc(1, 1)), value.D("delete", 0, "filter", value.D("_id", 1), "multi", false)},
	}
	f.run("admin", args...)
	f.insert(doc(1, 2))
	reply := f.run("admin", args...)
	assert.JSONEq(t, "[0, 1]", relaxed(t, reply.Lookup("retriedStmtIds")))
	assert.EqualValues(t, 1, num(reply, "nDeleted"))
	assert.Equal(t, []int64{1}, f.find())
}

func TestDeleteOneAndMany(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 1), doc(3, 1), doc(4, 2))
	reply := f.run("db", "delete", "c", "deletes", []bson.Raw{value.D("q", value.D("a", 1), "limit", 1)})
	assert.EqualValues(t, 1, num(reply, "n"))
	reply = f.run("db", "delete", "c", "deletes", []bson.Raw{value.D("q", value.D("a", 1), "limit", 0)})
	assert.EqualValues(t, 2, num(reply, "n"))
	assert.Equal(t, []int64{4}, f.find())
}

func TestFindAndModify(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1), doc(2, 5), doc(3, 3))
	set := value.D("$set", value.D("b", 1))
	for _, tc := range []struct {
		name string
		args []any
		want string
	}{
		{
			"returns the document before",
			[]any{"query", value.D("_id", 1), "update", set},
			`{"lastErrorObject": {"n": 1, "updatedExisting": true}, "value": {"_id": 1, "a": 1}}`,
		},
		{
			"takes the first in order, returns it after",
			[]any{"sort", value.D("a", -1), "update", set, "new", true},
			`{"lastErrorObject": {"n": 1, "updatedExisting": true}, "value": {"_id": 2, "a": 5, "b": 1}}`,
		},
		{
			"upserts",
			[]any{"query", value.D("_id", 7), "update", set, "new", true, "upsert", true},
			`{"lastErrorObject": {"n": 1, "updatedExisting": false, "upserted": 7}, "value": {"_id": 7, "b": 1}}`,
		},
		{
			"removes",
			[]any{"query", value.D("_id", 7), "remove", true, "fields", value.D("b", 1, "_id", 0)},
			`{"lastErrorObject": {"n": 1}, "value": {"b": 1}}`,
		},
		{
			"finds nothing",
			[]any{"query", value.D("_id", 8), "update", set},
			`{"lastErrorObject": {"n": 0, "updatedExisting": false}, "value": null}`,
		},
	} {
		reply := f.run("db", append([]any{"findAndModify", "c"}, tc.args...)...)
		assert.JSONEq(t, tc.want, relaxed(t, value.Doc(reply)), tc.name)
	}
	f.fail(mongoerr.FailedToParse, "db", "findAndModify", "c", "remove", true, "update", set)
	f.fail(mongoerr.FailedToParse, "db", "findAndModify", "c")
}

func TestBulkWriteCountsByKind(t *testing.T) {
	f := newFixture(t)
	reply := f.run("admin", "bulkWrite", 1, "nsInfo", []bson.Raw{value.D("ns", "db.c"), value.D("ns", "db.d")}, "ops", []bson.Raw{
		value.D("insert", 0, "document", doc(1, 1)),
		value.D("insert", 1, "document", doc(2, 1)),
		value.D("update", 0, "filter", value.D("_id", 1), "updateMods", value.D("$set", value.D("a", 2))),
		value.D("update", 0, "filter", value.D("_id", 3), "updateMods", value.D("$set", value.D("a", 2)), "upsert", true),
		value.D("insert", 0, "document", doc(1, 1)),
		value.D("delete", 1, "filter", value.D(), "multi", true),
	}, "ordered", false)
	for name, want := range map[string]int{"nErrors": 1, "nInserted": 2, "nMatched": 1, "nModified": 1, "nUpserted": 1, "nDeleted": 1} {
		assert.EqualValues(t, want, num(reply, name), name)
	}
	assert.EqualValues(t, mongoerr.DuplicateKey, num(reply, "cursor", "firstBatch", "4", "code"))
	assert.Equal(t, []int64{1, 3}, f.find())
}

func TestWriteConcernsThatCannotBeMetAreReported(t *testing.T) {
	f := newFixture(t)
	insert := func(w any, id int) bson.Raw {
		return f.run("db", "insert", "c", "documents", []bson.Raw{doc(id, 1)}, "writeConcern", value.D("w", w))
	}
	assert.EqualValues(t, 0, num(insert("majority", 1), "writeConcernError", "code"))
	assert.EqualValues(t, mongoerr.UnsatisfiableWriteConcern, num(insert(2, 2), "writeConcernError", "code"))
	assert.EqualValues(t, mongoerr.UnknownReplWriteConcern, num(insert("nowhere", 3), "writeConcernError", "code"))
	assert.Equal(t, []int64{1, 2, 3}, f.find())
}

func TestWritesOfAMigrationAreMarked(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	f.through(command.Routed{FromMigrate: true}).insert(doc(2, 1))
	entries := ids(t, f.run("local", "find", "oplog.rs", "filter", value.D("op", "i", "fromMigrate", true)))
	assert.Len(t, entries, 1)
	assert.Len(t, ids(t, f.run("local", "find", "oplog.rs", "filter", value.D("op", "i"))), 2)
}
