package topology

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// Specifications that today's servers show, but do not take, mean the same as the
// ones that are made of them.
func TestLegacyIndexesAreBroughtUpToDate(t *testing.T) {
	for _, tt := range []struct{ was, is bson.D }{
		{bson.D{{"key", bson.D{{"a", true}, {"b", 0}, {"c", ""}, {"d", nil}}}}, bson.D{{"key", bson.D{{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}}}}},
		{bson.D{{"key", bson.D{{"a", -0.3}, {"b", 1e-9}, {"c", math.NaN()}, {"d", bson.D{{"x", 1}}}}}}, bson.D{{"key", bson.D{{"a", -0.3}, {"b", 1e-9}, {"c", 1}, {"d", 1}}}}},
		{bson.D{{"key", bson.D{{"a", 1.5}, {"b", -2}, {"c", "2d"}, {"d", int64(3)}}}}, bson.D{{"key", bson.D{{"a", 1.5}, {"b", -2}, {"c", "2d"}, {"d", int64(3)}}}}},
		{bson.D{{"v", 0}, {"unique", "true"}, {"sparse", nil}, {"dropDups", true}}, bson.D{{"unique", true}, {"sparse", false}}},
		{bson.D{{"v", 1}, {"unique", 1.0}, {"sparse", false}}, bson.D{{"v", 1}, {"unique", 1.0}, {"sparse", false}}},
		{bson.D{{"expireAfterSeconds", "60"}}, bson.D{}},
		{bson.D{{"expireAfterSeconds", math.NaN()}}, bson.D{{"expireAfterSeconds", math.MaxInt32}}},
		{bson.D{{"expireAfterSeconds", 60.5}, {"what comes", "later"}}, bson.D{{"expireAfterSeconds", 60.5}, {"what comes", "later"}}},
	} {
		assert.Equal(t, mustMarshal(tt.is).String(), current(mustMarshal(tt.was)).String())
	}
}

// Of two that come to mean the same the one stays that meant it already, or the
// first.
func TestLegacyIndexesThatCollapse(t *testing.T) {
	spec := func(name string, direction any) bson.Raw {
		return mustMarshal(bson.D{{"name", name}, {"key", bson.D{{"a", direction}}}})
	}
	names := func(was ...bson.Raw) (left []string) {
		var is []bson.Raw
		for _, s := range was {
			is = append(is, current(s))
		}
		for _, s := range distinctKeys(was, is) {
			left = append(left, IndexName(s))
		}
		return left
	}
	assert.Equal(t, []string{"plain", "down"}, names(spec("odd", true), spec("plain", 1), spec("odder", ""), spec("down", -1)))
	assert.Equal(t, []string{"odd"}, names(spec("odd", true), spec("odder", "")))
	assert.Equal(t, []string{"one", "two"}, names(spec("one", 1), spec("two", 1)), "not ours to judge")
}
