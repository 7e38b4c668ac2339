package query

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// maxFilterDepth is how deep a filter may nest (the server's
// maximumNestingDepth of a match tree).
const maxFilterDepth = 100

// parser turns a filter into nodes.
type parser struct {
	o     Options
	depth int
	elems int // how many $elemMatch are around
	// branches is how many $or and $nor are around.
	branches int
	near     *Near
	noSchema bool // $jsonSchema is not allowed
	search   *textSearch
	// negations is how many $nor are around.
	negations int
}

func badValue(format string, args ...any) error {
	return mongoerr.New(mongoerr.BadValue, format, args...)
}

// filter parses a whole filter, or a member of $and, $or, $nor or $elemMatch.
func (p *parser) filter(doc bson.Raw) (andNode, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxFilterDepth {
		return nil, badValue("exceeded maximum query tree depth of %d", maxFilterDepth)
	}
	var nodes []node
	for name, v := range value.Elements(doc) {
		n, err := p.entry(name, v)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return arrange(nodes), nil
}

func (p *parser) entry(name string, v bson.RawValue) (node, error) {
	if strings.HasPrefix(name, "$") {
		return p.topLevel(name, v)
	}
	if isNear(v) {
		return p.nearness(name, v)
	}
	c, err := p.fieldCond(name, v)
	if err != nil {
		return nil, err
	}
	return fieldNode{name: name, path: parsePath(name), cond: c}, nil
}

func (p *parser) topLevel(name string, v bson.RawValue) (node, error) {
	switch name {
	case "$and":
		subs, err := p.filters(name, v)
		return arrange(subs), err
	case "$or":
		had := p.search != nil
		subs, err := p.filters(name, v)
		if !had && p.search != nil && len(subs) > 1 && err == nil {
			err = mongoerr.New(mongoerr.NoQueryExecutionPlans, "error processing query: planner returned error :: caused by :: "+
				"Failed to produce a solution for TEXT under OR - other non-TEXT clauses under OR have to be indexed as well.")
		}
		return disjunction(subs), err
	case "$nor":
		subs, err := p.filters(name, v)
		return norNode(subs), err
	case "$comment":
		return constNode(true), nil
	case "$alwaysTrue", "$alwaysFalse":
		if i, ok := value.AsInt64(v); !ok || i != 1 {
			return nil, mongoerr.New(mongoerr.FailedToParse, "%s must be an integer value of 1", name)
		}
		return constNode(name == "$alwaysTrue"), nil
	case "$expr":
		if p.o.Expr == nil {
			return nil, mongoerr.New(mongoerr.QueryFeatureNotAllowed, "$expr is not allowed in this context")
		}
		if p.elems > 0 {
			return nil, badValue("$expr can only be applied to the top-level document")
		}
		return p.expression(v), nil
	case "$jsonSchema":
		if p.noSchema {
			return nil, mongoerr.New(mongoerr.QueryFeatureNotAllowed, "$jsonSchema is not allowed in this context")
		}
		return parseSchemaNode(v)
	case "$sampleRate":
		f, ok := value.AsFloat64(v)
		if !ok || f < 0 || f > 1 {
			return nil, badValue("numeric argument to $sampleRate must be in [0, 1]")
		}
		return sampleNode(f), nil
	case "$where":
		return p.where(v)
	case "$text":
		return p.text(v)
	}
	return nil, badValue("unknown top level operator: %s. If you have a field name that starts with a '$' symbol, "+
		"consider using $getField or $setField.", name)
}

// filters parses the array of $and, $or or $nor.
func (p *parser) filters(name string, v bson.RawValue) ([]node, error) {
	if v.Type != bson.TypeArray {
		return nil, badValue("%s must be an array", name)
	}
	if name != "$and" {
		p.branches++
		defer func() { p.branches-- }()
	}
	if name == "$nor" {
		p.negations++
		defer func() { p.negations-- }()
	}
	var subs []node
	for _, e := range value.Elements(bson.Raw(v.Value)) {
		if e.Type != bson.TypeEmbeddedDocument {
			return nil, badValue("$or/$and/$nor entries need to be full objects")
		}
		sub, err := p.filter(bson.Raw(e.Value))
		if err != nil {
			return nil, err
		}
		subs = append(subs, sub)
	}
	if len(subs) == 0 {
		return nil, badValue("$and/$or/$nor must be a nonempty array")
	}
	return subs, nil
}

// fieldCond parses what stands behind a field's name: operators, a regular
// expression, or a value to equal.
func (p *parser) fieldCond(name string, v bson.RawValue) (cond, error) {
	switch {
	case isOperators(v):
		return p.operators(name, bson.Raw(v.Value))
	case v.Type == bson.TypeRegex:
		pattern, options, _ := v.RegexOK()
		re, err := newRegex(pattern, options)
		return leafCond{pred: re}, err
	default:
		return p.compare(opEq, v)
	}
}

// isOperators reports whether v is a document of operators. A reference such as
// {$ref, $id} is a value.
func isOperators(v bson.RawValue) bool {
	if v.Type != bson.TypeEmbeddedDocument {
		return false
	}
	first := firstName(bson.Raw(v.Value))
	return strings.HasPrefix(first, "$") && first != "$ref" && first != "$id" && first != "$db"
}

func firstName(doc bson.Raw) string {
	for name := range value.Elements(doc) {
		return name
	}
	return ""
}

func (p *parser) operators(field string, doc bson.Raw) (cond, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxFilterDepth {
		return nil, badValue("exceeded maximum query tree depth of %d", maxFilterDepth)
	}
	var conds allCond
	for op, arg := range value.Elements(doc) {
		c, err := p.operator(field, op, arg, doc)
		if err != nil {
			return nil, err
		}
		if c != nil {
			conds = append(conds, c)
		}
	}
	if len(conds) == 1 {
		return conds[0], nil
	}
	return conds, nil
}

// operator parses one operator; doc is the document it stands in, since $regex
// and $options belong together. A nil cond asks nothing.
func (p *parser) operator(field, op string, arg bson.RawValue, doc bson.Raw) (cond, error) {
	switch op {
	case "$eq":
		return p.compare(opEq, arg)
	case "$ne":
		if arg.Type == bson.TypeRegex {
			return nil, badValue("Can't have regex as arg to $ne.")
		}
		return negated(p.compare(opEq, arg))
	case "$lt":
		return p.ordered(field, opLt, arg)
	case "$lte":
		return p.ordered(field, opLte, arg)
	case "$gt":
		return p.ordered(field, opGt, arg)
	case "$gte":
		return p.ordered(field, opGte, arg)
	case "$in":
		return p.in(op, arg)
	case "$nin":
		return negated(p.in(op, arg))
	case "$not":
		return p.not(field, arg)
	case "$all":
		return p.all(field, arg)
	case "$elemMatch":
		return p.elemMatch(field, arg)
	case "$exists":
		if value.Truthy(arg) {
			return leafCond{pred: exists{}, whole: true}, nil
		}
		return notCond{leafCond{pred: exists{}, whole: true}}, nil
	default:
		return valueOperator(op, arg, doc)
	}
}

// valueOperator parses the operators that look at one value only.
func valueOperator(op string, arg bson.RawValue, doc bson.Raw) (cond, error) {
	switch op {
	case "$type":
		return parseType(arg)
	case "$size":
		return parseSize(arg)
	case "$mod":
		return parseMod(arg)
	case "$regex":
		return parseRegex(arg, doc)
	case "$options":
		if _, ok := value.Get(doc, "$regex"); !ok {
			return nil, badValue("$options needs a $regex")
		}
		return nil, nil
	case "$bitsAllSet", "$bitsAllClear", "$bitsAnySet", "$bitsAnyClear":
		pred, err := parseBits(op, arg)
		return leafCond{pred: pred}, err
	case "$geoWithin", "$within", "$geoIntersects":
		return parseRegion(op, arg, doc)
	case "$near", "$nearSphere", "$geoNear":
		return nil, badValue("near must be first in: %s", rawdoc.RenderDoc(doc))
	case "$comment":
		return nil, nil
	case "$where":
		return nil, badValue("$where cannot be applied to a field")
	default:
		return nil, badValue("unknown operator: %s", op)
	}
}

func (p *parser) compare(op operator, arg bson.RawValue) (cond, error) {
	if arg.Type == bson.TypeUndefined {
		return nil, badValue("cannot compare to undefined")
	}
	return leafCond{pred: newComparison(op, arg, p.o.Collation)}, nil
}

func (p *parser) ordered(field string, op operator, arg bson.RawValue) (cond, error) {
	if arg.Type == bson.TypeRegex {
		return nil, badValue("Can't have RegEx as arg to predicate over field '%s'.", field)
	}
	return p.compare(op, arg)
}

func negated(c cond, err error) (cond, error) {
	if err != nil {
		return nil, err
	}
	return notCond{c}, nil
}
