package storage

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestSpecialIndexesShowTheirOptions(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.index(
		keySpec("geo", value.D("loc", "2dsphere", "n", 1)),
		keySpec("flat", value.D("xy", "2d"), "min", -10, "max", 10),
		keySpec("words", value.D("a", 1, "t", "text", "u", "text"), "weights", value.D("u", 5)),
	))
	words := `{ v: 2, key: { a: 1, _fts: "text", _ftsx: 1 }, name: "words", weights: { t: 1, u: 5 }, ` +
		`default_language: "english", language_override: "language", textIndexVersion: 3 }`
	var specs []string
	w.must(func(tx *Tx) error {
		c := tx.Collection("db.c")
		for _, ix := range c.Indexes()[1:] {
			specs = append(specs, render(ix.Spec))
		}
		assert.Equal(t, "2dsphere", c.Index("geo").Special("loc"))
		assert.Empty(t, c.Index("geo").Special("n"))
		again, err := parseIndex(c.Index("words").Spec, nil)
		require.NoError(t, err, "what a listing shows can be created")
		assert.Equal(t, words, render(again.Spec))
		return nil
	})
	assert.Equal(t, []string{
		`{ v: 2, key: { loc: "2dsphere", n: 1 }, name: "geo", 2dsphereIndexVersion: 3 }`,
		`{ v: 2, key: { xy: "2d" }, name: "flat", min: -10, max: 10 }`,
		words,
	}, specs)
	err := w.index(keySpec("other", value.D("z", "text")))
	assert.True(t, mongoerr.Is(err, mongoerr.IndexOptionsConflict), "one text index only: %v", err)
}

// The server counts the fields that it is given, before it makes two of a text.
func TestOnlyIndexesOfOneFieldExpire(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.index(keySpec("words", value.D("t", "text"), "expireAfterSeconds", 10)))
	for _, key := range []bson.Raw{value.D("a", 1, "t", "text"), value.D("a", 1, "b", 1)} {
		err := w.index(keySpec("two", key, "expireAfterSeconds", 10))
		assert.True(t, mongoerr.Is(err, mongoerr.CannotCreateIndex), "%v: %v", key, err)
	}
}

func TestGeoIndexesRefuseOtherPlaces(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.index(keySpec("geo", value.D("loc", "2dsphere")), keySpec("flat", value.D("xy", "2d"))))
	point := value.D("type", "Point", "coordinates", value.A(1, 2))
	require.NoError(t, w.insert(doc(1, "loc", point, "xy", value.A(1, 2))))
	require.NoError(t, w.insert(doc(2, "loc", value.A(point, point))))
	require.NoError(t, w.insert(doc(3, "loc", value.Null())))
	for i, tc := range []struct {
		name  string
		v     any
		field string
		code  mongoerr.Code
	}{
		{"a number", 1, "loc", codeNoGeoKeys},
		{"an unknown shape", value.D("type", "Circle"), "loc", codeNoGeoKeys},
		{"off the earth", value.A(200, 0), "loc", codeNoGeoKeys},
		{"a text", "x", "xy", codeNoLocation},
		{"off the grid", value.A(200, 0), "xy", codeOutsideOfGrid},
	} {
		err := w.insert(doc(10+i, tc.field, tc.v))
		assert.True(t, mongoerr.Is(err, tc.code), "%s: %v", tc.name, err)
	}
}
