package aggregate

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// accumulator gathers one value per document of a group. A result of type 0
// means no field.
type accumulator interface {
	add(v bson.RawValue) error
	result() bson.RawValue
}

// accumulatorOf returns the maker of a group operator's accumulators.
func accumulatorOf(op string) (func() accumulator, bool) {
	switch op {
	case "$sum":
		return func() accumulator { return &sumAcc{sum: value.Int32(0)} }, true
	case "$count":
		return func() accumulator { return &countAcc{} }, true
	case "$avg":
		return func() accumulator { return &avgAcc{sum: value.Int32(0)} }, true
	case "$min":
		return func() accumulator { return &extremeAcc{dir: -1, best: value.Null()} }, true
	case "$max":
		return func() accumulator { return &extremeAcc{dir: 1, best: value.Null()} }, true
	case "$first":
		return func() accumulator { return &edgeAcc{first: true} }, true
	case "$last":
		return func() accumulator { return &edgeAcc{} }, true
	case "$push":
		return func() accumulator { return &pushAcc{} }, true
	case "$addToSet":
		return func() accumulator { return &pushAcc{seen: map[string]bool{}} }, true
	case "$mergeObjects":
		return func() accumulator { return &mergeAcc{doc: value.D()} }, true
	default:
		return nil, false
	}
}

type sumAcc struct{ sum bson.RawValue }

func (a *sumAcc) add(v bson.RawValue) error {
	if number.Is(v) {
		a.sum, _ = number.Add(a.sum, v)
	}
	return nil
}

func (a *sumAcc) result() bson.RawValue { return a.sum }

type countAcc struct{ n int64 }

func (a *countAcc) add(bson.RawValue) error {
	a.n++
	return nil
}

func (a *countAcc) result() bson.RawValue { return number.Integer(a.n, bson.TypeInt32) }

type avgAcc struct {
	sum bson.RawValue
	n   int64
}

func (a *avgAcc) add(v bson.RawValue) error {
	if number.Is(v) {
		a.sum, _ = number.Add(a.sum, v)
		a.n++
	}
	return nil
}

func (a *avgAcc) result() bson.RawValue {
	if a.n == 0 {
		return value.Null()
	}
	return number.Div(a.sum, value.Int64(a.n))
}

type extremeAcc struct {
	dir  int
	best bson.RawValue
}

func (a *extremeAcc) add(v bson.RawValue) error {
	a.best = extreme([]bson.RawValue{a.best, v}, a.dir)
	return nil
}

func (a *extremeAcc) result() bson.RawValue { return a.best }

// edgeAcc keeps the first or the last value; missing counts as null.
type edgeAcc struct {
	first, has bool
	v          bson.RawValue
}

func (a *edgeAcc) add(v bson.RawValue) error {
	if !a.first || !a.has {
		a.v, a.has = v, true
	}
	return nil
}

func (a *edgeAcc) result() bson.RawValue {
	if a.v.Type == 0 {
		return value.Null()
	}
	return a.v
}

// pushAcc lists the values; with seen, each of them once.
type pushAcc struct {
	b    rawdoc.Builder
	seen map[string]bool
}

func (a *pushAcc) add(v bson.RawValue) error {
	if v.Type == 0 {
		return nil
	}
	if a.seen != nil {
		key := groupKey(v)
		if a.seen[key] {
			return nil
		}
		a.seen[key] = true
	}
	a.b.Push(v)
	return nil
}

func (a *pushAcc) result() bson.RawValue { return value.Array(a.b.Bytes()) }

type mergeAcc struct{ doc bson.Raw }

func (a *mergeAcc) add(v bson.RawValue) error {
	if nullish(v) {
		return nil
	}
	if v.Type != bson.TypeEmbeddedDocument {
		return mongoerr.New(40400, "$mergeObjects requires object inputs, but input %s is of type %s", rawdoc.Render(v), rawdoc.TypeName(v.Type))
	}
	for k, x := range value.Elements(v.Value) {
		a.doc = withField(a.doc, k, x)
	}
	return nil
}

func (a *mergeAcc) result() bson.RawValue { return value.Doc(a.doc) }
