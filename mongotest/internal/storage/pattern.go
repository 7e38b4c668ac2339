package storage

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

const maxCompoundFields = 32

// parsePattern reads a key pattern, such as {a: 1, "b.c": -1, d: "hashed"}.
func parsePattern(pattern bson.Raw) ([]indexField, error) {
	var fields []indexField
	hashed := false
	err := eachElement(pattern, func(key string, v bson.RawValue) error {
		f, err := parseField(key, v)
		if err != nil {
			return err
		}
		if f.hashed && hashed {
			return mongoerr.New(mongoerr.CannotCreateIndex,
				"A maximum of one index field is allowed to be hashed but found 2 for 'key' %s", render(pattern))
		}
		for _, g := range fields {
			if g.name == f.name {
				return mongoerr.New(mongoerr.BadValue, "The field '%s' appears more than once in the key pattern %s",
					key, render(pattern))
			}
		}
		hashed = hashed || f.hashed
		fields = append(fields, f)
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(fields) == 0:
		return nil, mongoerr.New(mongoerr.CannotCreateIndex, "Index keys cannot be an empty object.")
	case len(fields) > maxCompoundFields:
		return nil, mongoerr.New(codeTooManyFields, "too many compound keys, maximum is %d", maxCompoundFields)
	}
	return fields, nil
}

const codeTooManyFields mongoerr.Code = 13103

func parseField(key string, v bson.RawValue) (indexField, error) {
	f := indexField{name: key, path: strings.Split(key, ".")}
	isWildcard := isWildcardName(key)
	for i, part := range f.path {
		switch {
		case part == "":
			return f, mongoerr.New(mongoerr.CannotCreateIndex, "Index keys cannot contain an empty field.")
		case part == wildcardField && i == len(f.path)-1:
		case strings.HasPrefix(part, "$") && part != "$id" && part != "$ref" && part != "$db":
			return f, mongoerr.New(mongoerr.CannotCreateIndex,
				"Index key contains an illegal field name: field name starts with '$'.")
		}
	}
	if v.Type == bson.TypeString {
		plugin := v.StringValue()
		switch {
		case isWildcard && plugin != kindText:
			return f, mongoerr.New(mongoerr.CannotCreateIndex, "A wildcard field cannot be of the index type '%s'", plugin)
		case plugin == kindWildcard:
			return f, mongoerr.New(codeWildcardPlugin, "The index type 'wildcard' is written {\"$**\": 1}, not {%s: \"wildcard\"}", key)
		}
		switch plugin {
		case "hashed":
			f.hashed = true
			return f, nil
		case kindText, kind2d, kind2dsphere, timeseries.SphereBuckets:
			f.special = plugin
			return f, nil
		case "columnstore":
			return f, unsupportedIndex(plugin, key)
		}
		return f, mongoerr.New(mongoerr.CannotCreateIndex, "Unknown index plugin '%s'", plugin)
	}
	n, ok := value.AsFloat64(v)
	if !ok {
		return f, mongoerr.New(mongoerr.CannotCreateIndex, "Values in v:2 index key pattern cannot be of type %s. "+
			"Only numbers > 0, numbers < 0, and strings are allowed.", v.Type)
	}
	if !(n > 0 || n < 0) {
		return f, mongoerr.New(mongoerr.CannotCreateIndex, "Values in the index key pattern cannot be 0 or NaN.")
	}
	f.desc = n < 0
	switch {
	case isWildcard:
		f.special = kindWildcard
	case key == textScore:
		f.special = kindText
	}
	return f, nil
}

func unsupportedIndex(kind, key string) error {
	return mongoerr.New(mongoerr.CannotCreateIndex,
		"%s indexes are not supported by this simulated server (field '%s')", kind, key)
}

// samePattern compares key patterns as the server does: names, order, direction
// and kind, but not the type of the numbers.
func samePattern(a, b []indexField) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].name != b[i].name || a[i].desc != b[i].desc || a[i].hashed != b[i].hashed || a[i].special != b[i].special {
			return false
		}
	}
	return true
}
