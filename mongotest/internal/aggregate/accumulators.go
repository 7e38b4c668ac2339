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

// accDef is a compiled accumulator: what it takes from each document, and how
// a group begins one. make sees the group's key as the document.
type accDef struct {
	arg  evalFunc
	make func(c evalCtx) (accumulator, error)
}

// maxAccumulated is how much one accumulator may keep.
const maxAccumulated = 100 << 20

// simpleAccumulator returns the maker of an accumulator of one expression.
func simpleAccumulator(op string) (func(vars Vars) accumulator, bool) {
	switch op {
	case "$sum":
		return func(Vars) accumulator { return &sumAcc{} }, true
	case "$avg":
		return func(Vars) accumulator { return &avgAcc{} }, true
	case "$min":
		return func(vars Vars) accumulator { return &extremeAcc{dir: -1, vars: vars} }, true
	case "$max":
		return func(vars Vars) accumulator { return &extremeAcc{dir: 1, vars: vars} }, true
	case "$first":
		return func(Vars) accumulator { return &edgeAcc{first: true} }, true
	case "$last":
		return func(Vars) accumulator { return &edgeAcc{} }, true
	case "$push":
		return func(Vars) accumulator { return &pushAcc{op: op} }, true
	case "$addToSet":
		return func(vars Vars) accumulator { return &pushAcc{op: op, vars: vars, seen: map[string]bool{}} }, true
	case "$concatArrays":
		return func(Vars) accumulator { return &pushAcc{op: op, spread: true} }, true
	case "$setUnion":
		return func(vars Vars) accumulator {
			return &pushAcc{op: op, vars: vars, spread: true, seen: map[string]bool{}}
		}, true
	case "$mergeObjects":
		return func(Vars) accumulator { return &mergeAcc{doc: value.D()} }, true
	case "$stdDevPop":
		return func(Vars) accumulator { return &deviation{} }, true
	case "$stdDevSamp":
		return func(Vars) accumulator { return &deviation{sample: true} }, true
	default:
		return nil, false
	}
}

// compileAccumulator compiles {$op: arg}; ok is false for an unknown operator.
func compileAccumulator(op string, arg bson.RawValue) (def accDef, ok bool, err error) {
	if mk, simple := simpleAccumulator(op); simple {
		def.make = func(c evalCtx) (accumulator, error) { return mk(c.vars), nil }
		def.arg, err = compile(arg)
		return def, true, err
	}
	switch op {
	case "$count":
		if arg.Type != bson.TypeEmbeddedDocument || !value.IsEmpty(arg.Value) {
			return def, true, mongoerr.New(mongoerr.TypeMismatch, "$count takes no arguments, i.e. $count:{}")
		}
		def.arg = literal(value.Null())
		def.make = func(evalCtx) (accumulator, error) { return &countAcc{}, nil }
	case "$firstN", "$lastN", "$minN", "$maxN":
		def, err = compileSomeN(op, arg)
	case "$top", "$bottom", "$topN", "$bottomN":
		def, err = compileTop(op, arg)
	case "$percentile", "$median":
		def, err = compilePercentile(op, arg)
	case "$accumulator":
		def, err = compileScriptAccumulator(arg)
	case "$_internalJsReduce":
		def, err = compileReducer(arg)
	default:
		return def, false, nil
	}
	return def, true, err
}

type sumAcc struct{ sum number.Sum }

func (a *sumAcc) add(v bson.RawValue) error {
	a.sum.Add(v)
	return nil
}

func (a *sumAcc) result() bson.RawValue { return a.sum.Value() }

type countAcc struct{ n int64 }

func (a *countAcc) add(bson.RawValue) error {
	a.n++
	return nil
}

func (a *countAcc) result() bson.RawValue { return number.Integer(a.n, bson.TypeInt32) }

type avgAcc struct{ sum number.Sum }

func (a *avgAcc) add(v bson.RawValue) error {
	a.sum.Add(v)
	return nil
}

func (a *avgAcc) result() bson.RawValue { return a.sum.Average() }

// extremeAcc keeps the least (dir -1) or greatest value that is not null.
type extremeAcc struct {
	dir  int
	vars Vars
	best bson.RawValue
}

func (a *extremeAcc) add(v bson.RawValue) error {
	if !nullish(v) && (a.best.Type == 0 || a.vars.compare(v, a.best)*a.dir > 0) {
		a.best = v
	}
	return nil
}

func (a *extremeAcc) result() bson.RawValue { return orNull(a.best) }

// orNull stands null in for a missing value.
func orNull(v bson.RawValue) bson.RawValue {
	if v.Type == 0 {
		return value.Null()
	}
	return v
}

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

func (a *edgeAcc) result() bson.RawValue { return orNull(a.v) }

// pushAcc lists the values; with seen, each of them once; with spread, the
// elements of arrays.
type pushAcc struct {
	op     string
	vars   Vars
	b      rawdoc.Builder
	seen   map[string]bool
	spread bool
}

func (a *pushAcc) add(v bson.RawValue) error {
	switch {
	case v.Type == 0:
		return nil
	case !a.spread:
		return a.push(v)
	case v.Type != bson.TypeArray:
		return mongoerr.New(mongoerr.TypeMismatch, "%s requires array inputs, but input %s is of type %s", a.op, rawdoc.Render(v), rawdoc.TypeName(v.Type))
	}
	for _, e := range value.Elements(v.Value) {
		if err := a.push(e); err != nil {
			return err
		}
	}
	return nil
}

func (a *pushAcc) push(v bson.RawValue) error {
	if a.seen != nil {
		key := a.vars.groupKey(v)
		if a.seen[key] {
			return nil
		}
		a.seen[key] = true
	}
	if a.b.Size()+len(v.Value) > maxAccumulated {
		return mongoerr.New(mongoerr.ExceededMemoryLimit, "%s used too much memory and cannot spill to disk. Memory limit: %d bytes", a.op, maxAccumulated)
	}
	a.b.Push(v)
	return nil
}

func (a *pushAcc) result() bson.RawValue {
	b := a.b // a window asks again after more values
	return value.Array(b.Copy())
}

type mergeAcc struct{ doc bson.Raw }

func (a *mergeAcc) add(v bson.RawValue) error {
	if nullish(v) {
		return nil
	}
	if v.Type != bson.TypeEmbeddedDocument {
		return mongoerr.New(5911200, "$mergeObjects requires object inputs, but input %s is of type %s", rawdoc.Render(v), rawdoc.TypeName(v.Type))
	}
	for k, x := range value.Elements(v.Value) {
		a.doc = withField(a.doc, k, x)
	}
	return nil
}

func (a *mergeAcc) result() bson.RawValue { return value.Doc(a.doc) }
