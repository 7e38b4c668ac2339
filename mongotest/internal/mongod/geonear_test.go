package mongod_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func place(x, y float64) bson.Raw {
	return value.D("type", "Point", "coordinates", value.A(x, y))
}

func TestGeoNearGivesTheNearestFirst(t *testing.T) {
	f := newFixture(t)
	f.insert(value.D("_id", 1, "at", place(3, 0)), value.D("_id", 2, "at", place(1, 0)), value.D("_id", 3, "at", place(2, 0), "a", 1))
	near := func(pairs ...any) bson.Raw {
		return value.D("$geoNear", value.D(append([]any{"near", place(0, 0), "distanceField", "d.m"}, pairs...)...))
	}
	f.fail(mongoerr.IndexNotFound, "db", "aggregate", "c", "pipeline", []bson.Raw{near()}, "cursor", value.D())
	f.run("db", "createIndexes", "c", "indexes", []bson.Raw{value.D("key", value.D("at", "2dsphere"), "name", "at")})
	order := func(stage bson.Raw) []string {
		return batch(t, f.aggregate(stage, value.D("$project", value.D("_id", 1, "km", value.D("$round", value.D("$divide", value.A("$d.m", 1000)))))))
	}
	assert.Equal(t, []string{
		`{"_id": {"$numberInt":"2"},"km": {"$numberDouble":"111.0"}}`, `{"_id": {"$numberInt":"3"},"km": {"$numberDouble":"223.0"}}`,
		`{"_id": {"$numberInt":"1"},"km": {"$numberDouble":"334.0"}}`,
	}, order(near()))
	assert.Len(t, order(near("maxDistance", 250_000)), 2)
	assert.Len(t, order(near("minDistance", 200_000, "query", value.D("a", 1))), 1)
	assert.Equal(t, []string{`{"_id": {"$numberInt":"2"},"km": {"$numberDouble":"0.0"}}`}, order(near("distanceMultiplier", 0.001, "maxDistance", 120_000)))
	located := f.aggregate(near("includeLocs", "where"), value.D("$limit", 1)).Lookup("cursor", "firstBatch", "0", "where").Document()
	assert.Equal(t, place(1, 0), located)
	f.fail(40603, "db", "aggregate", "c", "pipeline", []bson.Raw{value.D("$match", value.D()), near()}, "cursor", value.D())
	f.fail(mongoerr.NoQueryExecutionPlans, "db", "aggregate", "c", "pipeline", []bson.Raw{near("key", "other")}, "cursor", value.D())
	f.fail(mongoerr.BadValue, "db", "aggregate", "c", "pipeline", []bson.Raw{near("nonsense", 1)}, "cursor", value.D())
	f.fail(5860402, "db", "aggregate", "c", "pipeline", []bson.Raw{value.D("$geoNear", value.D("near", "$at"))}, "cursor", value.D())
}

func TestStagesThatAreNotThereAreNamed(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		code mongoerr.Code
		on   any
		name string
	}{
		{mongoerr.SearchNotEnabled, "c", "$search"},
		{mongoerr.SearchNotEnabled, "c", "$listSearchIndexes"},
		{40324, "c", "$nonsense"},
		{40324, 1, "$nonsense"},
		{mongoerr.InvalidNamespace, 1, "$match"},
	} {
		f.fail(c.code, "db", "aggregate", c.on, "pipeline", []bson.Raw{value.D(c.name, value.D())}, "cursor", value.D())
	}
}
