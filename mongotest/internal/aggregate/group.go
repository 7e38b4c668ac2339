package aggregate

import (
	"context"
	"errors"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// accField is one computed field of a $group.
type accField struct {
	accDef
	name string
}

// groupSpec is a compiled $group.
type groupSpec struct {
	id     evalFunc
	fields []accField
}

// bucket is one group under way.
type bucket struct {
	id   bson.RawValue
	accs []accumulator
}

func compileGroup(spec bson.RawValue, env Env) (stage, error) {
	if spec.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(15947, "a group's fields must be specified in an object")
	}
	g := &groupSpec{}
	var rest rawdoc.Builder
	for k, v := range value.Elements(spec.Value) {
		if k == "_id" {
			if v.Type == bson.TypeEmbeddedDocument {
				if err := checkGroupID(v.Value); err != nil {
					return nil, err
				}
			}
			var err error
			if g.id, err = compile(v); err != nil {
				return nil, err
			}
			continue
		}
		rest.Add(k, v)
	}
	var err error
	if g.fields, err = compileAccFields(rest.Bytes()); err != nil {
		return nil, err
	}
	if g.id == nil {
		return nil, mongoerr.New(15955, "a group specification must include an _id")
	}
	return gathered(func(_ context.Context, docs []bson.Raw) ([]bson.Raw, error) { return g.run(docs, env.Vars) }), nil
}

// checkGroupID refuses an _id that looks like a projection.
func checkGroupID(spec bson.Raw) error {
	for k, v := range value.Elements(spec) {
		switch v.Type {
		case bson.TypeBoolean, bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
			if !strings.HasPrefix(k, "$") {
				return mongoerr.New(17390, "$group does not support inclusion-style expressions")
			}
		default:
		}
	}
	return nil
}

// compileAccFields compiles the computed fields of a group.
func compileAccFields(spec bson.Raw) ([]accField, error) {
	var out []accField
	for k, v := range value.Elements(spec) {
		f, err := compileAccField(k, v)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func compileAccField(name string, v bson.RawValue) (accField, error) {
	if strings.Contains(name, ".") {
		return accField{}, mongoerr.New(40235, "The field name '%s' cannot contain '.'", name)
	}
	if strings.HasPrefix(name, "$") {
		return accField{}, mongoerr.New(40236, "The field name '%s' cannot be an operator name", name)
	}
	if v.Type != bson.TypeEmbeddedDocument {
		return accField{}, mongoerr.New(40234, "The field '%s' must be an accumulator object", name)
	}
	if value.IsEmpty(v.Value) {
		return accField{}, mongoerr.New(40234, "The field '%s' must be an accumulator object", name)
	}
	if rawdoc.Len(v.Value) != 1 {
		return accField{}, mongoerr.New(40238, "The field '%s' must specify one accumulator", name)
	}
	op, arg, _ := rawdoc.First(v.Value)
	if arg.Type == bson.TypeArray {
		return accField{}, mongoerr.New(40237, "The %s accumulator is a unary operator", op)
	}
	def, ok, err := compileAccumulator(op, arg)
	if !ok {
		return accField{}, mongoerr.New(15952, "unknown group operator '%s'", op)
	}
	return accField{def, name}, err
}

// newBucket begins a group. What an accumulator asks before the first document
// may refer to the fields of the group's _id.
func (g *groupSpec) newBucket(id bson.RawValue, vars Vars) (*bucket, error) {
	c := evalCtx{root: value.D(), vars: vars}
	if id.Type == bson.TypeEmbeddedDocument {
		c.root = id.Value
	}
	b := &bucket{id: id}
	for _, f := range g.fields {
		acc, err := f.make(c)
		if err != nil {
			return nil, err
		}
		b.accs = append(b.accs, acc)
	}
	return b, nil
}

func (g *groupSpec) feed(b *bucket, c evalCtx) error {
	for i, f := range g.fields {
		v, err := f.arg(c)
		if err != nil {
			return err
		}
		if err := b.accs[i].add(v); err != nil {
			return err
		}
	}
	return nil
}

// groupError gives a division by zero the code it has in $group, which the
// server runs in another engine than the other stages.
func groupError(err error) error {
	switch {
	case mongoerr.Is(err, 16610):
		return mongoerr.New(4848403, "can't $mod by zero")
	case errors.Is(err, errDivideByZero):
		return mongoerr.New(4848401, "can't $divide by zero")
	}
	return err
}

func (g *groupSpec) result(b *bucket) (bson.Raw, error) {
	var out rawdoc.Builder
	out.Add("_id", b.id)
	for i, f := range g.fields {
		v := b.accs[i].result()
		if acc, mayFail := b.accs[i].(failing); mayFail && acc.err() != nil {
			return nil, acc.err()
		}
		if v.Type != 0 {
			out.Add(f.name, v)
		}
	}
	return out.Bytes(), nil
}

// run groups by equal _id values, which for numbers does not mean equal types.
// Groups come in the order of their first documents.
func (g *groupSpec) run(docs []bson.Raw, vars Vars) ([]bson.Raw, error) {
	var order []*bucket
	byKey := map[string]*bucket{}
	for _, doc := range docs {
		c := evalCtx{root: doc, vars: vars}
		id, err := g.id(c)
		if err != nil {
			return nil, groupError(err)
		}
		if nullish(id) {
			id = value.Null()
		}
		key := vars.groupKey(id)
		b := byKey[key]
		if b == nil {
			if b, err = g.newBucket(id, vars); err != nil {
				return nil, err
			}
			byKey[key] = b
			order = append(order, b)
		}
		if err := g.feed(b, c); err != nil {
			return nil, groupError(err)
		}
	}
	out := make([]bson.Raw, len(order))
	for i, b := range order {
		var err error
		if out[i], err = g.result(b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func compileSortByCount(spec bson.RawValue, env Env) (stage, error) {
	id, err := compile(spec)
	if err != nil {
		return nil, err
	}
	f, err := compileAccField("count", value.Doc(value.D("$sum", int32(1))))
	if err != nil {
		return nil, err
	}
	group := &groupSpec{id: id, fields: []accField{f}}
	sorted, err := compileSort(value.Doc(value.D("count", int32(-1))), env)
	if err != nil {
		return nil, err
	}
	return func(in Source) Source {
		return sorted(gathered(func(_ context.Context, docs []bson.Raw) ([]bson.Raw, error) { return group.run(docs, env.Vars) })(in))
	}, nil
}
