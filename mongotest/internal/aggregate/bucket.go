package aggregate

import (
	"context"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// buckets is a compiled $bucket: a $group by the lower boundary of a value's
// interval.
type buckets struct {
	by         evalFunc
	boundaries []bson.RawValue
	other      bson.RawValue // type 0: a value outside is an error
	group      groupSpec
	vars       Vars
}

func compileBucket(spec bson.RawValue, env Env) (stage, error) {
	raw, err := rawArgs("$bucket", spec, []string{"groupBy", "boundaries"}, []string{"default", "output"})
	if err != nil {
		return nil, err
	}
	b := &buckets{vars: env.Vars}
	if b.by, err = compileGroupBy("$bucket", 40202, raw["groupBy"]); err != nil {
		return nil, err
	}
	if err := b.readBoundaries(raw["boundaries"]); err != nil {
		return nil, err
	}
	if d, given := raw["default"]; given {
		if err := b.readDefault(d); err != nil {
			return nil, err
		}
	}
	if b.group.fields, err = compileBucketOutput("$bucket", 40196, raw["output"]); err != nil {
		return nil, err
	}
	b.group.id = b.boundary
	return gathered(func(_ context.Context, docs []bson.Raw) ([]bson.Raw, error) {
		out, err := b.group.run(docs, env.Vars)
		slices.SortStableFunc(out, func(x, y bson.Raw) int {
			i, _ := value.Get(x, "_id")
			j, _ := value.Get(y, "_id")
			return env.Vars.compare(i, j)
		})
		return out, err
	}), nil
}

// compileGroupBy compiles a path or an operator: nothing else makes sense.
func compileGroupBy(name string, code mongoerr.Code, v bson.RawValue) (evalFunc, error) {
	path, isString := v.StringValueOK()
	first := ""
	if v.Type == bson.TypeEmbeddedDocument {
		first, _, _ = rawdoc.First(v.Value)
	}
	if isString && strings.HasPrefix(path, "$") || strings.HasPrefix(first, "$") {
		return compile(v)
	}
	return nil, mongoerr.New(code, "The %s 'groupBy' field must be defined as a $-prefixed path or an expression object, but found: %s", name, rawdoc.Render(v))
}

// compileBucketOutput reads the fields of a bucket, by default a count.
func compileBucketOutput(name string, code mongoerr.Code, v bson.RawValue) ([]accField, error) {
	if v.Type == 0 {
		v = value.Doc(value.D("count", value.D("$sum", int32(1))))
	}
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(code, "The %s 'output' field must be an object, but found type: %s.", name, typeName(v))
	}
	return compileAccFields(v.Value)
}

func constant(v bson.RawValue) (bson.RawValue, bool) {
	fn, err := compile(v)
	if err != nil {
		return v, false
	}
	if v.Type == bson.TypeString && strings.HasPrefix(v.StringValue(), "$") {
		return v, false
	}
	out, err := fn(evalCtx{})
	return out, err == nil && out.Type != 0
}

func (b *buckets) readBoundaries(v bson.RawValue) error {
	if v.Type != bson.TypeArray {
		return mongoerr.New(40200, "The $bucket 'boundaries' field must be an array, but found type: %s.", typeName(v))
	}
	for _, e := range value.Elements(v.Value) {
		c, ok := constant(e)
		if !ok {
			return mongoerr.New(40191, "The $bucket 'boundaries' field must be an array of constant values, but found value: %s.", rawdoc.Render(e))
		}
		b.boundaries = append(b.boundaries, c)
	}
	if len(b.boundaries) < 2 {
		return mongoerr.New(40192, "The $bucket 'boundaries' field must have at least 2 values, but found %d value(s).", len(b.boundaries))
	}
	for i, hi := range b.boundaries[1:] {
		lo := b.boundaries[i]
		if value.CanonicalType(lo.Type) != value.CanonicalType(hi.Type) {
			return mongoerr.New(40193, "All values in the the 'boundaries' option to $bucket must have the same type. Found conflicting types %s and %s.", typeName(lo), typeName(hi))
		}
		if b.vars.compare(lo, hi) >= 0 {
			return mongoerr.New(40194, "The 'boundaries' option to $bucket must be sorted, but elements %d and %d are not in ascending order (%s is not less than %s).", i, i+1, rawdoc.Render(lo), rawdoc.Render(hi))
		}
	}
	return nil
}

func (b *buckets) readDefault(v bson.RawValue) error {
	c, ok := constant(v)
	if !ok {
		return mongoerr.New(40195, "The $bucket 'default' field must be a constant expression, but found: %s.", rawdoc.Render(v))
	}
	first, last := b.boundaries[0], b.boundaries[len(b.boundaries)-1]
	if value.CanonicalType(c.Type) == value.CanonicalType(first.Type) && b.vars.compare(c, first) >= 0 && b.vars.compare(c, last) < 0 {
		return mongoerr.New(40199, "The $bucket 'default' field must be less than the lowest boundary or greater than or equal to the highest boundary.")
	}
	b.other = c
	return nil
}

// boundary is the lower end of the interval a document falls into.
func (b *buckets) boundary(c evalCtx) (bson.RawValue, error) {
	v, err := b.by(c)
	if err != nil {
		return v, err
	}
	last := len(b.boundaries) - 1
	if b.vars.compare(v, b.boundaries[0]) >= 0 && b.vars.compare(v, b.boundaries[last]) < 0 {
		at, found := slices.BinarySearchFunc(b.boundaries, v, b.vars.compare)
		if !found {
			at--
		}
		return b.boundaries[at], nil
	}
	if b.other.Type == 0 {
		return v, errNoBranch
	}
	return b.other, nil
}
