package planning_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/planning"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestShapesLeaveConstantsOut(t *testing.T) {
	hash := func(filter bson.Raw) string { return planning.Query{Filter: filter}.Hash() }
	base := hash(value.D("a", 1, "b", value.D("$gt", 5)))
	for name, same := range map[string]bson.Raw{
		"another constant": value.D("a", "x", "b", value.D("$gt", 7.5)),
		"another order":    value.D("b", value.D("$gt", 5), "a", 1),
		"written out":      value.D("$and", []bson.Raw{value.D("a", value.D("$eq", 1)), value.D("b", value.D("$gt", 5))}),
	} {
		assert.Equal(t, base, hash(same), name)
	}
	for name, other := range map[string]bson.Raw{
		"another operator": value.D("a", 1, "b", value.D("$lt", 5)),
		"another field":    value.D("a", 1, "c", value.D("$gt", 5)),
		"one more":         value.D("a", 1, "b", value.D("$gt", 5), "c", 1),
		"an alternative":   value.D("$or", []bson.Raw{value.D("a", 1), value.D("b", value.D("$gt", 5))}),
	} {
		assert.NotEqual(t, base, hash(other), name)
	}
	assert.NotEqual(t, base, planning.Query{Filter: value.D("a", 1, "b", value.D("$gt", 5)), Sort: value.D("a", 1)}.Hash(), "a sort")
	assert.NotEqual(t, hash(value.D("a", value.D("$exists", true))), hash(value.D("a", value.D("$exists", false))))
	assert.NotEqual(t, hash(value.D("a", value.D("$in", value.A(1)))), hash(value.D("a", value.D("$in", value.A(1, 2)))))
}

func TestAnIndexFilterHoldsForItsShape(t *testing.T) {
	var f planning.IndexFilters
	q := planning.Query{Filter: value.D("a", 1)}
	_, ok := f.For("db.c", q)
	assert.False(t, ok)
	f.Set("db.c", planning.IndexFilter{Query: q, Indexes: []bson.RawValue{value.String("a_1")}})
	f.Set("db.c", planning.IndexFilter{Query: q, Indexes: []bson.RawValue{value.String("b_1")}})
	indexes, ok := f.For("db.c", planning.Query{Filter: value.D("a", 2)})
	assert.True(t, ok)
	assert.Equal(t, []bson.RawValue{value.String("b_1")}, indexes, "the later one replaces the earlier")
	_, ok = f.For("db.other", q)
	assert.False(t, ok)
	f.Clear("db.c", &q)
	assert.Empty(t, f.List("db.c"))
	_, ok = f.For("db.c", q)
	assert.False(t, ok)
}

func TestSettingsAreFoundByShape(t *testing.T) {
	var s planning.Settings
	find := value.D("find", "c", "filter", value.D("a", 1), "$db", "db")
	s.Put(planning.Setting{Hash: planning.ShapeHash(find), Query: find, Settings: value.D("reject", true)})
	same := value.D("find", "c", "filter", value.D("a", 77), "batchSize", 3)
	assert.Equal(t, value.D("reject", true), s.For("db", same))
	assert.Nil(t, s.For("db", value.D("find", "c", "filter", value.D("a", "text"))), "types of constants count")
	assert.Nil(t, s.For("other", same))
	hash := planning.ShapeHash(find)
	s.Put(planning.Setting{Hash: hash, Settings: value.D("reject", false)})
	assert.Equal(t, find, s.List()[0].Query, "an update by hash keeps the query")
	s.Remove(hash)
	assert.Nil(t, s.For("db", same))
}

func TestSettingsAllowIndexes(t *testing.T) {
	hint := value.D("ns", value.D("db", "db", "coll", "c"), "allowedIndexes", value.A("a_1"))
	for _, hints := range []any{hint, []bson.Raw{hint}} {
		indexes, ok := planning.Allowed(value.D("indexHints", hints), "db", "c")
		assert.True(t, ok)
		assert.Equal(t, []bson.RawValue{value.String("a_1")}, indexes)
		_, ok = planning.Allowed(value.D("indexHints", hints), "db", "d")
		assert.False(t, ok)
	}
	assert.Equal(t, value.D("a", 1, "b", 3, "c", 4), planning.Merge(value.D("a", 1, "b", 2), value.D("b", 3, "c", 4)))
}

func TestTheCacheKeepsOnePlanPerShape(t *testing.T) {
	var c planning.Cache
	rendered := 0
	render := func() bson.Raw { rendered++; return value.D("stage", "IXSCAN") }
	q := planning.Query{Filter: value.D("a", 1)}
	c.Note("db.c", q, 2, time.Time{}, render)
	c.Note("db.c", planning.Query{Filter: value.D("a", 2)}, 2, time.Time{}, render)
	c.Note("db.c", planning.Query{Filter: value.D("b", 2)}, 2, time.Time{}, render)
	assert.Equal(t, 2, rendered)
	c.Clear("db.c", &q)
	assert.Len(t, c.List("db.c"), 1)
	c.Clear("db.c", nil)
	assert.Empty(t, c.List("db.c"))
}
