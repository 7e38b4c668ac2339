package query

import (
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The server's codes for projections it cannot read.
const (
	codePathCollisionRest    mongoerr.Code = 31249
	codePathCollision        mongoerr.Code = 31250
	codeComputedInExclusion  mongoerr.Code = 31252
	codeInclusionInExclusion mongoerr.Code = 31253
	codeExclusionInInclusion mongoerr.Code = 31254
	codeNestedElemMatch      mongoerr.Code = 31275
	codeTwoPositional        mongoerr.Code = 31276
	codePositionalMiddle     mongoerr.Code = 31394
	codePositionalExclusion  mongoerr.Code = 31395
	codePositionalThenElem   mongoerr.Code = 31255
	codeElemThenPositional   mongoerr.Code = 31256
	codePositionalObject     mongoerr.Code = 31271
	codePositionalLiteral    mongoerr.Code = 31308
	codeElemMatchArgument    mongoerr.Code = 31274
	codeSliceArity           mongoerr.Code = 28667
	codeEmptySubProjection   mongoerr.Code = 51270
	codeSliceArgument        mongoerr.Code = 28724
)

// CompileProjection compiles the projection of find or findAndModify. A nil or
// empty one leaves documents as they are. Expressions need Options.Value, "a.$"
// needs Options.Matcher or the position given to Apply. Of
// $meta there is the text score only.
func CompileProjection(spec bson.Raw, o Options) (*Projection, error) {
	b := &projectionBuilder{
		out:  &Projection{o: o, tree: newTree()},
		all:  newTree(),
		mode: undecided,
		id:   undecided,
	}
	for name, v := range value.Elements(spec) {
		if err := b.field(name, v, 1); err != nil {
			return nil, err
		}
	}
	b.finish(value.IsEmpty(spec))
	return b.out, nil
}

type projectionMode int

const (
	undecided projectionMode = iota
	including
	excluding
)

type projectionBuilder struct {
	out      *Projection
	all      *fieldTree // every path named, to find collisions
	mode     projectionMode
	id       projectionMode // what is said of _id, which decides nothing else
	included []path         // of slices, that stay if the projection includes
}

func newTree() *fieldTree { return &fieldTree{fields: map[string]*fieldTree{}} }

// add puts a path into the tree; a path must not lead through the end of
// another one.
func (t *fieldTree) add(full string, p path) error {
	for i, c := range p {
		sub, ok := t.fields[c.name]
		last := i == len(p)-1
		switch {
		case ok && last:
			return mongoerr.New(codePathCollision, "Path collision at %s", full)
		case ok && sub == nil:
			rest := strings.Join(strings.Split(full, ".")[i+1:], ".")
			return mongoerr.New(codePathCollisionRest, "Path collision at %s remaining portion %s", full, rest)
		case last:
			t.fields[c.name] = nil
		case !ok:
			sub = newTree()
			t.fields[c.name] = sub
		}
		t = sub
	}
	return nil
}

func (b *projectionBuilder) field(name string, v bson.RawValue, depth int) error {
	if depth > maxFilterDepth {
		return badValue("projection exceeds maximum depth of %d", maxFilterDepth)
	}
	if at, ok := strings.CutSuffix(name, ".$"); ok {
		return b.positional(name, at, v)
	}
	if strings.Contains(name, ".$.") {
		return mongoerr.New(codePositionalMiddle, "As of 4.4, it's illegal to specify positional operator in the middle of a path. "+
			"Positional projection may only be used at the end, for example: a.b.$. If the query previously used a form like a.b.$.d, "+
			"remove the parts following the '$' and the results will be equivalent.")
	}
	if err := checkFieldPath(name); err != nil {
		return err
	}
	if v.Type == bson.TypeEmbeddedDocument && !isExpression(v) {
		if value.IsEmpty(bson.Raw(v.Value)) {
			return mongoerr.New(codeEmptySubProjection,
				"An empty sub-projection is not a valid value. Found empty object at path")
		}
		for sub, subValue := range value.Elements(bson.Raw(v.Value)) {
			if err := b.field(name+"."+sub, subValue, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	p := parsePath(name)
	if err := b.besidePositional(p, v); err != nil {
		return err
	}
	if err := b.all.add(name, p); err != nil {
		return err
	}
	switch {
	case value.IsNumber(v.Type) || v.Type == bson.TypeBoolean:
		return b.plain(name, p, value.Truthy(v))
	case v.Type == bson.TypeEmbeddedDocument:
		return b.operator(name, p, v)
	default:
		return b.compute(name, p, v)
	}
}

// isExpression reports whether a document is one operator, not a projection of
// the fields below.
func isExpression(v bson.RawValue) bool {
	name, _, _ := rawdoc.First(v.Value)
	return strings.HasPrefix(name, "$") && rawdoc.Len(v.Value) == 1
}

func (b *projectionBuilder) plain(name string, p path, include bool) error {
	mode := excluding
	if include {
		mode = including
	}
	if name == "_id" {
		b.id = mode
		return nil
	}
	if err := b.decide(name, mode); err != nil {
		return err
	}
	return b.out.tree.add(name, p)
}

// decide sets whether the projection includes or excludes; it cannot do both.
func (b *projectionBuilder) decide(name string, mode projectionMode) error {
	switch {
	case b.mode == undecided || b.mode == mode:
		b.mode = mode
		return nil
	case mode == including:
		return mongoerr.New(codeInclusionInExclusion, "Cannot do inclusion on field %s in exclusion projection", name)
	default:
		return mongoerr.New(codeExclusionInInclusion, "Cannot do exclusion on field %s in inclusion projection", name)
	}
}

func (b *projectionBuilder) operator(name string, p path, v bson.RawValue) error {
	op := firstName(bson.Raw(v.Value))
	arg, _ := value.Get(bson.Raw(v.Value), op)
	switch op {
	case "$slice":
		if s, ok, err := parseSlice(p, arg); ok || err != nil {
			b.out.slices = append(b.out.slices, s)
			b.included = append(b.included, p)
			return err
		}
	case "$elemMatch":
		return b.elemMatch(name, arg)
	case "$meta":
		b.out.scores = append(b.out.scores, p)
		return b.out.o.Matcher.checkTextScore(arg)
	}
	return b.compute(name, p, v)
}

// parseSlice reads the $slice of projections. With other arguments, ok is false:
// it is the expression of the same name.
func parseSlice(p path, arg bson.RawValue) (s slicedField, ok bool, err error) {
	if value.IsNumber(arg.Type) {
		n := clampInt(arg)
		if n < 0 {
			return slicedField{path: p, skip: n, limit: -n}, true, nil
		}
		return slicedField{path: p, limit: n}, true, nil
	}
	var args []bson.RawValue
	if arg.Type == bson.TypeArray {
		for _, e := range value.Elements(bson.Raw(arg.Value)) {
			args = append(args, e)
		}
	}
	if len(args) != 2 || !value.IsNumber(args[0].Type) || !value.IsNumber(args[1].Type) {
		return s, false, nil
	}
	limit := clampInt(args[1])
	if limit <= 0 {
		return s, true, mongoerr.New(codeSliceArgument, "$slice limit must be positive, got %d", limit)
	}
	return slicedField{path: p, skip: clampInt(args[0]), limit: limit}, true, nil
}

func clampInt(v bson.RawValue) int {
	i, _ := value.AsInt64(v)
	return int(max(-math.MaxInt32, min(math.MaxInt32, i)))
}

func (b *projectionBuilder) elemMatch(name string, arg bson.RawValue) error {
	if strings.Contains(name, ".") {
		return mongoerr.New(codeNestedElemMatch, "Cannot use $elemMatch projection on a nested field.")
	}
	if arg.Type != bson.TypeEmbeddedDocument {
		return mongoerr.New(codeElemMatchArgument, "elemMatch: Invalid argument, object required, but got %s", rawdoc.TypeName(arg.Type))
	}
	c, err := (&parser{o: b.out.o, noSchema: true}).elemMatch(name, arg)
	if err != nil {
		return err
	}
	leaf, _ := c.(leafCond)
	pred, _ := leaf.pred.(positioned)
	b.out.elems = append(b.out.elems, elemField{name: name, pred: pred})
	return nil
}

func (b *projectionBuilder) compute(name string, p path, expr bson.RawValue) error {
	if b.out.o.Value == nil {
		return badValue("expressions are not supported in this projection: field %s", name)
	}
	if b.mode == excluding {
		return mongoerr.New(codeComputedInExclusion, "Cannot use an expression in an exclusion projection: field %s", name)
	}
	b.mode = including
	b.out.computed = append(b.out.computed, computedField{path: p, expr: expr})
	t := b.out.tree
	for _, c := range p[:len(p)-1] {
		if t.fields[c.name] == nil {
			t.fields[c.name] = newTree()
		}
		t = t.fields[c.name]
		t.computed = true
	}
	return nil
}

// finish settles what the fields alone leave open.
func (b *projectionBuilder) finish(empty bool) {
	p := b.out
	if b.mode == undecided {
		b.mode = excluding
		if b.id == including || len(p.elems) > 0 {
			b.mode = including
		}
	}
	p.empty, p.keep = empty, b.mode == including
	if p.keep {
		for _, at := range b.included {
			// The path is in no collision: that was found when it was named.
			_ = p.tree.add("", at)
		}
	}
	// Unless told otherwise _id stays, but one that is computed is made anew,
	// and a part of _id named in the tree speaks for itself.
	if _, named := p.tree.fields["_id"]; named || p.computesID() {
		return
	}
	if (b.id != excluding) == p.keep {
		p.tree.fields["_id"] = nil
	}
}

func (p *Projection) computesID() bool {
	for _, c := range p.computed {
		if c.path[0].name == "_id" {
			return true
		}
	}
	return false
}
