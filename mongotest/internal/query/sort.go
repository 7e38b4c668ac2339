package query

import (
	"bytes"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/keystring"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The server's codes for sorts it cannot read.
const (
	codeSortKey       mongoerr.Code = 15974
	codeSortDirection mongoerr.Code = 15975
	codeEmptyField    mongoerr.Code = 15998
	codeDollarField   mongoerr.Code = 16410
	codeNoField       mongoerr.Code = 40352
	codeFieldDotEnd   mongoerr.Code = 40353
)

// keyEnd ends a sort key, as it ends an index key.
const keyEnd = 0x04

// Sort is a compiled sort. It may be used from many goroutines at once.
type Sort struct {
	fields []sortField
	coll   *collation.Collation
}

type sortField struct {
	path path
	desc bool
	// score, if set, gives the value instead of the path.
	score func(doc bson.Raw) bson.RawValue
}

// CompileSort compiles a sort such as {a: 1, "b.c": -1}. An empty one takes all
// documents as equal. Strings are in the order of coll. $natural and $meta are no
// matter of values and are refused.
func CompileSort(spec bson.Raw, coll *collation.Collation) (*Sort, error) {
	return compileSort(spec, coll, nil)
}

// Collated returns s with strings in the order of coll.
func (s *Sort) Collated(coll *collation.Collation) *Sort {
	if s.coll == coll {
		return s
	}
	return &Sort{fields: s.fields, coll: coll}
}

// CompileSort compiles a sort of what m matches, which may be by the score of
// its $text: {s: {$meta: "textScore"}}, the best first.
func (m *Matcher) CompileSort(spec bson.Raw) (*Sort, error) { return compileSort(spec, m.coll, m) }

func compileSort(spec bson.Raw, coll *collation.Collation, m *Matcher) (*Sort, error) {
	s := &Sort{coll: coll}
	for name, v := range value.Elements(spec) {
		if err := checkFieldPath(name); err != nil {
			return nil, err
		}
		if arg, ok := value.Get(bson.Raw(v.Value), "$meta"); ok && m != nil && isExpression(v) {
			if err := m.checkTextScore(arg); err != nil {
				return nil, err
			}
			s.fields = append(s.fields, sortField{score: m.textScore, desc: true})
			continue
		}
		if !value.IsNumber(v.Type) {
			return nil, mongoerr.New(codeSortKey, "Illegal key in $sort specification: %s: %s", name, v)
		}
		f, _ := value.AsFloat64(v)
		if f != 1 && f != -1 {
			return nil, mongoerr.New(codeSortDirection,
				"$sort key ordering must be 1 (for ascending) or -1 (for descending)")
		}
		s.fields = append(s.fields, sortField{path: parsePath(name), desc: f < 0})
	}
	return s, nil
}

// checkFieldPath refuses paths with an empty or a $-prefixed component.
func checkFieldPath(name string) error {
	if name == "" {
		return mongoerr.New(codeNoField, "FieldPath cannot be constructed with empty string")
	}
	if strings.HasSuffix(name, ".") {
		return mongoerr.New(codeFieldDotEnd, "FieldPath must not end with a '.'.")
	}
	for part := range strings.SplitSeq(name, ".") {
		if part == "" {
			return mongoerr.New(codeEmptyField, "FieldPath field names may not be empty strings.")
		}
		if part[0] == '$' {
			return mongoerr.New(codeDollarField,
				"FieldPath field names may not start with '$'. Consider using $getField or $setField.")
		}
	}
	return nil
}

// Compare returns the order of two documents. To sort many, compare their Keys.
func (s *Sort) Compare(a, b bson.Raw) int { return bytes.Compare(s.Key(a), s.Key(b)) }

// Key returns bytes whose order is the sort's order of documents. Of an array,
// the lowest element counts ascending and the highest descending; an empty
// array counts as undefined and a missing field as null.
func (s *Sort) Key(doc bson.Raw) []byte {
	var key []byte
	for _, f := range s.fields {
		key = keystring.Append(key, s.coll.Key(f.value(doc, s.coll)), f.desc)
	}
	return append(key, keyEnd)
}

// Values returns what Key orders by, one value for each field of the sort: the
// sort key that a router merges by. Strings are comparison keys if there is a
// collation.
func (s *Sort) Values(doc bson.Raw) []bson.RawValue {
	vals := make([]bson.RawValue, len(s.fields))
	for i, f := range s.fields {
		vals[i] = s.coll.Key(f.value(doc, s.coll))
	}
	return vals
}

func (f sortField) value(doc bson.Raw, coll *collation.Collation) bson.RawValue {
	if f.score != nil {
		return f.score(doc)
	}
	var best bson.RawValue
	sortValues(doc, f.path, func(v bson.RawValue) {
		if best.Type != 0 {
			if c := coll.Compare(v, best); c == 0 || (c < 0) == f.desc {
				return
			}
		}
		best = v
	})
	if best.Type == 0 {
		return value.Null()
	}
	return best
}

// sortValues calls f with the values that an index on p would hold for doc.
func sortValues(doc bson.Raw, p path, f func(bson.RawValue)) {
	v, ok := value.Get(doc, p[0].name)
	if !ok {
		f(value.Null())
		return
	}
	sortValuesOf(v, p[1:], f)
}

func sortValuesOf(v bson.RawValue, p path, f func(bson.RawValue)) {
	switch {
	case v.Type == bson.TypeEmbeddedDocument && len(p) > 0:
		sortValues(bson.Raw(v.Value), p, f)
	case v.Type == bson.TypeArray:
		sortValuesIn(bson.Raw(v.Value), p, f)
	case len(p) > 0:
		f(value.Null())
	default:
		f(v)
	}
}

func sortValuesIn(array bson.Raw, p path, f func(bson.RawValue)) {
	switch {
	case value.IsEmpty(array) && len(p) == 0:
		f(value.Undefined())
	case value.IsEmpty(array):
		f(value.Null())
	case len(p) > 0 && p[0].numeric && !hasField(array, p[0].name):
		e, ok := value.Get(array, p[0].name)
		if !ok {
			f(value.Null())
			return
		}
		sortValuesOf(e, p[1:], f)
	default:
		for _, e := range value.Elements(array) {
			switch {
			case len(p) == 0:
				f(e)
			case e.Type == bson.TypeEmbeddedDocument:
				sortValues(bson.Raw(e.Value), p, f)
			default:
				f(value.Null())
			}
		}
	}
}

// hasField reports whether some document of an array has a field of that name,
// which then is not meant as a position.
func hasField(array bson.Raw, name string) bool {
	for _, e := range value.Elements(array) {
		if e.Type != bson.TypeEmbeddedDocument {
			continue
		}
		if _, ok := value.Get(bson.Raw(e.Value), name); ok {
			return true
		}
	}
	return false
}
