package query

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// EqualityFields returns the fields that a filter fixes by equality, at its top
// level, in $and, or as the only choice of $or, $in or $all: what an upsert
// starts from. Dotted names stay dotted. A path that is fixed twice, or together
// with a path inside of it, is NotSingleValueField.
func EqualityFields(filter bson.Raw) (bson.Raw, error) {
	// The values of $expr do not matter here, so no hook is needed.
	m, err := Compile(filter, Options{Expr: func(bson.RawValue, bson.Raw) (bool, error) { return true, nil }})
	if err != nil {
		return nil, err
	}
	var e equalities
	if err := e.collect(m.root); err != nil {
		return nil, err
	}
	i, dst := bsoncore.AppendDocumentStart(nil)
	for _, f := range e {
		dst = value.Append(dst, f.path, f.v)
	}
	return bsoncore.AppendDocumentEnd(dst, i)
}

type equality struct {
	path string
	v    bson.RawValue
}

type equalities []equality

func (e *equalities) collect(n node) error {
	switch n := n.(type) {
	case andNode:
		for _, sub := range n {
			if err := e.collect(sub); err != nil {
				return err
			}
		}
	case orNode:
		if len(n) == 1 {
			return e.collect(n[0])
		}
	case fieldNode:
		return e.cond(n.name, n.cond)
	}
	return nil
}

func (e *equalities) cond(path string, c cond) error {
	switch c := c.(type) {
	case allCond:
		for _, sub := range c {
			if err := e.cond(path, sub); err != nil {
				return err
			}
		}
	case leafCond:
		switch pred := c.pred.(type) {
		case comparison:
			if pred.op == opEq {
				return e.add(path, pred.arg)
			}
		case inList:
			if len(pred.vals) == 1 && len(pred.regexes) == 0 {
				return e.add(path, pred.vals[0])
			}
		}
	}
	return nil
}

func (e *equalities) add(path string, v bson.RawValue) error {
	for _, f := range *e {
		switch {
		case f.path == path:
			return mongoerr.New(mongoerr.NotSingleValueField,
				"cannot infer query fields to set, path '%s' is matched twice", path)
		case strings.HasPrefix(f.path, path+".") || strings.HasPrefix(path, f.path+"."):
			return mongoerr.New(mongoerr.NotSingleValueField,
				"cannot infer query fields to set, both paths '%s' and '%s' are matched", path, f.path)
		}
	}
	*e = append(*e, equality{path: path, v: v})
	return nil
}
