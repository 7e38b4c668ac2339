package mongod_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The entries of one server's oplog make another one equal.
func TestAnOplogIsReplayed(t *testing.T) {
	from := newFixture(t)
	from.run("db", "create", "c")
	from.insert(doc(1, 1), doc(2, 2), doc(3, 3))
	from.run("db", "update", "c", "updates", []bson.Raw{
		value.D("q", value.D("_id", 1), "u", value.D("$set", value.D("b", "x"))),
		value.D("q", value.D("_id", 2), "u", value.D("a", 7)),
	})
	from.run("db", "delete", "c", "deletes", []bson.Raw{value.D("q", value.D("_id", 3), "limit", 1)})
	from.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("a", 1), "name", "a_1")})
	entries, err := from.Log().Read(bson.Timestamp{}, true, 1000)
	require.NoError(t, err)
	var ops []bson.Raw
	for _, e := range entries {
		ops = append(ops, e.BSON())
	}

	to := newFixture(t)
	for range 2 { // a second time changes nothing
		reply := to.run("admin", "applyOps", ops)
		assert.EqualValues(t, len(ops), num(reply, "applied"))
	}
	for _, cmd := range [][]any{{"find", "c", "sort", value.D("_id", 1)}, {"listIndexes", "c"}} {
		assert.Equal(t, batch(t, from.run("db", cmd...)), batch(t, to.run("db", cmd...)))
	}
	list := []any{"listCollections", 1}
	assert.Equal(t, batch(t, from.run("db", list...)), batch(t, to.run("db", list...)), "the UUID is kept")
}

func TestOperationsThatCannotBeApplied(t *testing.T) {
	id := value.D("_id", 9)
	tests := map[string]struct {
		code mongoerr.Code
		op   bson.Raw
	}{
		"no collection":       {mongoerr.NamespaceNotFound, value.D("op", "i", "ns", "db.none", "o", id)},
		"no document":         {mongoerr.UnknownError, value.D("op", "u", "ns", "db.c", "o2", id, "o", value.D("$v", 2, "diff", value.D("u", value.D("a", 1))))},
		"old form":            {4772604, value.D("op", "u", "ns", "db.c", "o2", value.D("_id", 1), "o", value.D("$set", value.D("a", 1)))},
		"unknown kind":        {mongoerr.BadValue, value.D("op", "z", "ns", "db.c", "o", id)},
		"no o":                {mongoerr.IDLFailedToParse, value.D("op", "i", "ns", "db.c")},
		"no _id":              {mongoerr.NoSuchKey, value.D("op", "d", "ns", "db.c", "o", value.D("a", 1))},
		"applyOps inside":     {mongoerr.CommandNotSupported, value.D("op", "c", "ns", "admin.$cmd", "o", value.D("applyOps", value.A()))},
		"a duplicate":         {mongoerr.DuplicateKey, value.D("op", "i", "ns", "db.c", "o", value.D("_id", 9, "u", 1))},
		"the oplog":           {mongoerr.InvalidNamespace, value.D("op", "i", "ns", "local.oplog.rs", "o", id)},
		"no name of a target": {mongoerr.InvalidNamespace, value.D("op", "i", "ns", "db", "o", id)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("u", 1), "name", "u", "unique", true)})
			f.insert(value.D("_id", 1, "u", 1))
			noop := value.D("op", "n", "ns", "", "o", value.D())
			e := f.failure(tc.code, "admin", "applyOps", []bson.Raw{noop, tc.op, noop})
			assert.Equal(t, bson.E{Key: "applied", Value: int32(2)}, e.Info[len(e.Info)-2])
		})
	}
}

// Restored users and roles replace those there are, but only if the others are
// to go.
func TestAccountsAreMerged(t *testing.T) {
	f := newFixture(t)
	f.run("d", "createUser", "stays", "pwd", "x", "roles", value.A("read"))
	f.run("d", "createUser", "goes", "pwd", "x", "roles", value.A())
	f.run("e", "createUser", "other", "pwd", "x", "roles", value.A())
	saved := f.run("admin", "find", "system.users", "filter", value.D("user", "stays")).Lookup("cursor", "firstBatch", "0").Document()
	f.run("admin", "insert", "tempusers", "documents", []bson.Raw{saved})
	f.run("d", "revokeRolesFromUser", "stays", "roles", value.A("read"))
	rolesOf := func(name string) bson.RawValue {
		return f.run("d", "usersInfo", name).Lookup("users", "0").Document().Lookup("roles")
	}
	f.run("admin", "_mergeAuthzCollections", 1, "tempUsersCollection", "admin.tempusers", "drop", false, "db", "")
	assert.JSONEq(t, `[]`, relaxed(t, rolesOf("stays")))
	assert.Equal(t, []string{"d.goes", "d.stays", "e.other"}, stringIDs(f.run("admin", "find", "system.users", "sort", value.D("_id", 1))))
	f.run("admin", "_mergeAuthzCollections", 1, "tempUsersCollection", "admin.tempusers", "drop", true, "db", "d")
	assert.Equal(t, []string{"d.stays", "e.other"}, stringIDs(f.run("admin", "find", "system.users", "sort", value.D("_id", 1))))
	assert.JSONEq(t, `[{"role": "read", "db": "d"}]`, relaxed(t, rolesOf("stays")))
}
