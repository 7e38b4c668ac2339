package aggregate

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// maxDensified is how many documents one $densify may add.
const maxDensified = 500_000

// densify is a compiled $densify.
type densify struct {
	vars  Vars
	field string
	by    []string
	step  bson.RawValue
	unit  string
	// bounds is "full", "partition" or empty with lo and hi.
	bounds string
	lo, hi bson.RawValue
}

func compileDensify(spec bson.RawValue, env Env) (stage, error) {
	raw, err := rawArgs("$densify", spec, []string{"field", "range"}, []string{"partitionByFields"})
	if err != nil {
		return nil, err
	}
	d := &densify{vars: env.Vars}
	var ok bool
	if d.field, ok = raw["field"].StringValueOK(); !ok {
		return nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field '$densify.field' is the wrong type '%s', expected type 'string'", typeName(raw["field"]))
	}
	if err := checkPath(strings.Split(d.field, ".")); err != nil {
		return nil, err
	}
	if v, given := raw["partitionByFields"]; given {
		if v.Type != bson.TypeArray {
			return nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field '$densify.partitionByFields' is the wrong type '%s', expected type 'array'", typeName(v))
		}
		for _, f := range value.Elements(v.Value) {
			name, _ := f.StringValueOK()
			if err := checkPath(strings.Split(name, ".")); err != nil {
				return nil, err
			}
			d.by = append(d.by, name)
		}
	}
	if err := d.readRange(raw["range"]); err != nil {
		return nil, err
	}
	return gathered(d.run), nil
}

func (d *densify) readRange(v bson.RawValue) error {
	raw, err := rawArgs("$densify.range", v, []string{"step", "bounds"}, []string{"unit"})
	if err != nil {
		return err
	}
	d.step = raw["step"]
	if !number.Is(d.step) || compare(d.step, value.Int32(0)) <= 0 {
		return mongoerr.New(5733401, "The step parameter in a range statement must be a strictly positive numeric value")
	}
	if u, given := raw["unit"]; given {
		if d.unit, err = unitOf(u); err != nil {
			return err
		}
		if _, whole := number.Exact(d.step); !whole {
			return mongoerr.New(6586400, "The step parameter in a range statement must be a whole number when densifying a date range")
		}
	}
	b := raw["bounds"]
	if s, ok := b.StringValueOK(); ok {
		if s != "full" && s != "partition" {
			return mongoerr.New(5946802, "Bounds string must either be 'full' or 'partition'")
		}
		if s == "partition" && len(d.by) == 0 {
			return mongoerr.New(5733408, "one may not specify the bounds as 'partition' without specifying a non-empty array of partitionByFields")
		}
		d.bounds = s
		return nil
	}
	ends := []bson.RawValue{}
	if b.Type == bson.TypeArray {
		ends = rawdoc.Values(b.Value)
	}
	if len(ends) != 2 {
		return mongoerr.New(5733403, "a bounding array in a range statement must have exactly two elements")
	}
	d.lo, d.hi = ends[0], ends[1]
	for _, e := range ends {
		if dates := d.unit != ""; dates && e.Type != bson.TypeDateTime || !dates && !number.Is(e) {
			return mongoerr.New(5733402, "a bounding array must contain either both dates or both numeric types")
		}
	}
	if compare(d.lo, d.hi) > 0 {
		return mongoerr.New(5733402, "the bounds in a range statement must be in ascending order")
	}
	return nil
}

// point is a document at its place; the documents without one have none.
type point struct {
	at  bson.RawValue
	doc bson.Raw
}

func (d *densify) run(ctx context.Context, docs []bson.Raw) ([]bson.Raw, error) {
	var out []bson.Raw
	parts := map[string][]point{}
	var order []string
	var all []point
	for _, doc := range docs {
		v, _ := value.Lookup(doc, d.field)
		if nullish(v) {
			out = append(out, doc)
			continue
		}
		if d.unit != "" && v.Type != bson.TypeDateTime || d.unit == "" && !number.Is(v) {
			return nil, mongoerr.New(5733201, "Densify field type must be numeric or a date with a unit, not %s", typeName(v))
		}
		key := d.partition(doc)
		if _, known := parts[key]; !known {
			order = append(order, key)
		}
		parts[key] = append(parts[key], point{v, doc})
		all = append(all, point{v, doc})
	}
	if d.bounds == "partition" { // the server sorts by the partition then
		slices.Sort(order)
	}
	byPlace := func(a, b point) int { return compare(a.at, b.at) }
	slices.SortStableFunc(all, byPlace)
	added := 0
	for _, key := range order {
		p := parts[key]
		slices.SortStableFunc(p, byPlace)
		lo, hi, closed := d.lo, d.hi, false
		switch d.bounds {
		case "full":
			lo, hi, closed = all[0].at, all[len(all)-1].at, true
		case "partition":
			lo, hi, closed = p[0].at, p[len(p)-1].at, true
		}
		filled, err := d.fill(ctx, p, lo, hi, closed, &added)
		if err != nil {
			return nil, err
		}
		out = append(out, filled...)
	}
	return out, nil
}

func (d *densify) partition(doc bson.Raw) string {
	key := ""
	for _, f := range d.by {
		v, _ := value.Lookup(doc, f)
		key += d.vars.groupKey(orNull(v)) + "\x00"
	}
	return key
}

// fill merges the documents of a partition with new ones at the steps between
// lo and hi where there are none.
func (d *densify) fill(ctx context.Context, p []point, lo, hi bson.RawValue, closed bool, added *int) ([]bson.Raw, error) {
	var out []bson.Raw
	i := 0
	last := value.MinKey()
	for n := int64(0); ; n++ {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		at := d.stepped(lo, n)
		stuck := compare(at, last) == 0 // the step is lost beside a number so large
		last = at
		if c := compare(at, hi); c > 0 || c == 0 && !closed {
			break
		}
		for i < len(p) && compare(p[i].at, at) < 0 {
			out = append(out, p[i].doc)
			i++
		}
		if i < len(p) && compare(p[i].at, at) == 0 && !stuck {
			continue
		}
		if *added++; *added > maxDensified {
			return nil, mongoerr.New(5897900, "Generated %d documents in $densify, which is over the limit of %d.", *added, maxDensified)
		}
		out = append(out, d.generated(p[min(i, len(p)-1)].doc, at)) // as the next one has its partition
	}
	for ; i < len(p); i++ {
		out = append(out, p[i].doc)
	}
	return out, nil
}

func (d *densify) stepped(from bson.RawValue, n int64) bson.RawValue {
	if d.unit == "" {
		by, _ := number.Mul(d.step, value.Int64(n))
		sum, _ := number.Add(from, by)
		if i, ok := number.Int(sum); ok && sum.Type == bson.TypeInt64 && from.Type == bson.TypeInt32 {
			return number.Integer(i, bson.TypeInt32)
		}
		return sum
	}
	step, _ := number.Int(d.step)
	ms, ok := addUnits(time.UnixMilli(from.DateTime()).UTC(), d.unit, step*n, time.UTC)
	if !ok {
		return value.MaxKey()
	}
	return value.DateTime(ms)
}

// generated has nothing but the place and the fields of its partition.
func (d *densify) generated(like bson.Raw, at bson.RawValue) bson.Raw {
	doc := value.D()
	for _, f := range d.by {
		if v, ok := value.Lookup(like, f); ok {
			doc = withPath(doc, strings.Split(f, "."), v)
		}
	}
	return withPath(doc, strings.Split(d.field, "."), at)
}
