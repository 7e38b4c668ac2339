package aggregate

import (
	"sort"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// partition is what a window function runs over: sorted documents, and the
// frame around each.
type partition struct {
	docs  []bson.Raw
	frame frame
	vars  Vars
}

// eval computes an expression for each document.
func (p partition) eval(fn evalFunc) ([]bson.RawValue, error) {
	out := make([]bson.RawValue, len(p.docs))
	for i, d := range p.docs {
		var err error
		if out[i], err = fn(evalCtx{root: d, vars: p.vars}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// span is a half-open interval of documents.
type span struct{ from, to int }

// spans returns the frame of each document; by are the sort values, which only
// a ranged frame needs.
func (p partition) spans(by func() ([]bson.RawValue, error)) ([]span, error) {
	n := len(p.docs)
	out := make([]span, n)
	if !p.frame.ranged || p.frame.lo.open && p.frame.hi.open {
		for i := range out {
			out[i] = span{min(n, max(0, p.frame.lo.position(i, 0, n))), min(n, p.frame.hi.position(i, n-1, n)+1)}
			out[i].to = max(out[i].to, out[i].from)
		}
		return out, nil
	}
	vals, err := by()
	if err != nil {
		return nil, err
	}
	if err := p.frame.checkRange(vals); err != nil {
		return nil, err
	}
	for i, v := range vals {
		out[i] = span{0, n}
		if !p.frame.lo.open {
			edge := p.frame.shifted(v, p.frame.lo.offset)
			out[i].from = sort.Search(n, func(k int) bool { return compare(vals[k], edge) >= 0 })
		}
		if !p.frame.hi.open {
			edge := p.frame.shifted(v, p.frame.hi.offset)
			out[i].to = sort.Search(n, func(k int) bool { return compare(vals[k], edge) > 0 })
		}
		out[i].to = max(out[i].to, out[i].from)
	}
	return out, nil
}

// position is the document a bound points at from the i-th of n.
func (b bound) position(i, end, n int) int {
	if b.open {
		return end
	}
	off, _ := number.Int(b.offset)
	return i + int(max(min(off, int64(n)), -int64(n)))
}

func (f frame) checkRange(vals []bson.RawValue) error {
	for _, v := range vals {
		switch {
		case f.unit != "" && v.Type != bson.TypeDateTime:
			return mongoerr.New(5429513, "Expected the sortBy field to be a Date, but it was %s", typeName(v))
		case f.unit == "" && v.Type == bson.TypeDateTime:
			return mongoerr.New(5429413, "For windows that involve date or time ranges, a unit must be provided.")
		case f.unit == "" && !number.Is(v):
			return mongoerr.New(5429414, "Expected the sortBy field to be a number, but it was %s", typeName(v))
		}
	}
	return nil
}

func (f frame) shifted(v, offset bson.RawValue) bson.RawValue {
	if f.unit == "" {
		sum, _ := number.Add(v, offset)
		return sum
	}
	n, _ := number.Int(offset)
	ms, ok := addUnits(time.UnixMilli(v.DateTime()), f.unit, n, time.UTC)
	if !ok {
		if n < 0 {
			return value.MinKey()
		}
		return value.MaxKey()
	}
	return value.DateTime(ms)
}
