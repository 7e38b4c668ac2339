package storage

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A wildcard index is on every field there is, or below one. Here it has an
// entry for each document, by the other fields of its key pattern: the planner
// takes it only where it is told to, and looks at the documents.
const (
	kindWildcard       = "wildcard"
	wildcardField      = "$**"
	wildcardProjection = "wildcardProjection"
)

const (
	codeTwoWildcards   mongoerr.Code = 7246201
	codeWildcardPlugin mongoerr.Code = 7246202
	codeComputedField  mongoerr.Code = 51271
)

// isWildcardName reports whether a field of a key pattern stands for all fields,
// or all below another.
func isWildcardName(name string) bool {
	return name == wildcardField || strings.HasSuffix(name, "."+wildcardField)
}

// wildcard returns the field of ix that stands for many, "" without one.
func (ix *Index) wildcard() string {
	for _, f := range ix.fields {
		if f.special == kindWildcard {
			return f.name
		}
	}
	return ""
}

// checkWildcard refuses what wildcard indexes cannot have, and their projection
// on others.
func (ix *Index) checkWildcard() error {
	n := 0
	for _, f := range ix.fields {
		if f.special == kindWildcard {
			n++
		}
	}
	v, projects := value.Get(ix.Spec, wildcardProjection)
	switch {
	case n > 1:
		return mongoerr.New(codeTwoWildcards, "wildcard indexes cannot have more than one wildcard field: %s", render(ix.Key))
	case n == 1 && (ix.Hashed() >= 0 || ix.expireAfter != nil || ix.Unique || ix.prepareUnique):
		return mongoerr.New(mongoerr.CannotCreateIndex, "Index type 'wildcard' does not support the options of %s", render(ix.Spec))
	case !projects:
		return nil
	case n == 0:
		return mongoerr.New(mongoerr.BadValue, "The field 'wildcardProjection' is only allowed in a wildcard index: %s", render(ix.Spec))
	case ix.wildcard() != wildcardField:
		return mongoerr.New(mongoerr.FailedToParse, "The field 'wildcardProjection' is only allowed when 'key' is {\"$**\": ±1}: %s", render(ix.Spec))
	}
	return checkWildcardProjection(v.Document())
}

func checkWildcardProjection(d bson.Raw) error {
	if len(d) <= len(emptyDoc()) {
		return mongoerr.New(mongoerr.FailedToParse, "The 'wildcardProjection' field can't be an empty object")
	}
	err := eachElement(d, func(name string, v bson.RawValue) error {
		if _, number := value.AsFloat64(v); number || v.Type == bson.TypeBoolean || v.Type == bson.TypeEmbeddedDocument {
			return nil
		}
		return mongoerr.New(codeComputedField, "Bad projection specification, cannot use computed fields when parsing a spec in banned mode: %s", name)
	})
	if err != nil {
		return err
	}
	_, err = query.CompileProjection(d, query.Options{})
	return err
}

// sameProjection reports whether two wildcard indexes are on the same fields.
func sameProjection(a, b *Index) bool {
	x, _ := value.Get(a.Spec, wildcardProjection)
	y, _ := value.Get(b.Spec, wildcardProjection)
	return sameBytes(x.Value, y.Value)
}
