package aggregate

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// fieldTypes are the members that an argument object may have, and the types
// each may be of; none means any.
type fieldTypes map[string][]bson.Type

var numbers = []bson.Type{bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128}

// typedArgs reads an object whose members have types. A null is as good as no
// member, unless the member may be anything.
func typedArgs(name string, spec bson.Raw, types fieldTypes, required ...string) (map[string]bson.RawValue, error) {
	raw := map[string]bson.RawValue{}
	for k, v := range value.Elements(spec) {
		want, known := types[k]
		_, twice := raw[k]
		switch {
		case !known:
			return nil, mongoerr.New(mongoerr.IDLUnknownField, "BSON field '%s.%s' is an unknown field.", name, k)
		case twice:
			return nil, mongoerr.New(40413, "BSON field '%s.%s' is a duplicate field", name, k)
		case len(want) > 0 && v.Type == bson.TypeNull:
			continue
		case len(want) > 0 && !slices.Contains(want, v.Type):
			return nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field '%s.%s' is the wrong type '%s', expected type '%s'", name, k, typeName(v), rawdoc.TypeName(want[0]))
		}
		raw[k] = v
	}
	for _, k := range required {
		if _, ok := raw[k]; !ok {
			return nil, mongoerr.New(mongoerr.IDLFailedToParse, "BSON field '%s.%s' is missing but a required field", name, k)
		}
	}
	return raw, nil
}
