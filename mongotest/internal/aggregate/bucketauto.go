package aggregate

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// bucketAuto is a compiled $bucketAuto.
type bucketAuto struct {
	by      evalFunc
	buckets int
	series  *preferred // nil: boundaries are values
	group   groupSpec
	vars    Vars
}

func compileBucketAuto(spec bson.RawValue, env Env) (stage, error) {
	raw, err := rawArgs("$bucketAuto", spec, []string{"groupBy", "buckets"}, []string{"output", "granularity"})
	if err != nil {
		return nil, err
	}
	b := &bucketAuto{vars: env.Vars}
	if b.by, err = compileGroupBy("$bucketAuto", 40239, raw["groupBy"]); err != nil {
		return nil, err
	}
	if b.buckets, err = bucketCount(raw["buckets"]); err != nil {
		return nil, err
	}
	if g, given := raw["granularity"]; given {
		name, ok := g.StringValueOK()
		if !ok {
			return nil, mongoerr.New(40261, "The $bucketAuto 'granularity' field must be a string, but found type: %s.", typeName(g))
		}
		series, ok := granularityOf(name)
		if !ok {
			return nil, mongoerr.New(40257, "Unknown rounding granularity '%s'", name)
		}
		b.series = &series
	}
	if b.group.fields, err = compileBucketOutput("$bucketAuto", 40244, raw["output"]); err != nil {
		return nil, err
	}
	return gathered(func(_ context.Context, docs []bson.Raw) ([]bson.Raw, error) { return b.run(docs) }), nil
}

func bucketCount(v bson.RawValue) (int, error) {
	if !number.Is(v) {
		return 0, mongoerr.New(40241, "The $bucketAuto 'buckets' field must be a numeric value, but found type: %s.", typeName(v))
	}
	n, ok := number.Exact(v)
	if !ok || n != int64(int32(n)) {
		return 0, mongoerr.New(40242, "The $bucketAuto 'buckets' field must be representable as a 32-bit integer, but found %s.", rawdoc.Render(v))
	}
	if n <= 0 {
		return 0, mongoerr.New(40243, "The $bucketAuto 'buckets' field must be greater than 0, but found: %d.", n)
	}
	return int(n), nil
}

type keyed struct {
	key bson.RawValue
	doc bson.Raw
}

// run sorts by the key and cuts into buckets of about equal size; documents
// with equal keys stay together. A bucket ends where the next one begins, the
// last one with its greatest key.
func (b *bucketAuto) run(docs []bson.Raw) ([]bson.Raw, error) {
	rows := make([]keyed, len(docs))
	for i, d := range docs {
		k, err := b.by(evalCtx{root: d, vars: b.vars})
		if err != nil {
			return nil, err
		}
		if b.series != nil {
			if err := checkGranular(k); err != nil {
				return nil, err
			}
		}
		if nullish(k) {
			k = value.Null()
		}
		rows[i] = keyed{k, d}
	}
	slices.SortStableFunc(rows, func(x, y keyed) int { return b.vars.compare(x.key, y.key) })
	size := max(1, (len(rows)+b.buckets/2)/b.buckets)
	var out []bson.Raw
	var end bson.RawValue
	for i := 0; len(rows) > 0; i++ {
		n := min(size, len(rows))
		if i == b.buckets-1 {
			n = len(rows)
		}
		begin := end
		if n, end = b.cut(rows, n); i == 0 || b.series == nil {
			begin = b.lowest(rows[0].key)
		}
		doc, err := b.bucket(begin, end, rows[:n])
		if err != nil {
			return nil, err
		}
		out = append(out, doc)
		rows = rows[n:]
	}
	return out, nil
}

func (b *bucketAuto) lowest(key bson.RawValue) bson.RawValue {
	if b.series == nil {
		return key
	}
	return value.Double(b.series.down(number.Float(key)))
}

// cut moves the end of a bucket of n rows to where its boundary is.
func (b *bucketAuto) cut(rows []keyed, n int) (int, bson.RawValue) {
	last := rows[n-1].key
	if b.series == nil {
		for n < len(rows) && b.vars.compare(rows[n].key, last) == 0 {
			n++
		}
		if n < len(rows) {
			return n, rows[n].key
		}
		return n, last
	}
	edge := value.Double(b.series.up(number.Float(last)))
	for n < len(rows) && compare(rows[n].key, edge) < 0 {
		n++
	}
	if number.IsZero(last) && n < len(rows) { // nothing lies between zero and the next
		for n < len(rows) && number.IsZero(rows[n].key) {
			n++
		}
		if n < len(rows) {
			edge = value.Double(b.series.down(number.Float(rows[n].key)))
		}
	}
	return n, edge
}

func (b *bucketAuto) bucket(begin, end bson.RawValue, rows []keyed) (bson.Raw, error) {
	bk, err := b.group.newBucket(value.Doc(value.D("min", begin, "max", end)), b.vars)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if err := b.group.feed(bk, evalCtx{root: r.doc, vars: b.vars}); err != nil {
			return nil, err
		}
	}
	return b.group.result(bk)
}
