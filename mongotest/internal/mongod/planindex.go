package mongod

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/hashkey"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// isSpecial reports whether ix is of a type that only its own operators use:
// text, 2d, 2dsphere, wildcard.
func isSpecial(ix *storage.Index) bool {
	for name, v := range value.Elements(ix.Key) {
		if s, ok := v.StringValueOK(); ok && s != "hashed" {
			return true
		}
		if name == "$**" || len(name) > 3 && name[len(name)-4:] == ".$**" {
			return true
		}
	}
	return false
}

// indexPlan is the scan of ix with the bounds that w's filter has for its
// leading fields.
func indexPlan(ix *storage.Index, w wanted) candidate {
	got := candidate{plan: plan{index: ix.Name, key: ix.Key, dedup: ix.Multikey(), coll: ix.Collation()}}
	agrees := ix.Collation().Same(w.matcher.Collation())
	prefixes := [][]bson.RawValue{nil}
	var last query.Bounds
	i := -1
	for name := range value.Elements(ix.Key) {
		i++
		if isSpecial(ix) || w.matcher == nil {
			break
		}
		b, ok := w.matcher.Bounds(name)
		if !ok || !agrees && b.HasStrings() {
			break // strings are elsewhere in the index
		}
		hashed := ix.Hashed() == i
		if eq, ok := points(b, ix, hashed); ok && len(eq)*len(prefixes) <= maxRanges {
			prefixes = extend(prefixes, eq)
			got.points++
			got.fields++
			continue
		}
		if !hashed {
			last = usableRange(b, ix)
			if last.Min != nil || last.Max != nil {
				got.fields++
			}
		}
		break
	}
	got.plan.fields = got.fields
	for _, eq := range prefixes {
		s := ix.Range(eq, last.Min, last.Max, last.MinIncl, last.MaxIncl)
		got.plan.ranges = append(got.plan.ranges, s)
	}
	got.plan.sorted = isEmpty(w.sort)
	if agrees && len(prefixes) == 1 && ix.Partial == nil && !isSpecial(ix) {
		reverse, sorted := servesSort(ix, len(prefixes[0]), w.sort)
		got.plan.sorted = sorted
		got.plan.ranges[0].Reverse = reverse && sorted
	}
	return got
}

// points returns the values to which b fixes a field, as the index has them.
func points(b query.Bounds, ix *storage.Index, hashed bool) ([]bson.RawValue, bool) {
	if len(b.Eq) == 0 {
		return nil, false
	}
	eq := make([]bson.RawValue, 0, len(b.Eq))
	for _, v := range b.Eq {
		switch v.Type {
		case bson.TypeArray, bson.TypeRegex, bson.TypeUndefined:
			return nil, false // matched by the array itself or by other values too
		case bson.TypeNull:
			if ix.Sparse || ix.Multikey() || hashed {
				return nil, false // missing fields match as well
			}
		default:
		}
		if hashed {
			v = value.Int64(hashkey.Hash(ix.Collation().Key(v)))
		}
		eq = append(eq, v)
	}
	slices.SortFunc(eq, ix.Collation().Compare)
	return slices.CompactFunc(eq, ix.Collation().Equal), true
}

// extend returns every prefix followed by every value, in order.
func extend(prefixes [][]bson.RawValue, vals []bson.RawValue) [][]bson.RawValue {
	out := make([][]bson.RawValue, 0, len(prefixes)*len(vals))
	for _, p := range prefixes {
		for _, v := range vals {
			out = append(out, append(slices.Clone(p), v))
		}
	}
	return out
}

// usableRange drops what an index cannot use of a range: on an array, one
// element may satisfy the lower bound and another the upper.
func usableRange(b query.Bounds, ix *storage.Index) query.Bounds {
	out := query.Bounds{Min: b.Min, Max: b.Max, MinIncl: b.MinIncl, MaxIncl: b.MaxIncl}
	if out.Min != nil && out.Max != nil && ix.Multikey() {
		out.Max = nil
	}
	for _, limit := range []**bson.RawValue{&out.Min, &out.Max} {
		if *limit != nil && ((*limit).Type == bson.TypeArray || (*limit).Type == bson.TypeNull) {
			*limit = nil
		}
	}
	return out
}

// servesSort reports whether a scan of ix, with its first fixed fields bound to
// one value each, is in the order of sort, perhaps backwards.
func servesSort(ix *storage.Index, fixed int, sort bson.Raw) (reverse, ok bool) {
	if isEmpty(sort) || ix.Multikey() || ix.Sparse || ix.Hashed() >= 0 {
		return false, isEmpty(sort)
	}
	key, err1 := ix.Key.Elements()
	want, err2 := sort.Elements()
	if err1 != nil || err2 != nil {
		return false, false
	}
	for skip := 0; skip <= fixed; skip++ {
		if reverse, ok := sameOrder(key[skip:], want); ok {
			return reverse, true
		}
	}
	return false, false
}

// sameOrder reports whether want is a prefix of key, in the same directions or
// in all the opposite ones.
func sameOrder(key, want []bson.RawElement) (reverse, ok bool) {
	if len(want) > len(key) {
		return false, false
	}
	for i, e := range want {
		k, okKey := value.AsInt64(key[i].Value())
		d, okDir := value.AsInt64(e.Value())
		if !okKey || !okDir || key[i].Key() != e.Key() {
			return false, false
		}
		opposite := (k < 0) != (d < 0)
		if i > 0 && opposite != reverse {
			return false, false
		}
		reverse = opposite
	}
	return reverse, true
}

// idBranches is the plan of a filter that is one $or of equalities on _id.
func idBranches(c *storage.Collection, w wanted) (plan, bool) {
	ix := c.IDIndex()
	branches, ok := w.filter.Lookup("$or").ArrayOK()
	if ix == nil || !ok || !isEmpty(w.sort) {
		return plan{}, false
	}
	vals, err := branches.Values()
	if err != nil || len(vals) > maxRanges {
		return plan{}, false
	}
	var ids []bson.RawValue
	for _, v := range vals {
		d, _ := v.DocumentOK()
		m, err := query.Compile(d, query.Options{Expr: never, Collation: w.matcher.Collation()})
		if err != nil {
			return plan{}, false
		}
		b, ok := m.Bounds("_id")
		eq, isPoints := points(b, ix, false)
		if !ok || !isPoints || b.HasStrings() && !ix.Collation().Same(w.matcher.Collation()) {
			return plan{}, false
		}
		ids = append(ids, eq...)
	}
	slices.SortFunc(ids, ix.Collation().Compare)
	p := plan{index: ix.Name, key: ix.Key, sorted: true, coll: ix.Collation()}
	for _, id := range slices.CompactFunc(ids, ix.Collation().Equal) {
		p.ranges = append(p.ranges, ix.Range([]bson.RawValue{id}, nil, nil, false, false))
	}
	return p, true
}

// never stands in for $expr where a filter is only looked at.
func never(bson.RawValue, bson.Raw) (bool, error) { return false, nil }
