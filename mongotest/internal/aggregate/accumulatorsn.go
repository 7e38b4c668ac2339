package aggregate

import (
	"bytes"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// countN reads the n of $firstN and its kin.
func countN(op string, v bson.RawValue) (int, error) {
	n, ok := number.Exact(v)
	if !ok || n <= 0 {
		return 0, mongoerr.New(7548606, "Value for 'n' in %s must be a positive integer, but found %s", op, showMissing(v))
	}
	return int(min(n, 1<<31-1)), nil
}

func compileSomeN(op string, arg bson.RawValue) (accDef, error) {
	raw, err := rawArgs(op, arg, []string{"n", "input"}, nil)
	if err != nil {
		return accDef{}, err
	}
	input, err := compile(raw["input"])
	if err != nil {
		return accDef{}, err
	}
	n, err := compile(raw["n"])
	if err != nil {
		return accDef{}, err
	}
	return accDef{arg: input, make: func(c evalCtx) (accumulator, error) {
		v, err := n(c)
		if err != nil {
			return nil, err
		}
		limit, err := countN(op, v)
		return &someAcc{op: op, n: limit, vars: c.vars}, err
	}}, nil
}

// someAcc keeps n of the values.
type someAcc struct {
	op   string
	n    int
	vars Vars
	vals []bson.RawValue
}

func (a *someAcc) add(v bson.RawValue) error {
	switch a.op {
	case "$firstN":
		if len(a.vals) < a.n {
			a.vals = append(a.vals, orNull(v))
		}
	case "$lastN":
		a.vals = append(a.vals, orNull(v))
		if len(a.vals) > a.n {
			a.vals = slices.Delete(a.vals, 0, 1)
		}
	default:
		if nullish(v) {
			return nil
		}
		dir := 1
		if a.op == "$maxN" {
			dir = -1
		}
		at, _ := slices.BinarySearchFunc(a.vals, v, func(x, y bson.RawValue) int {
			if a.vars.compare(x, y)*dir <= 0 {
				return -1
			}
			return 1
		})
		if a.vals = slices.Insert(a.vals, at, v); len(a.vals) > a.n {
			a.vals = a.vals[:a.n]
		}
	}
	return nil
}

func (a *someAcc) result() bson.RawValue { return value.ArrayOf(a.vals...) }

func compileTop(op string, arg bson.RawValue) (accDef, error) {
	required := []string{"sortBy", "output"}
	many := op == "$topN" || op == "$bottomN"
	if many {
		required = append(required, "n")
	}
	raw, err := rawArgs(op, arg, required, nil)
	if err != nil {
		return accDef{}, err
	}
	if raw["sortBy"].Type != bson.TypeEmbeddedDocument {
		return accDef{}, mongoerr.New(10065, "invalid parameter: expected an object (sortBy)")
	}
	order, err := query.CompileSort(raw["sortBy"].Value, nil)
	if err != nil {
		return accDef{}, err
	}
	output, err := compile(raw["output"])
	if err != nil {
		return accDef{}, err
	}
	n := literal(value.Int32(1))
	if many {
		if n, err = compile(raw["n"]); err != nil {
			return accDef{}, err
		}
	}
	pair := func(c evalCtx) (bson.RawValue, error) {
		v, err := output(c)
		return value.ArrayOf(value.Binary(0, order.Collated(c.vars.coll).Key(c.root)), orNull(v)), err
	}
	return accDef{arg: pair, make: func(c evalCtx) (accumulator, error) {
		v, err := n(c)
		if err != nil {
			return nil, err
		}
		limit, err := countN(op, v)
		return &topAcc{n: limit, bottom: op[:4] == "$bot", many: many}, err
	}}, nil
}

// topAcc keeps the outputs of the first or last n documents of an order. The
// pairs it is given are the sort key and the output.
type topAcc struct {
	n            int
	bottom, many bool
	rows         []topRow
}

type topRow struct {
	key []byte
	out bson.RawValue
}

func (a *topAcc) add(v bson.RawValue) error {
	pair := rawdoc.Values(v.Value)
	_, key := pair[0].Binary()
	at, _ := slices.BinarySearchFunc(a.rows, key, func(r topRow, key []byte) int {
		if bytes.Compare(r.key, key) <= 0 {
			return -1
		}
		return 1
	})
	a.rows = slices.Insert(a.rows, at, topRow{key, pair[1]})
	if len(a.rows) > a.n {
		if a.bottom {
			a.rows = slices.Delete(a.rows, 0, 1)
		} else {
			a.rows = a.rows[:a.n]
		}
	}
	return nil
}

func (a *topAcc) result() bson.RawValue {
	if !a.many {
		if len(a.rows) == 0 {
			return value.Null()
		}
		return a.rows[0].out
	}
	var b rawdoc.Builder
	for _, r := range a.rows {
		b.Push(r.out)
	}
	return value.Array(b.Bytes())
}
