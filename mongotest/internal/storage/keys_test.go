package storage

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func arr(vals ...any) bson.RawValue { return value.A(vals...) }

func TestIndexKeysAreTheServers(t *testing.T) {
	a1, ab, a0 := value.D("a", 1), value.D("a.b", 1), value.D("a.0", 1)
	for name, tc := range map[string]struct {
		key  bson.Raw
		doc  bson.Raw
		want []string
	}{
		"a scalar":                           {a1, value.D("a", 5), []string{"[ 5 ]"}},
		"a missing field is null":            {a1, value.D(), []string{"[ null ]"}},
		"a document is one value":            {a1, value.D("a", value.D("b", 1)), []string{"[ { b: 1 } ]"}},
		"an array's elements, once each":     {a1, value.D("a", arr(2, 1, 2)), []string{"[ 1 ]", "[ 2 ]"}},
		"an empty array is undefined":        {a1, value.D("a", arr()), []string{"[ undefined ]"}},
		"an array in an array is a value":    {a1, value.D("a", arr(arr(1, 2))), []string{"[ [ 1, 2 ] ]"}},
		"embedded":                           {ab, value.D("a", value.D("b", 1)), []string{"[ 1 ]"}},
		"below a scalar is null":             {ab, value.D("a", 3), []string{"[ null ]"}},
		"below an array's documents":         {ab, value.D("a", arr(value.D("b", 1), value.D("b", 2))), []string{"[ 1 ]", "[ 2 ]"}},
		"below an array's scalars is null":   {ab, value.D("a", arr(1, 2)), []string{"[ null ]"}},
		"below an empty array is null":       {ab, value.D("a", arr()), []string{"[ null ]"}},
		"an array below an array":            {ab, value.D("a", arr(value.D("b", arr(1, 2)), value.D("b", 3))), []string{"[ 1 ]", "[ 2 ]", "[ 3 ]"}},
		"not into an array in an array":      {ab, value.D("a", arr(arr(value.D("b", 1)))), []string{"[ null ]"}},
		"a position":                         {a0, value.D("a", arr(5, 6)), []string{"[ 5 ]"}},
		"a position as a field name":         {a0, value.D("a", value.D("0", 7)), []string{"[ 7 ]"}},
		"a position out of range":            {value.D("a.3", 1), value.D("a", arr(5, 6)), []string{"[ null ]"}},
		"below a position":                   {value.D("a.1.b", 1), value.D("a", arr(1, value.D("b", 9))), []string{"[ 9 ]"}},
		"two fields of one array's elements": {value.D("a.b", 1, "a.c", 1), value.D("a", arr(value.D("b", 1, "c", 2), value.D("b", 3))), []string{"[ 1, 2 ]", "[ 3, null ]"}},
		"an array beside a scalar":           {value.D("a", 1, "b", 1), value.D("a", arr(1, 2), "b", 3), []string{"[ 1, 3 ]", "[ 2, 3 ]"}},
	} {
		t.Run(name, func(t *testing.T) {
			ix, err := parseIndex(keySpec("x", tc.key), nil)
			require.NoError(t, err)
			keys, _, err := ix.keysOf(tc.doc)
			require.NoError(t, err)
			got := []string{}
			for _, k := range keys {
				vals := ix.valuesOf(tc.doc, k)
				got = append(got, renderArray(value.ArrayOf(vals...).Value))
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestDocumentsThatCannotBeIndexed(t *testing.T) {
	for name, tc := range map[string]struct {
		key, doc bson.Raw
		code     mongoerr.Code
	}{
		"parallel arrays":          {value.D("a", 1, "b", 1), value.D("a", arr(1), "b", arr(2)), codeParallelArrays},
		"parallel, one empty":      {value.D("a", 1, "b", 1), value.D("a", arr(), "b", arr(2)), codeParallelArrays},
		"an array in a hashed key": {value.D("a", "hashed"), value.D("a", arr(1)), codeHashedArray},
		"an ambiguous position":    {value.D("a.0", 1), value.D("a", arr(value.D("0", 1))), codeAmbiguousField},
	} {
		t.Run(name, func(t *testing.T) {
			w := withCollection(t)
			require.NoError(t, w.index(keySpec("x", tc.key)))
			err := w.insert(tc.doc)
			assert.True(t, mongoerr.Is(err, tc.code), "%v", err)
			assert.Empty(t, w.ids(ScanSpec{}))
		})
	}
}

func TestSparseAndPartialIndexesLeaveDocumentsOut(t *testing.T) {
	ix, err := parseIndex(keySpec("x", value.D("a", 1, "b", 1), "sparse", true), nil)
	require.NoError(t, err)
	keys, _, err := ix.keysOf(value.D("c", 1))
	require.NoError(t, err)
	assert.Empty(t, keys)
	keys, _, err = ix.keysOf(value.D("b", 1))
	require.NoError(t, err)
	assert.Len(t, keys, 1)

	w := withCollection(t)
	require.NoError(t, w.index(keySpec("p", value.D("a", 1), "unique", true,
		"partialFilterExpression", value.D("on", true))))
	require.NoError(t, w.insert(doc(1, "a", 1), doc(2, "a", 1), doc(3, "a", 1, "on", true)))
	assert.Equal(t, []string{"3"}, w.ids(ScanSpec{Index: "p"}))
	err = w.insert(doc(4, "a", 1, "on", true))
	assert.True(t, mongoerr.Is(err, mongoerr.DuplicateKey), "%v", err)
}

func TestDuplicateKeysAreReportedAsByTheServer(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.index(
		keySpec("a_1_b.c_-1", value.D("a", 1, "b.c", -1), "unique", true),
		keySpec("h", value.D("a", "hashed")),
	))
	require.NoError(t, w.insert(doc(1, "a", "x", "b", value.D("c", 2.5))))
	err := w.insert(doc(2, "a", "x", "b", value.D("c", 2.5)))
	require.True(t, mongoerr.Is(err, mongoerr.DuplicateKey))
	e := mongoerr.From(err)
	assert.Equal(t, `E11000 duplicate key error collection: db.c index: a_1_b.c_-1 dup key: { a: "x", b.c: 2.5 }`, e.Message)
	assert.Equal(t, bson.D{
		{Key: "keyPattern", Value: value.D("a", 1, "b.c", -1)},
		{Key: "keyValue", Value: value.D("a", "x", "b.c", 2.5)},
	}, e.Info)

	err = w.insert(doc(1.0))
	require.ErrorContains(t, err, "E11000 duplicate key error collection: db.c index: _id_ dup key: { _id: 1.0 }")
	require.NoError(t, w.insert(doc(3)))
	assert.ErrorContains(t, w.insert(doc(4)), "dup key: { a: null, b.c: null }", "missing fields are null")
}

func TestScansAreOrderedAndBounded(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.index(
		keySpec("ab", value.D("a", 1, "b", -1)),
		keySpec("h", value.D("b", "hashed")),
	))
	require.NoError(t, w.insert(
		doc(1, "a", 1, "b", 1), doc(2, "a", 1, "b", 2), doc(3, "a", 2, "b", 1),
		doc(4, "a", 2, "b", 3), doc(5, "a", "s", "b", 0),
	))
	ab := &Index{}
	_ = w.e.View(func(tx *Tx) error {
		ab = tx.Collection("db.c").Index("ab")
		return nil
	})
	bound := func(pairs ...any) []byte {
		b, err := ab.Bound(value.D(pairs...))
		require.NoError(t, err)
		return b
	}
	one, two, three := value.Int32(1), value.Double(2), value.Int32(3)
	eq := []bson.RawValue{two}
	for name, tc := range map[string]struct {
		s    ScanSpec
		want []string
	}{
		"natural order":                {ScanSpec{}, []string{"1", "2", "3", "4", "5"}},
		"natural order backwards":      {ScanSpec{Reverse: true}, []string{"5", "4", "3", "2", "1"}},
		"natural order from a record":  {ScanSpec{Resume: Key{ID: 3}}, []string{"4", "5"}},
		"backwards from a record":      {ScanSpec{Reverse: true, Resume: Key{ID: 3}}, []string{"2", "1"}},
		"an index":                     {ScanSpec{Index: "ab"}, []string{"2", "1", "4", "3", "5"}},
		"an index backwards":           {ScanSpec{Index: "ab", Reverse: true}, []string{"5", "3", "4", "1", "2"}},
		"min and max":                  {ScanSpec{Index: "ab", Min: bound("a", 1, "b", 1), MinIncl: true, Max: bound("a", 2, "b", 1)}, []string{"1", "4"}},
		"a prefix as inclusive max":    {ScanSpec{Index: "ab", Max: bound("a", 1), MaxIncl: true}, []string{"2", "1"}},
		"a prefix as exclusive min":    {ScanSpec{Index: "ab", Min: bound("a", 1)}, []string{"4", "3", "5"}},
		"bounds backwards":             {ScanSpec{Index: "ab", Reverse: true, Min: bound("a", 1), Max: bound("a", "s")}, []string{"3", "4"}},
		"nothing between":              {ScanSpec{Index: "ab", Min: bound("a", 2), Max: bound("a", 2)}, []string{}},
		"equality":                     {ab.Range(eq, nil, nil, false, false), []string{"4", "3"}},
		"a range":                      {ab.Range(nil, &one, &two, false, true), []string{"4", "3"}},
		"a range of a descending one":  {ab.Range(eq, &one, &three, false, true), []string{"4"}},
		"half a range of a descending": {ab.Range(eq, &one, nil, true, false), []string{"4", "3"}},
		"an unknown index":             {ScanSpec{Index: "no"}, []string{}},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tc.want, w.ids(tc.s)) })
	}
	_, err := ab.Bound(value.D("b", 1))
	assert.True(t, mongoerr.Is(err, mongoerr.BadValue), "%v", err)
}

