package aggregate

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func compileSort(spec bson.RawValue, env Env) (stage, error) {
	if spec.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(15973, "the $sort key specification must be an object")
	}
	if value.IsEmpty(spec.Value) {
		return nil, mongoerr.New(15976, "$sort stage must have at least one sort key")
	}
	keys, err := sortSpec(spec.Value)
	if err != nil {
		return nil, err
	}
	s, err := query.CompileSort(keys, env.Vars.coll)
	if err != nil {
		return nil, err
	}
	return gathered(func(_ context.Context, docs []bson.Raw) ([]bson.Raw, error) {
		type row struct{ key, doc []byte }
		rows := make([]row, len(docs))
		for i, d := range docs {
			rows[i] = row{s.Key(d), d}
		}
		slices.SortStableFunc(rows, func(a, b row) int { return bytes.Compare(a.key, b.key) })
		out := make([]bson.Raw, len(rows))
		for i, r := range rows {
			out[i] = r.doc
		}
		return out, nil
	}), nil
}

func compileLimit(spec bson.RawValue, _ Env) (stage, error) {
	n, ok := number.Exact(spec)
	if !ok || n < 0 {
		return nil, mongoerr.New(5107201, "invalid argument to $limit stage: Expected a non-negative number in: $limit: %s", rawdoc.Render(spec))
	}
	if n == 0 {
		return nil, mongoerr.New(15958, "the limit must be positive")
	}
	return limit(n), nil
}

func limit(n int64) stage {
	return func(in Source) Source {
		left := n
		return sourceFunc(func(ctx context.Context) (bson.Raw, error) {
			if left == 0 {
				return nil, nil
			}
			left--
			return in.Next(ctx)
		})
	}
}

func compileSkip(spec bson.RawValue, _ Env) (stage, error) {
	n, ok := number.Exact(spec)
	if !ok || n < 0 {
		return nil, mongoerr.New(5107200, "invalid argument to $skip stage: Expected a non-negative number in: $skip: %s", rawdoc.Render(spec))
	}
	return func(in Source) Source {
		left := n
		return sourceFunc(func(ctx context.Context) (bson.Raw, error) {
			for ; left > 0; left-- {
				if doc, err := in.Next(ctx); doc == nil || err != nil {
					return nil, err
				}
			}
			return in.Next(ctx)
		})
	}, nil
}

func compileCount(spec bson.RawValue, _ Env) (stage, error) {
	name, ok := spec.StringValueOK()
	switch {
	case !ok:
		return nil, mongoerr.New(40156, "the count field must be a non-empty string")
	case name == "":
		return nil, mongoerr.New(40157, "the count field must be a non-empty string")
	case name[0] == '$':
		return nil, mongoerr.New(40158, "the count field cannot be a $-prefixed path")
	case strings.ContainsRune(name, 0):
		return nil, mongoerr.New(40159, "the count field cannot contain a null byte")
	case strings.Contains(name, "."):
		return nil, mongoerr.New(40160, "the count field cannot contain '.'")
	case name == "_id":
		return nil, mongoerr.New(9039800, "the count field cannot be '_id'")
	}
	return func(in Source) Source {
		done := false
		return sourceFunc(func(ctx context.Context) (bson.Raw, error) {
			if done {
				return nil, nil
			}
			done = true
			n := int64(0)
			for ; ; n++ {
				doc, err := in.Next(ctx)
				if err != nil {
					return nil, err
				}
				if doc == nil {
					break
				}
			}
			if n == 0 {
				return nil, nil
			}
			return value.D(name, number.Integer(n, bson.TypeInt32)), nil
		})
	}, nil
}

func compileSample(spec bson.RawValue, _ Env) (stage, error) {
	raw, err := rawArgs("$sample", spec, []string{"size"}, nil)
	if err != nil {
		return nil, err
	}
	n, err := sampleSize(raw["size"])
	if err != nil {
		return nil, err
	}
	return gathered(func(_ context.Context, docs []bson.Raw) ([]bson.Raw, error) {
		rand.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
		return docs[:min(n, int64(len(docs)))], nil
	}), nil
}

// sampleSize reads the size of a $sample: doubles lose their fraction, decimals
// are rounded, and what is too large is all.
func sampleSize(v bson.RawValue) (int64, error) {
	if !number.Is(v) {
		return 0, mongoerr.New(28746, "size argument to $sample must be a number")
	}
	if d := number.Decimal(v); v.Type == bson.TypeDecimal128 && d.IsFinite() {
		if q := d.Quantize(0, number.HalfEven); q.IsFinite() {
			v = q.Value()
		}
	}
	n, fits := number.Int(v)
	if !fits && compare(v, value.Int32(0)) > 0 {
		n = math.MaxInt64
	}
	if n <= 0 {
		return 0, mongoerr.New(28747, "size argument to $sample must be a positive integer")
	}
	return n, nil
}
