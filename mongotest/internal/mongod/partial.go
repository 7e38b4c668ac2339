package mongod

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// hasAll reports whether every document that m matches is in ix, a partial index
// or a whole one. What strings ix has cannot be told by another collation.
func hasAll(m *query.Matcher, ix *storage.Index) bool {
	if !ix.Collation().Same(m.Collation()) && collation.HasStrings(value.Doc(ix.Partial)) {
		return false
	}
	return implies(m, ix.Partial)
}

// implies reports whether every document that m matches is in an index with
// the partial filter, nil for a whole index. It may say no too often.
func implies(m *query.Matcher, partial bson.Raw) bool {
	if partial != nil && m == nil {
		return false
	}
	for name, v := range value.Elements(partial) {
		if name == "$and" {
			for _, branch := range value.Elements(v.Value) {
				if !implies(m, branch.Value) {
					return false
				}
			}
			continue
		}
		if strings.HasPrefix(name, "$") || !impliesField(m, name, v) {
			return false
		}
	}
	return true
}

func impliesField(m *query.Matcher, path string, want bson.RawValue) bool {
	b, ok := m.Bounds(path)
	if !ok {
		return false
	}
	d, isDoc := want.DocumentOK()
	if !isDoc || !strings.HasPrefix(firstStage([]bson.Raw{d}), "$") {
		return within(m.Collation(), b, "$eq", want)
	}
	for op, arg := range value.Elements(d) {
		if !within(m.Collation(), b, op, arg) {
			return false
		}
	}
	return true
}

// within reports whether everything in b fulfils a comparison.
func within(by *collation.Collation, b query.Bounds, op string, arg bson.RawValue) bool {
	if b.Eq != nil {
		for _, v := range b.Eq {
			if v.Type == bson.TypeNull || !fulfilsOp(by, v, op, arg) {
				return false
			}
		}
		return true
	}
	switch op {
	case "$exists":
		return value.Truthy(arg)
	case "$gt":
		return b.Min != nil && sameClass(*b.Min, arg) && (by.Compare(*b.Min, arg) > 0 || by.Compare(*b.Min, arg) == 0 && !b.MinIncl)
	case "$gte":
		return b.Min != nil && sameClass(*b.Min, arg) && by.Compare(*b.Min, arg) >= 0
	case "$lt":
		return b.Max != nil && sameClass(*b.Max, arg) && (by.Compare(*b.Max, arg) < 0 || by.Compare(*b.Max, arg) == 0 && !b.MaxIncl)
	case "$lte":
		return b.Max != nil && sameClass(*b.Max, arg) && by.Compare(*b.Max, arg) <= 0
	default:
		return false
	}
}

// fulfilsOp reports whether one value fulfils a comparison.
func fulfilsOp(by *collation.Collation, v bson.RawValue, op string, arg bson.RawValue) bool {
	c := by.Compare(v, arg)
	switch op {
	case "$exists":
		return value.Truthy(arg)
	case "$eq":
		return c == 0
	case "$gt":
		return c > 0 && sameClass(v, arg)
	case "$gte":
		return c >= 0 && sameClass(v, arg)
	case "$lt":
		return c < 0 && sameClass(v, arg)
	case "$lte":
		return c <= 0 && sameClass(v, arg)
	default:
		return false
	}
}

// sameClass reports whether two values are of types that comparisons compare.
func sameClass(a, b bson.RawValue) bool {
	_, num1 := value.AsFloat64(a)
	_, num2 := value.AsFloat64(b)
	return a.Type == b.Type || num1 && num2
}
