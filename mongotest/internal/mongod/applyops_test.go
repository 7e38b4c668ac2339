package mongod_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func entry(kind string, o bson.Raw, o2 ...bson.Raw) bson.Raw {
	pairs := []any{"op", kind, "ns", "db.c", "o", o}
	for _, d := range o2 {
		pairs = append(pairs, "o2", d)
	}
	return value.D(pairs...)
}

func TestApplyOpsDoesWhatTheEntriesSay(t *testing.T) {
	f := newFixture(t)
	f.run("admin", "applyOps", []bson.Raw{value.D("op", "c", "ns", "db.$cmd", "o", value.D("create", "c"))})
	reply := f.run("admin", "applyOps", []bson.Raw{
		entry("i", doc(1, 1)),
		entry("i", doc(1, 2)), // replaces it
		entry("i", doc(2, 1)),
		entry("u", value.D("$v", 2, "diff", value.D("i", value.D("b", 1))), value.D("_id", 1)),
		entry("n", value.D("msg", "nothing")),
		entry("d", value.D("_id", 2)),
		entry("d", value.D("_id", 3)), // was not there
	})
	assert.EqualValues(t, 6, num(reply, "applied"))
	found := f.run("db", "find", "c").Lookup("cursor", "firstBatch").Array()
	assert.JSONEq(t, `[{"_id": 1, "a": 2, "b": 1}]`, relaxed(t, bson.RawValue{Type: bson.TypeArray, Value: found}))
}

func TestApplyOpsIsAtomicUnlessToldOtherwise(t *testing.T) {
	f := newFixture(t)
	f.run("db", "create", "c")
	ops := []bson.Raw{entry("i", doc(1, 1)), entry("u", doc(9, 9), value.D("_id", 9))}
	f.fail(mongoerr.UnknownError, "admin", "applyOps", ops)
	assert.Empty(t, f.find())
	f.fail(mongoerr.UnknownError, "admin", "applyOps", ops, "allowAtomic", false)
	assert.Len(t, f.find(), 1)
}

func TestApplyOpsRefuses(t *testing.T) {
	f := newFixture(t)
	f.run("db", "create", "c")
	for _, tc := range []struct {
		code mongoerr.Code
		ops  any
	}{
		{mongoerr.TypeMismatch, 1},
		{mongoerr.TypeMismatch, []any{1}},
		{mongoerr.NoSuchKey, []bson.Raw{value.D()}},
		{mongoerr.NoSuchKey, []bson.Raw{entry("i", value.D("x", 1))}},
		{mongoerr.BadValue, []bson.Raw{entry("x", doc(1, 1))}},
		{mongoerr.IllegalOperation, []bson.Raw{value.D("op", "i", "o", doc(1, 1))}},
		{mongoerr.NamespaceNotFound, []bson.Raw{value.D("op", "i", "ns", "db.none", "o", doc(1, 1))}},
	} {
		f.fail(tc.code, "admin", "applyOps", tc.ops)
	}
	f.fail(6711600, "admin", "applyOps", []bson.Raw{}, "preCondition", []bson.Raw{})
}
