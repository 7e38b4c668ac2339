package query

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// predicate is a question about one value; a missing one has Type 0.
type predicate interface {
	test(v bson.RawValue) (bool, error)
}

// positioned is a predicate on an array that knows which element satisfied it.
type positioned interface {
	position(v bson.RawValue) int
}

type operator int

const (
	opEq operator = iota
	opLt
	opLte
	opGt
	opGte
)

// comparison is $eq, $lt, $lte, $gt or $gte.
type comparison struct {
	op  operator
	arg bson.RawValue
	by  *collated // nil if strings are compared by their bytes, or if arg has none
}

// collated is what values are compared with by a collation: the comparison keys,
// sorted.
type collated struct {
	coll *collation.Collation
	keys []bson.RawValue
}

// collate returns the keys of values to compare with, nil if none has strings.
func collate(coll *collation.Collation, vals ...bson.RawValue) *collated {
	if coll == nil || !slices.ContainsFunc(vals, collation.HasStrings) {
		return nil
	}
	c := &collated{coll: coll}
	for _, v := range vals {
		c.keys = append(c.keys, coll.Key(v))
	}
	slices.SortFunc(c.keys, value.Compare)
	return c
}

func newComparison(op operator, arg bson.RawValue, coll *collation.Collation) comparison {
	return comparison{op: op, arg: arg, by: collate(coll, arg)}
}

func (c comparison) test(v bson.RawValue) (bool, error) {
	if value.CanonicalType(v.Type) != value.CanonicalType(c.arg.Type) || v.Type == 0 {
		return c.otherType(v), nil
	}
	if value.IsNumber(v.Type) {
		an, vn := value.IsNaN(c.arg), value.IsNaN(v)
		if an || vn { // NaN is not ordered, but equals itself
			return an && vn && c.op != opLt && c.op != opGt, nil
		}
	}
	d := 0
	if c.by == nil {
		d = value.Compare(v, c.arg)
	} else {
		d = value.Compare(c.by.coll.Key(v), c.by.keys[0])
	}
	switch c.op {
	case opLt:
		return d < 0, nil
	case opLte:
		return d <= 0, nil
	case opGt:
		return d > 0, nil
	case opGte:
		return d >= 0, nil
	default:
		return d == 0, nil
	}
}

// otherType answers for a value of another type than the argument's: only a
// missing value, which is like null, and the two keys at the ends compare.
func (c comparison) otherType(v bson.RawValue) bool {
	switch c.arg.Type {
	case bson.TypeNull:
		return v.Type == 0 && (c.op == opEq || c.op == opLte || c.op == opGte)
	case bson.TypeMinKey:
		return c.op == opGt || c.op == opGte
	case bson.TypeMaxKey:
		return c.op == opLt || c.op == opLte
	default:
		return false
	}
}

// inList is $in. The values are sorted.
type inList struct {
	vals    []bson.RawValue
	regexes []*regex
	null    bool
	by      *collated // nil if strings are compared by their bytes
}

func newInList(vals []bson.RawValue, regexes []*regex, coll *collation.Collation) inList {
	in := inList{vals: vals, regexes: regexes, by: collate(coll, vals...)}
	slices.SortFunc(in.vals, value.Compare)
	for _, v := range vals {
		in.null = in.null || v.Type == bson.TypeNull
	}
	return in
}

func (in inList) test(v bson.RawValue) (bool, error) {
	if v.Type == 0 {
		return in.null, nil
	}
	if in.has(v) {
		return true, nil
	}
	for _, re := range in.regexes {
		if ok, err := re.test(v); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func (in inList) has(v bson.RawValue) bool {
	list := in.vals
	if in.by != nil {
		list, v = in.by.keys, in.by.coll.Key(v)
	}
	_, ok := slices.BinarySearchFunc(list, v, value.Compare)
	return ok
}

type exists struct{}

func (exists) test(v bson.RawValue) (bool, error) { return v.Type != 0, nil }

// typeSet is $type.
type typeSet map[bson.Type]bool

func (s typeSet) test(v bson.RawValue) (bool, error) { return s[v.Type], nil }

type sizeIs int

func (n sizeIs) test(v bson.RawValue) (bool, error) {
	return v.Type == bson.TypeArray && arrayLen(v) == int(n), nil
}

func arrayLen(v bson.RawValue) int {
	n := 0
	for range value.Elements(bson.Raw(v.Value)) {
		n++
	}
	return n
}

// modulo is $mod.
type modulo struct{ divisor, remainder int64 }

func (m modulo) test(v bson.RawValue) (bool, error) {
	if !value.IsNumber(v.Type) || !value.IsFinite(v) {
		return false, nil
	}
	i := value.Truncate(v)
	if m.divisor == -1 { // the lowest long divided by it does not fit
		return m.remainder == 0, nil
	}
	return i%m.divisor == m.remainder, nil
}

// elemMatchDoc is $elemMatch with a filter: some document, or array taken as
// one, of the array matches it.
type elemMatchDoc struct{ filter node }

func (m elemMatchDoc) test(v bson.RawValue) (bool, error) {
	i, err := m.find(v)
	return i >= 0, err
}

func (m elemMatchDoc) position(v bson.RawValue) int {
	i, _ := m.find(v)
	return i
}

func (m elemMatchDoc) find(v bson.RawValue) (int, error) {
	return findElement(v, func(e bson.RawValue) (bool, error) {
		if e.Type != bson.TypeEmbeddedDocument && e.Type != bson.TypeArray {
			return false, nil
		}
		return m.filter.match(&run{}, bson.Raw(e.Value))
	})
}

// elemMatchValue is $elemMatch with operators: all hold for some element.
type elemMatchValue struct{ cond cond }

func (m elemMatchValue) test(v bson.RawValue) (bool, error) {
	i, err := findElement(v, m.cond.on)
	return i >= 0, err
}

func (m elemMatchValue) position(v bson.RawValue) int {
	i, _ := findElement(v, m.cond.on)
	return i
}

// findElement returns the position of the first element of an array for which f
// holds, or -1.
func findElement(v bson.RawValue, f func(bson.RawValue) (bool, error)) (int, error) {
	if v.Type != bson.TypeArray {
		return -1, nil
	}
	i := 0
	for _, e := range value.Elements(bson.Raw(v.Value)) {
		if ok, err := f(e); err != nil || ok {
			if err != nil {
				return -1, err
			}
			return i, nil
		}
		i++
	}
	return -1, nil
}
