package schema

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// idIndexFields are the fields of the idIndex option of create. It is read as
// index specifications are, with codes of its own.
var idIndexFields = fields{"key": object.notNull(), "name": text.notNull(), "v": number.notNull(), "ns": text, "collation": object}

func isIDIndex(path string, v bson.RawValue) error {
	d := v.Document()
	for name, e := range value.Elements(d) {
		f, known := idIndexFields[name]
		if !known {
			return mongoerr.New(mongoerr.InvalidIndexSpecificationOption, "The field '%s' is not valid for an _id index specification. Specification: %s", name, d)
		}
		if err := f.check(path+"."+name, e); err != nil {
			return err
		}
	}
	for _, name := range []string{"key", "name"} {
		if !has(d, name) {
			return mongoerr.New(mongoerr.FailedToParse, "The '%s' field is a required property of an index specification", name)
		}
	}
	return isIDIndexOf(d)
}

// isIDIndexOf checks the values of a complete specification.
func isIDIndexOf(d bson.Raw) error {
	key := d.Lookup("key").Document()
	direction, _ := value.AsFloat64(key.Lookup("_id"))
	version, _ := value.AsFloat64(d.Lookup("v"))
	second, _ := key.IndexErr(1)
	switch {
	case direction != 1 || second != nil:
		return mongoerr.New(mongoerr.BadValue, "The field 'key' for an _id index must be {_id: 1}, but got %s", key)
	case d.Lookup("name").StringValue() == "":
		return mongoerr.New(mongoerr.CannotCreateIndex, "index name cannot be empty")
	case version != math.Trunc(version):
		return mongoerr.New(mongoerr.BadValue, "Index version must be representable as a 32-bit integer, but got %v", version)
	case has(d, "v") && version != 1 && version != 2:
		return mongoerr.New(mongoerr.CannotCreateIndex, "Invalid index specification %s; cannot create an index with v=%v", d, version)
	}
	return nil
}
