package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func (p *parser) not(field string, arg bson.RawValue) (cond, error) {
	if arg.Type == bson.TypeRegex {
		return negated(p.fieldCond(field, arg))
	}
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, badValue("$not needs a regex or a document")
	}
	if value.IsEmpty(bson.Raw(arg.Value)) {
		return nil, badValue("$not cannot be empty")
	}
	return negated(p.operators(field, bson.Raw(arg.Value)))
}

// all parses $all: each of its values, or each of its $elemMatch, must be found.
func (p *parser) all(field string, arg bson.RawValue) (cond, error) {
	if arg.Type != bson.TypeArray {
		return nil, badValue("$all needs an array")
	}
	var conds allCond
	elems := false
	for _, e := range value.Elements(bson.Raw(arg.Value)) {
		elem := isOperators(e) && firstName(bson.Raw(e.Value)) == "$elemMatch"
		if len(conds) == 0 {
			elems = elem
		}
		if elem != elems || (!elem && isOperators(e)) {
			return nil, badValue("no $ expressions in $all")
		}
		c, err := p.fieldCond(field, e)
		if err != nil {
			return nil, err
		}
		conds = append(conds, c)
	}
	if len(conds) == 0 { // matches nothing
		return leafCond{pred: inList{}}, nil
	}
	return conds, nil
}

func (p *parser) elemMatch(field string, arg bson.RawValue) (cond, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, badValue("$elemMatch needs an Object")
	}
	p.elems++
	defer func() { p.elems-- }()
	doc := bson.Raw(arg.Value)
	if isOperators(arg) {
		switch firstName(doc) {
		case "$and", "$or", "$nor", "$expr", "$where", "$jsonSchema":
		default:
			c, err := p.operators(field, doc)
			return leafCond{pred: elemMatchValue{c}, whole: true}, err
		}
	}
	n, err := p.filter(doc)
	return leafCond{pred: elemMatchDoc{n}, whole: true}, err
}