// A string that is the beginning of another one is another key.
func TestStringsThatContinueAreOtherKeys(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.index(
		keySpec("up", value.D("a", 1), "unique", true),
		keySpec("down", value.D("a", -1), "unique", true),
		keySpec("both", value.D("a", -1, "_id", 1)),
	))
	require.NoError(t, w.insert(doc("a\x00\x00", "a", "a\x00\x00"), doc("a\x00", "a", "a\x00"), doc("a", "a", "a"), doc("b", "a", "b")))
	up := []string{`"a"`, "\"a\x00\"", "\"a\x00\x00\"", `"b"`}
	for index, want := range map[string][]string{
		"_id_": up, "up": up, "down": {up[3], up[2], up[1], up[0]}, "both": {up[3], up[2], up[1], up[0]},
	} {
		assert.Equal(t, want, w.ids(ScanSpec{Index: index}), index)
		_ = w.e.View(func(tx *Tx) error {
			ix := tx.Collection("db.c").Index(index)
			v := value.String("a\x00")
			assert.Equal(t, up[1:2], w.ids(ix.Range([]bson.RawValue{v}, nil, nil, false, false)), index)
			assert.ElementsMatch(t, up[:1], w.ids(ix.Range(nil, nil, &v, false, false)), index)
			assert.ElementsMatch(t, up[:2], w.ids(ix.Range(nil, nil, &v, false, true)), index)
			assert.ElementsMatch(t, up[2:], w.ids(ix.Range(nil, &v, nil, false, false)), index)
			assert.ElementsMatch(t, up[1:], w.ids(ix.Range(nil, &v, nil, true, false)), index)
			return nil
		})
	}
}

