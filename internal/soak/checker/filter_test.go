package checker

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestWhatAFilterMeans(t *testing.T) {
	one, err := bson.ParseDecimal128("1.00")
	require.NoError(t, err)
	is := func(op string, v any) bson.D { return bson.D{{"a", bson.D{{op, v}}}} }
	for _, c := range []struct {
		query, doc bson.D
		want       bool
	}{
		{bson.D{{"a", 1}}, bson.D{{"a", one}}, true},
		{bson.D{{"a", 1}}, bson.D{{"a", "1"}}, false},
		{bson.D{{"a", 1}}, bson.D{{"a", bson.A{3, int64(1)}}}, true},
		{bson.D{{"a", nil}}, bson.D{{"b", 1}}, true},
		{bson.D{{"a", nil}}, bson.D{{"a", 0}}, false},
		{bson.D{{"a", "x"}}, bson.D{{"a", bson.Symbol("x")}}, true},
		{is("$ne", 1), bson.D{{"a", bson.A{1, 2}}}, false},
		{is("$ne", 1), bson.D{}, true},
		{is("$in", bson.A{1, nil}), bson.D{}, true},
		{is("$nin", bson.A{1, 2}), bson.D{{"a", 2.0}}, false},
		{is("$gt", 1), bson.D{{"a", 1.5}}, true},
		{is("$gt", 1), bson.D{{"a", math.Inf(1)}}, true},
		{is("$gt", 1), bson.D{{"a", "z"}}, false},
		{is("$gte", 1), bson.D{{"a", math.NaN()}}, false},
		{is("$lt", 1), bson.D{{"a", math.NaN()}}, false},
		{is("$lt", 1), bson.D{{"a", math.Inf(-1)}}, true},
		{is("$lte", 1), bson.D{{"a", bson.A{5, 1}}}, true},
		{is("$exists", true), bson.D{{"a", nil}}, true},
		{is("$exists", false), bson.D{{"a", nil}}, false},
		{is("$type", "number"), bson.D{{"a", one}}, true},
		{is("$type", "number"), bson.D{{"a", bson.A{"x", 1}}}, true},
		{is("$type", "string"), bson.D{{"a", bson.Symbol("x")}}, false},
		{is("$mod", bson.A{3, 1}), bson.D{{"a", 4.7}}, true},
		{is("$mod", bson.A{3, 1}), bson.D{{"a", 5}}, false},
		{is("$mod", bson.A{3, 0}), bson.D{{"a", "0"}}, false},
		{is("$regex", "^x"), bson.D{{"a", "xy"}}, true},
		{is("$regex", "^x"), bson.D{{"a", 1}}, false},
		{is("$not", bson.D{{"$gt", 1}}), bson.D{}, true},
		{is("$not", bson.D{{"$gt", 1}}), bson.D{{"a", bson.A{0, 2}}}, false},
		{bson.D{{"a.b", 1}}, bson.D{{"a", bson.A{bson.D{{"b", 2}}, 7, bson.D{{"b", 1}}}}}, true},
		{bson.D{{"a.b", 1}}, bson.D{{"a", 1}}, false},
		{bson.D{{"$or", bson.A{bson.D{{"a", 1}}, bson.D{{"a", 2}}}}}, bson.D{{"a", 2}}, true},
		{bson.D{{"$nor", bson.A{bson.D{{"a", 1}}, bson.D{{"a", 2}}}}}, bson.D{{"a", 2}}, false},
		{bson.D{{"$and", bson.A{bson.D{{"a", 1}}, bson.D{{"b", 2}}}}}, bson.D{{"a", 1}}, false},
	} {
		assert.Equal(t, c.want, Matches(raw(t, c.query), raw(t, c.doc)), "%v of %v", c.query, c.doc)
	}
}

// What a sync leaves out is not missed, and what it should have left out is found.
func TestWhatIsLeftOutIsNotExpected(t *testing.T) {
	x, y := bson.D{{"_id", 1}, {"v", 1}}, bson.D{{"_id", 2}, {"v", 2}}
	source := one(t, x, y)
	source.Collections["e.c"] = source.Collections["d.c"]
	goes := func(db, name string) string {
		if db == "d" {
			return "there." + name
		}
		return ""
	}
	filters := map[string]bson.Raw{"d.c": raw(t, bson.D{{"v", bson.D{{"$gt", 1}}}})}
	there := func(c *Cluster) *Cluster {
		return &Cluster{Sharded: true, Collections: map[string]*Collection{"there.c": c.Collections["d.c"]}}
	}
	want := source.Wanted(goes, filters)
	assert.Empty(t, Compare(want, there(one(t, y))))
	assert.NotEmpty(t, Compare(want, there(one(t, x, y))))
	assert.NotEmpty(t, Compare(want, there(one(t))))
	assert.NotEmpty(t, Compare(want, source))
	assert.NotEmpty(t, Compare(source.Wanted(nil, nil), there(one(t, x, y))))
}
