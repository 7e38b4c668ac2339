package schema

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A field is what may stand under one name.
type field struct {
	types  []bson.Type // none: anything
	must   bool        // a command without it is refused
	noNull bool        // null is a value like others, else it counts as missing
	// of are the fields of the document it holds, or of the documents in the
	// array it holds; nil allows any.
	of fields
	// element is what the elements of the array it holds must be.
	element *field
	rule    func(path string, v bson.RawValue) error // nil, or looks at a value of a right type
}

// fields are the fields of a document by name. Other names are refused.
type fields map[string]field

// The kinds of fields, named as the server's types are.
var (
	anything = field{}
	object   = of(bson.TypeEmbeddedDocument)
	array    = of(bson.TypeArray)
	text     = of(bson.TypeString)
	boolean  = of(bson.TypeBoolean)
	long     = of(bson.TypeInt64)
	stamp    = of(bson.TypeTimestamp)
	binary   = of(bson.TypeBinary)
	uuid     = of(bson.TypeBinary).with(isUUID)
	// flag and number also take what can be converted.
	flag    = of(bson.TypeBoolean, bson.TypeInt64, bson.TypeInt32, bson.TypeDecimal128, bson.TypeDouble)
	number  = of(bson.TypeInt64, bson.TypeInt32, bson.TypeDecimal128, bson.TypeDouble)
	count   = number.atLeast(0)
	objects = arrayOf(object)
	// collection is the first field of commands on one.
	collection = anything.notNull().with(isCollection)
	// hint names an index or gives its key.
	hint = anything.with(isHint)
)

func of(types ...bson.Type) field { return field{types: types} }

// arrayOf is an array of elements that are all like e; nulls among them are
// passed over.
func arrayOf(e field) field {
	f := array
	f.element = &e
	return f
}

// structure is a document with no other fields than these.
func structure(inner fields) field {
	f := object
	f.of = inner
	return f
}

// required makes missing an error.
func (f field) required() field {
	f.must = true
	return f
}

// notNull makes null a value that has to be of the right type.
func (f field) notNull() field {
	f.noNull = true
	return f
}

// omitted reports whether a field with this value counts as missing.
func (f field) omitted(v bson.RawValue) bool { return !f.noNull && isNothing(v) }

// with adds a rule.
func (f field) with(rule func(path string, v bson.RawValue) error) field {
	f.rule = rule
	return f
}

// atLeast is a lower bound of a number.
func (f field) atLeast(least int64) field {
	return f.with(func(path string, v bson.RawValue) error {
		if i := integer(v); i < least {
			return mongoerr.New(mongoerr.BadValue, "BSON field '%s' value must be >= %d, actual value '%d'", path, least, i)
		}
		return nil
	})
}

// upTo makes a number one from 1 up to most.
func (f field) upTo(most int64) field {
	least := f.atLeast(1).rule
	return f.with(func(path string, v bson.RawValue) error {
		if err := least(path, v); err != nil {
			return err
		}
		if i := integer(v); i > most {
			return mongoerr.New(mongoerr.BadValue, "BSON field '%s' value must be <= %d, actual value '%d'", path, most, i)
		}
		return nil
	})
}

// oneOf is an enumeration of strings.
func oneOf(names ...string) field {
	return text.with(func(path string, v bson.RawValue) error {
		if s := v.StringValue(); !slices.Contains(names, s) {
			return mongoerr.New(mongoerr.BadValue, "Enumeration value '%s' for field '%s' is not a valid value.", s, path)
		}
		return nil
	})
}

func isUUID(path string, v bson.RawValue) error {
	if subtype, _ := v.Binary(); subtype != bson.TypeBinaryUUID {
		return mongoerr.New(mongoerr.TypeMismatch, "BSON field '%s' is the wrong binData type '%d', expected type 'UUID'", path, subtype)
	}
	if _, ok := value.ParseUUID(v); !ok {
		return mongoerr.New(mongoerr.InvalidUUID, "uuid must be a 16-byte binary field with UUID (4) subtype")
	}
	return nil
}

func isHint(_ string, v bson.RawValue) error {
	if v.Type != bson.TypeString && v.Type != bson.TypeEmbeddedDocument {
		return mongoerr.New(mongoerr.FailedToParse, "Hint must be a string or an object")
	}
	return nil
}

func isCollection(_ string, v bson.RawValue) error {
	if v.Type != bson.TypeString {
		return mongoerr.New(mongoerr.InvalidNamespace, "collection name has invalid type %s", value.TypeName(v.Type))
	}
	return nil
}

// accepts refuses a value of the wrong type.
func (f field) accepts(path string, v bson.RawValue) error {
	if len(f.types) == 0 || slices.Contains(f.types, v.Type) {
		return nil
	}
	expected := "type '" + value.TypeName(f.types[0]) + "'"
	if len(f.types) > 1 {
		names := make([]string, len(f.types))
		for i, t := range f.types {
			names[i] = value.TypeName(t)
		}
		expected = "types '[" + strings.Join(names, ", ") + "]'"
	}
	return mongoerr.New(mongoerr.TypeMismatch, "BSON field '%s' is the wrong type '%s', expected %s", path, value.TypeName(v.Type), expected)
}

// check holds a value against f.
func (f field) check(path string, v bson.RawValue) error {
	if err := f.accepts(path, v); err != nil {
		return err
	}
	if f.rule != nil {
		if err := f.rule(path, v); err != nil {
			return err
		}
	}
	switch {
	case f.of != nil && v.Type == bson.TypeEmbeddedDocument:
		return f.of.check(path, v.Document())
	case f.element != nil && v.Type == bson.TypeArray:
		for name, e := range value.Elements(bson.Raw(v.Array())) {
			if isNothing(e) {
				continue
			}
			if err := f.element.check(path+"."+name, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// check holds the fields of a document against fs, in their order; then looks
// for what is missing.
func (fs fields) check(path string, doc bson.Raw) error {
	for name, v := range value.Elements(doc) {
		f, known := fs[name]
		if !known {
			return mongoerr.New(mongoerr.IDLUnknownField, "BSON field '%s.%s' is an unknown field.", path, name)
		}
		if f.omitted(v) {
			continue
		}
		if err := f.check(path+"."+name, v); err != nil {
			return err
		}
	}
	return fs.checkComplete(path, func(name string) bool { return !isNothing(doc.Lookup(name)) })
}

// checkComplete looks for required fields that are not there.
func (fs fields) checkComplete(path string, has func(name string) bool) error {
	missing := ""
	for name, f := range fs {
		if f.must && !has(name) && (missing == "" || name < missing) {
			missing = name
		}
	}
	if missing == "" {
		return nil
	}
	return mongoerr.New(mongoerr.IDLFailedToParse, "BSON field '%s.%s' is missing but a required field", path, missing)
}

// integer is a number as an integer, cut off where it has to be.
func integer(v bson.RawValue) int64 {
	i, _ := value.AsInt64(v)
	return i
}

// isNothing reports whether a field counts as missing.
func isNothing(v bson.RawValue) bool {
	return v.Type == 0 || v.Type == bson.TypeNull || v.Type == bson.TypeUndefined
}