// A scan that is resumed after each record sees all of them, in both
// directions, even if the record it stood at is gone.
func TestScansResume(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.index(keySpec("a", value.D("a", 1))))
	require.NoError(t, w.insert(doc(1, "a", 1), doc(2, "a", 1), doc(3, "a", 0), doc(4, "a", 2)))
	for _, index := range []string{"", "a", "_id_"} {
		for _, reverse := range []bool{false, true} {
			s := ScanSpec{Index: index, Reverse: reverse}
			want, got := w.ids(s), []string{}
			for range 10 {
				_ = w.e.Update(func(tx *Tx) error {
					c := tx.Collection("db.c")
					for k, r := range tx.Scan(c, s) {
						got = append(got, renderValue(r.Doc.Lookup("_id")))
						s.Resume = k
						require.NoError(t, tx.Delete(c, r.ID, Meta{}))
						break
					}
					return nil
				})
			}
			assert.Equal(t, want, got)
			require.NoError(t, w.insert(doc(1, "a", 1), doc(2, "a", 1), doc(3, "a", 0), doc(4, "a", 2)))
		}
	}
}

func TestTheBodyOfAScanMayWrite(t *testing.T) {
	w := withCollection(t)
	for i := range 300 {
		require.NoError(t, w.insert(doc(int32(i), "a", i)))
	}
	for _, index := range []string{"", "_id_"} {
		w.must(func(tx *Tx) error {
			c := tx.Collection("db.c")
			n := 0
			for _, r := range tx.Scan(c, ScanSpec{Index: index}) {
				n++
				if n%2 == 0 {
					require.NoError(t, tx.Delete(c, r.ID, Meta{}))
				}
			}
			assert.Equal(t, map[string]int{"": 300, "_id_": 150}[index], n)
			return nil
		})
	}
	w.requireConsistent()
}

func TestHashedBoundsAreHashes(t *testing.T) {
	w := withCollection(t)
	require.NoError(t, w.index(keySpec("h", value.D("a", "hashed"))))
	require.NoError(t, w.insert(doc(1, "a", 1), doc(2, "a", 2), doc(3)))
	_ = w.e.View(func(tx *Tx) error {
		ix := tx.Collection("db.c").Index("h")
		low, high := value.MinKey(), value.Int64(0)
		below := w.ids(ix.Range(nil, &low, &high, true, false))
		above := w.ids(ScanSpec{Index: "h", Min: ix.Prefix(high), MinIncl: true})
		assert.ElementsMatch(t, []string{"1", "2", "3"}, append(below, above...))
		// the server's hash of 1 is 5902408780260971510
		one := value.Int64(5902408780260971510)
		assert.Equal(t, []string{"1"}, w.ids(ix.Range([]bson.RawValue{one}, nil, nil, false, false)))
		return nil
	})
}

func TestClusteredCollectionsScanByID(t *testing.T) {
	w := withCollection(t, "clusteredIndex", value.D("key", value.D("_id", 1), "unique", true))
	require.NoError(t, w.insert(doc(3), doc(1), doc("a"), doc(2)))
	assert.Equal(t, []string{"1", "2", "3", `"a"`}, w.ids(ScanSpec{}))
	_ = w.e.View(func(tx *Tx) error {
		c := tx.Collection("db.c")
		assert.Equal(t, `{ v: 2, key: { _id: 1 }, name: "_id_", unique: true, clustered: true }`, render(c.IDIndex().Spec))
		two := value.Int32(2)
		assert.Equal(t, []string{"2", "3", `"a"`}, w.ids(ScanSpec{Min: c.IDIndex().Prefix(two), MinIncl: true}))
		return nil
	})
	assert.Equal(t, `c db.$cmd { create: "c", clusteredIndex: { v: 2, key: { _id: 1 }, name: "_id_", unique: true } }`, w.entries()[0])
}
