package aggregate

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// bucketAuto is a compiled $bucketAuto.
type bucketAuto struct {
	by      evalFunc
	buckets int
	group   groupSpec
}

func compileBucketAuto(spec bson.RawValue, env Env) (stage, error) {
	raw, err := rawArgs("$bucketAuto", spec, []string{"groupBy", "buckets"}, []string{"output", "granularity"})
	if err != nil {
		return nil, err
	}
	if _, ok := raw["granularity"]; ok {
		return nil, mongoerr.New(mongoerr.CommandNotSupported, "$bucketAuto without granularity only")
	}
	n, ok := number.Exact(raw["buckets"])
	if !ok || n < 1 {
		return nil, mongoerr.New(40243, "The $bucketAuto 'buckets' field must be greater than 0")
	}
	b := &bucketAuto{buckets: int(n)}
	if b.by, err = compile(raw["groupBy"]); err != nil {
		return nil, err
	}
	output := value.Doc(value.D("count", value.D("$sum", int32(1))))
	if o, given := raw["output"]; given {
		output = o
	}
	for k, v := range value.Elements(output.Value) {
		f, err := compileAccField(k, v)
		if err != nil {
			return nil, err
		}
		b.group.fields = append(b.group.fields, f)
	}
	return gathered(func(_ context.Context, docs []bson.Raw) ([]bson.Raw, error) { return b.run(docs, env.Vars) }), nil
}

type keyed struct {
	key bson.RawValue
	doc bson.Raw
}

// run sorts by the key and cuts into buckets of about equal size; documents
// with equal keys stay together. A bucket ends where the next one begins, the
// last one with its greatest key.
func (b *bucketAuto) run(docs []bson.Raw, vars Vars) ([]bson.Raw, error) {
	rows := make([]keyed, len(docs))
	for i, d := range docs {
		k, err := b.by(evalCtx{root: d, vars: vars})
		if err != nil {
			return nil, err
		}
		if nullish(k) {
			k = value.Null()
		}
		rows[i] = keyed{k, d}
	}
	slices.SortStableFunc(rows, func(x, y keyed) int { return compare(x.key, y.key) })
	var cuts []int // where buckets begin
	size := max(1, (len(rows)+b.buckets/2)/b.buckets)
	for i := 0; i < len(rows) && len(cuts) < b.buckets; {
		cuts = append(cuts, i)
		i += size
		for i < len(rows) && compare(rows[i].key, rows[i-1].key) == 0 {
			i++
		}
	}
	var out []bson.Raw
	for n, from := range cuts {
		to, end := len(rows), rows[len(rows)-1].key
		if n+1 < len(cuts) {
			to = cuts[n+1]
			end = rows[to].key
		}
		bk, err := b.group.newBucket(value.Doc(value.D("min", rows[from].key, "max", end)), vars)
		if err != nil {
			return nil, err
		}
		for _, r := range rows[from:to] {
			if err := b.group.feed(bk, evalCtx{root: r.doc, vars: vars}); err != nil {
				return nil, err
			}
		}
		out = append(out, b.group.result(bk))
	}
	return out, nil
}
