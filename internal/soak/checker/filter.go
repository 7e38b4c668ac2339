package checker

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Matches reports whether a document matches a query: fields that are compared by
// some operators, joined by $and, $or and $nor, with numbers, texts and null for
// values. It panics at what it does not know: then a test asks for too much.
func Matches(query, doc bson.Raw) bool {
	for _, e := range elements(query) {
		if !part(e.Key(), e.Value(), doc) {
			return false
		}
	}
	return true
}

func part(key string, v bson.RawValue, doc bson.Raw) bool {
	matches := func(q bson.RawValue) bool { return Matches(q.Document(), doc) }
	switch key {
	case "$and":
		return !slices.ContainsFunc(items(v), func(q bson.RawValue) bool { return !matches(q) })
	case "$or":
		return slices.ContainsFunc(items(v), matches)
	case "$nor":
		return !slices.ContainsFunc(items(v), matches)
	}
	return conditions(at(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc}, strings.Split(key, ".")), v)
}

// at returns what is found at a path: in each of the documents of an array that it
// leads through.
func at(v bson.RawValue, path []string) []bson.RawValue {
	if len(path) == 0 {
		return []bson.RawValue{v}
	}
	d, ok := v.DocumentOK()
	if !ok {
		return nil
	}
	next, err := d.LookupErr(path[0])
	if err != nil {
		return nil
	}
	if next.Type != bson.TypeArray || len(path) == 1 {
		return at(next, path[1:])
	}
	var all []bson.RawValue
	for _, item := range items(next) {
		all = append(all, at(item, path[1:])...)
	}
	return all
}

// conditions reports whether what a path leads to is as the query says.
func conditions(found []bson.RawValue, want bson.RawValue) bool {
	d, ok := want.DocumentOK()
	if !ok {
		return condition("$eq", found, want)
	}
	for _, e := range elements(d) {
		if !condition(e.Key(), found, e.Value()) {
			return false
		}
	}
	return true
}

func condition(op string, found []bson.RawValue, want bson.RawValue) bool {
	compared := func(as func(c int) bool) bool {
		return slices.ContainsFunc(each(found), func(v bson.RawValue) bool {
			c, ok := compare(v, want)
			return ok && as(c)
		})
	}
	switch op {
	case "$eq":
		return compared(func(c int) bool { return c == 0 }) || want.Type == bson.TypeNull && len(found) == 0
	case "$ne":
		return !condition("$eq", found, want)
	case "$in":
		return slices.ContainsFunc(items(want), func(w bson.RawValue) bool { return condition("$eq", found, w) })
	case "$nin":
		return !condition("$in", found, want)
	case "$gt":
		return compared(func(c int) bool { return c > 0 })
	case "$gte":
		return compared(func(c int) bool { return c >= 0 })
	case "$lt":
		return compared(func(c int) bool { return c < 0 })
	case "$lte":
		return compared(func(c int) bool { return c <= 0 })
	case "$exists":
		return want.Boolean() == (len(found) > 0)
	case "$not":
		return !conditions(found, want)
	case "$type":
		return slices.ContainsFunc(each(found), func(v bson.RawValue) bool { return isType(v, want.StringValue()) })
	case "$mod":
		by := items(want)
		return slices.ContainsFunc(each(found), func(v bson.RawValue) bool { return leaves(v, by[0].AsInt64(), by[1].AsInt64()) })
	case "$regex":
		re := regexp.MustCompile(want.StringValue())
		return slices.ContainsFunc(each(found), func(v bson.RawValue) bool {
			s, ok := text(v)
			return ok && re.MatchString(s)
		})
	}
	panic("checker: no operator " + op)
}

// each adds the items of arrays to what was found.
func each(found []bson.RawValue) []bson.RawValue {
	var all []bson.RawValue
	for _, v := range found {
		if v.Type == bson.TypeArray {
			all = append(all, items(v)...)
		}
		all = append(all, v)
	}
	return all
}

// compare compares two values, if they are of a kind. NaN equals nothing here.
func compare(a, b bson.RawValue) (int, bool) {
	if x, ok := number(a); ok {
		y, ok := number(b)
		return x.cmp(y), ok
	}
	if x, ok := text(a); ok {
		y, ok := text(b)
		return strings.Compare(x, y), ok
	}
	return 0, a.Type == bson.TypeNull && b.Type == bson.TypeNull
}

// A quantity is a number: infinite, or exact.
type quantity struct {
	infinite int
	exact    *big.Rat
}

func (q quantity) cmp(o quantity) int {
	if q.exact == nil || o.exact == nil {
		return q.infinite - o.infinite
	}
	return q.exact.Cmp(o.exact)
}

func number(v bson.RawValue) (quantity, bool) {
	if f, ok := v.DoubleOK(); ok {
		switch {
		case math.IsInf(f, 0):
			return quantity{infinite: int(math.Copysign(1, f))}, true
		case math.IsNaN(f):
			return quantity{}, false
		}
		return quantity{exact: new(big.Rat).SetFloat64(f)}, true
	}
	if d, ok := v.Decimal128OK(); ok {
		if i := d.IsInf(); i != 0 {
			return quantity{infinite: i}, true
		}
		r, ok := new(big.Rat).SetString(d.String())
		return quantity{exact: r}, ok
	}
	i, ok := v.AsInt64OK()
	return quantity{exact: new(big.Rat).SetInt64(i)}, ok
}

// text returns what is a string, or its former kind.
func text(v bson.RawValue) (string, bool) {
	if s, ok := v.SymbolOK(); ok {
		return s, true
	}
	return v.StringValueOK()
}

func isType(v bson.RawValue, name string) bool {
	switch name {
	case "number":
		return v.Type == bson.TypeInt32 || v.Type == bson.TypeInt64 || v.Type == bson.TypeDouble || v.Type == bson.TypeDecimal128
	case "string":
		return v.Type == bson.TypeString
	case "object":
		return v.Type == bson.TypeEmbeddedDocument
	}
	panic("checker: no type " + name)
}

// leaves reports whether a number, cut off to an integer, leaves a rest.
func leaves(v bson.RawValue, by, rest int64) bool {
	q, ok := number(v)
	if !ok || q.exact == nil {
		return false
	}
	whole := new(big.Int).Quo(q.exact.Num(), q.exact.Denom())
	return whole.IsInt64() && whole.Int64()%by == rest
}

func elements(d bson.Raw) []bson.RawElement {
	all, err := d.Elements()
	if err != nil {
		panic(fmt.Sprint("checker: ", err))
	}
	return all
}

func items(v bson.RawValue) []bson.RawValue {
	all, err := v.Array().Values()
	if err != nil {
		panic(fmt.Sprint("checker: ", err))
	}
	return all
}
