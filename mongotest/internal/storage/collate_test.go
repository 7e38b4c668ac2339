package storage

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// caseless compares strings by their letters and accents.
var caseless = value.D("locale", "en", "strength", 2)

func specOf(t *testing.T, w *world, name string) (spec bson.Raw) {
	t.Helper()
	require.NoError(t, w.e.View(func(tx *Tx) error {
		spec = tx.Collection("db.c").Index(name).Spec
		return nil
	}))
	return spec
}

// Indexes have the collection's collation, unless they are made with another.
func TestIndexesInheritTheCollation(t *testing.T) {
	w := withCollection(t, "collation", caseless)
	require.NoError(t, w.index(
		keySpec("plain", value.D("a", 1)), keySpec("french", value.D("a", 1), "collation", value.D("locale", "fr")),
		keySpec("simple", value.D("a", 1), "collation", value.D("locale", "simple")),
	))
	for name, want := range map[string]any{"_id_": "en", "plain": "en", "french": "fr", "simple": nil} {
		got, err := specOf(t, w, name).LookupErr("collation", "locale")
		if want == nil {
			require.Error(t, err, name)
			continue
		}
		assert.Equal(t, want, got.StringValue(), name)
	}
	assert.Equal(t, int32(2), specOf(t, w, "_id_").Lookup("collation", "strength").Int32(), "in full form")

	require.NoError(t, w.e.View(func(tx *Tx) error {
		for _, s := range tx.Collection("db.c").IndexSpecs() {
			if s.Lookup("name").StringValue() == "simple" {
				assert.Equal(t, "simple", s.Lookup("collation", "locale").StringValue(), "made again it inherits nothing")
			}
		}
		return nil
	}))
}

func TestUniqueUnderACollation(t *testing.T) {
	w := withCollection(t, "collation", caseless)
	require.NoError(t, w.index(
		keySpec("words", value.D("word", 1), "unique", true),
		keySpec("codes", value.D("code", 1), "unique", true, "sparse", true, "collation", value.D("locale", "simple")),
	))
	require.NoError(t, w.insert(value.D("_id", "A", "word", "Cafe", "code", "x")))
	require.NoError(t, w.insert(value.D("_id", "b", "word", "café", "code", "X")), "accents count, and bytes where they are compared")

	err := w.insert(value.D("_id", "a", "word", "new", "code", "y"))
	require.True(t, mongoerr.Is(err, mongoerr.DuplicateKey), "ids are equal under the collation: %v", err)
	err = w.insert(value.D("_id", "c", "word", "CAFE", "code", "z"))
	require.True(t, mongoerr.Is(err, mongoerr.DuplicateKey), "%v", err)
	e := mongoerr.From(err)
	assert.Contains(t, e.Message, `index: words collation: { locale: "en", caseLevel: false, caseFirst: "off", strength: 2,`)
	assert.Contains(t, e.Message, `dup key: { word: "CollationKey(0x`)
	info := map[string]any{}
	for _, x := range e.Info {
		info[x.Key] = x.Value
	}
	assert.Contains(t, info["keyValue"].(bson.Raw).Lookup("word").StringValue(), "CollationKey(0x")
	assert.Equal(t, "[true]", info["hexEncoded"].(bson.RawValue).String())
	assert.Equal(t, "en", info["collation"].(bson.Raw).Lookup("locale").StringValue())

	require.NoError(t, w.e.View(func(tx *Tx) error {
		r, ok := tx.FindID(tx.Collection("db.c"), value.String("B"))
		assert.True(t, ok, "an _id is found as it is compared")
		assert.Equal(t, "b", r.Doc.Lookup("_id").StringValue())
		return nil
	}))
}

// A partial index has what its filter matches by the index's collation, and a
// validator compares by the collection's.
func TestFiltersOfACollatedCollection(t *testing.T) {
	w := withCollection(t, "collation", caseless)
	require.NoError(t, w.index(keySpec("p", value.D("a", 1), "partialFilterExpression", value.D("kind", "open"))))
	require.NoError(t, w.insert(value.D("_id", 1, "kind", "OPEN"), value.D("_id", 2, "kind", "closed")))
	require.NoError(t, w.e.View(func(tx *Tx) error {
		assert.Equal(t, int64(1), tx.Collection("db.c").Index("p").Len())
		return nil
	}))
}

// An index is in the order of its collation, and bounds are.
func TestScanOfACollatedIndex(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.index(keySpec("a_1", value.D("a", 1), "collation", value.D("locale", "en"))))
	require.NoError(t, w.insert(value.D("_id", 1, "a", "b"), value.D("_id", 2, "a", "C"), value.D("_id", 3, "a", "a"), value.D("_id", 4, "a", value.A("B", 7))))
	scan := func(s func(ix *Index) ScanSpec) (ids []int32) {
		require.NoError(t, w.e.View(func(tx *Tx) error {
			c := tx.Collection("db.c")
			for _, r := range tx.Scan(c, s(c.Index("a_1"))) {
				ids = append(ids, r.Doc.Lookup("_id").Int32())
			}
			return nil
		}))
		return ids
	}
	assert.Equal(t, []int32{4, 3, 1, 4, 2}, scan(func(*Index) ScanSpec { return ScanSpec{Index: "a_1"} }))
	low := value.String("B")
	assert.Equal(t, []int32{4, 2}, scan(func(ix *Index) ScanSpec { return ix.Range(nil, &low, nil, true, false) }))
	assert.Equal(t, []int32{1}, scan(func(ix *Index) ScanSpec { return ix.Range([]bson.RawValue{value.String("b")}, nil, nil, false, false) }))
}

func TestIDIndexHasTheCollectionsCollation(t *testing.T) {
	w := withCollection(t, "collation", caseless)
	require.NoError(t, w.index(keySpec("_id_", value.D("_id", 1))), "it is there already")
	err := w.index(keySpec("x", value.D("_id", 1), "collation", value.D("locale", "simple")))
	require.True(t, mongoerr.Is(err, mongoerr.BadValue), "%v", err)
	assert.Contains(t, err.Error(), `Index collation: { locale: "simple" }, collection collation: { locale: "en",`)
}
