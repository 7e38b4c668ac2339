package mongos

import (
	"bytes"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/keystring"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// maxPoints bounds how many key points a filter is targeted by; beyond it the
// statement goes to every shard that owns chunks.
const maxPoints = 4096

// A keyRange is an interval of positions, both ends included.
type keyRange struct{ lo, hi []byte }

// afterAll sorts behind every encoded value: no type byte is 0xff.
const afterAll = 0xff

// A target is where a filter leads: the shards, and whether its equality
// conditions fix the whole shard key (then there is one shard).
type target struct {
	shards []string
	exact  bool // every field of the shard key is fixed to one value
}

// target returns the shards a filter may match on.
func (t *table) target(filter bson.Raw, by *collation.Collation) (target, error) {
	if t.unsplittable {
		return target{shards: t.shards(), exact: true}, nil
	}
	if len(t.chunks) == 1 {
		exact, _ := t.ranges(filter, by)
		return target{shards: t.shards(), exact: len(exact) == 1 && isPoint(exact[0])}, nil
	}
	ranges, err := t.ranges(filter, by)
	if err != nil {
		return target{}, err
	}
	var shards []string
	for _, r := range ranges {
		for i := t.chunkAt(r.lo); i < len(t.chunks) && bytes.Compare(t.chunks[i].lo, r.hi) <= 0; i++ {
			if bytes.Compare(t.chunks[i].hi, r.lo) > 0 {
				shards = append(shards, t.chunks[i].shard)
			}
		}
	}
	slices.Sort(shards)
	return target{shards: slices.Compact(shards), exact: len(ranges) == 1 && isPoint(ranges[0])}, nil
}

func isPoint(r keyRange) bool { return bytes.Equal(r.lo, r.hi) }

// ranges returns the parts of the key space a filter may match in.
func (t *table) ranges(filter bson.Raw, by *collation.Collation) ([]keyRange, error) {
	m, err := query.Compile(filter, query.Options{Expr: anyExpr, Collation: by, Where: anyWhere, Near: true, Text: query.TextAllowed})
	if err != nil {
		return nil, err
	}
	prefixes := [][]byte{nil}
	for _, f := range t.key.fields {
		b, ok := m.Bounds(f.path)
		if by != nil && b.HasStrings() { // equal strings may be anywhere
			b, ok = query.Bounds{}, false
		}
		if !ok || len(b.Eq) == 0 {
			return openRanges(prefixes, f, b, ok), nil
		}
		points, ok := equalities(f, b.Eq)
		if !ok || len(prefixes)*len(points) > maxPoints {
			return openRanges(prefixes, f, query.Bounds{}, false), nil
		}
		var next [][]byte
		for _, p := range prefixes {
			for _, v := range points {
				next = append(next, keystring.Append(slices.Clip(p), v, false))
			}
		}
		prefixes = next
	}
	rs := make([]keyRange, len(prefixes))
	for i, p := range prefixes {
		rs[i] = keyRange{p, p}
	}
	return rs, nil
}

// anyExpr stands in for $expr, which never narrows the target.
func anyExpr(bson.RawValue, bson.Raw) (bool, error) { return true, nil }

// anyWhere stands in for $where, which only shards run: here it neither narrows
// the target nor says which element of an array matches.
func anyWhere(string) (func(bson.Raw) (bool, error), error) {
	return func(bson.Raw) (bool, error) { return true, nil }, nil
}

// equalities returns the key values of a field's equality conditions. An array
// or a regular expression fixes nothing.
func equalities(f keyField, eq []bson.RawValue) ([]bson.RawValue, bool) {
	var vals []bson.RawValue
	for _, v := range eq {
		if v.Type == bson.TypeArray || v.Type == bson.TypeRegex {
			return nil, false
		}
		v = f.stored(v)
		if !slices.ContainsFunc(vals, func(o bson.RawValue) bool { return value.Equal(o, v) }) {
			vals = append(vals, v)
		}
	}
	return vals, true
}

// openRanges ends the prefixes with the range that b leaves for field f.
func openRanges(prefixes [][]byte, f keyField, b query.Bounds, bounded bool) []keyRange {
	rs := make([]keyRange, len(prefixes))
	for i, p := range prefixes {
		lo, hi := slices.Clip(p), append(slices.Clip(p), afterAll)
		if bounded && !f.hashed {
			if b.Min != nil {
				lo = keystring.Append(lo, *b.Min, false)
			}
			if b.Max != nil {
				hi = append(keystring.Append(slices.Clip(p), *b.Max, false), afterAll)
			}
		}
		rs[i] = keyRange{lo, hi}
	}
	return rs
}
