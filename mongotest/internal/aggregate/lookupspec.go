package aggregate

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// lookupArgs reads the members of a $lookup; null is as good as none.
func lookupArgs(spec bson.RawValue) (map[string]bson.RawValue, error) {
	if spec.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(mongoerr.FailedToParse, "the $lookup stage specification must be an object, but found %s", typeName(spec))
	}
	str, doc := []bson.Type{bson.TypeString}, []bson.Type{bson.TypeEmbeddedDocument}
	return typedArgs("$lookup", spec.Value, fieldTypes{
		"from": nil, "as": str, "localField": str, "foreignField": str, "let": doc, "pipeline": {bson.TypeArray}, "_internalCollation": doc,
	}, "as")
}

// names reads the collection and the field names.
func (l *lookup) names(raw map[string]bson.RawValue) error {
	if from, given := raw["from"]; given {
		var ok bool
		if l.from, ok = from.StringValueOK(); !ok {
			return lookupFrom(from)
		}
		if l.from == "" || l.from[0] == '.' || strings.ContainsRune(l.from, 0) {
			return mongoerr.New(mongoerr.InvalidNamespace, "Invalid namespace specified: '%s.%s'", l.env.DB, l.from)
		}
	}
	for k, dst := range map[string]*string{"as": &l.as, "localField": &l.local, "foreignField": &l.remote} {
		v, given := raw[k]
		if !given {
			continue
		}
		*dst = v.StringValue()
		if err := checkPath(strings.Split(*dst, ".")); err != nil {
			return err
		}
	}
	return nil
}

// lookupFrom says what is wrong with a 'from' that is no name. Only the
// server's own collections may be in other databases.
func lookupFrom(v bson.RawValue) error {
	if v.Type == bson.TypeEmbeddedDocument {
		for k, x := range value.Elements(v.Value) {
			switch {
			case k != "db" && k != "coll":
				return mongoerr.New(mongoerr.IDLUnknownField, "BSON field 'from.%s' is an unknown field.", k)
			case x.Type != bson.TypeString:
				return mongoerr.New(mongoerr.TypeMismatch, "BSON field 'from.%s' is the wrong type '%s', expected type 'string'", k, typeName(x))
			}
		}
	}
	return mongoerr.New(mongoerr.FailedToParse, "$lookup 'from' field must be a string, but found %s", typeName(v))
}

// checkDocuments makes sure that the documents come from a collection or from
// a $documents, not both.
func (l *lookup) checkDocuments() error {
	first := ""
	if len(l.stages) > 0 {
		first, _, _ = rawdoc.First(l.stages[0])
	}
	switch made := first == "$documents"; {
	case l.from == "" && !made:
		return mongoerr.New(mongoerr.FailedToParse, "must specify 'from' field for a $lookup, unless the first stage of its pipeline is $documents")
	case l.from != "" && made:
		return mongoerr.New(mongoerr.InvalidNamespace, "$documents must not be used in a $lookup with a 'from' field")
	}
	return nil
}
