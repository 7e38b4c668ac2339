package aggregate

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// compilePath compiles "$a.b" and "$$name.a.b".
func compilePath(s string) (evalFunc, error) {
	name := "CURRENT"
	rest := s[1:]
	if strings.HasPrefix(rest, "$") {
		name, rest, _ = strings.Cut(rest[1:], ".")
		if name == "" {
			return nil, mongoerr.New(mongoerr.FailedToParse, "empty variable names are not allowed")
		}
		if rest == "" {
			return variable(name, nil), nil
		}
	} else if rest == "" {
		return nil, mongoerr.New(16872, "'$' by itself is not a valid FieldPath")
	}
	path := strings.Split(rest, ".")
	if err := checkPath(path); err != nil {
		return nil, err
	}
	return variable(name, path), nil
}

// maxPathDepth is how many components a field path may have.
const maxPathDepth = 200

// checkPath refuses the components that no field path may have.
func checkPath(path []string) error {
	switch n := len(path); {
	case n == 1 && path[0] == "":
		return mongoerr.New(40352, "FieldPath cannot be constructed with empty string")
	case path[n-1] == "":
		return mongoerr.New(40353, "FieldPath must not end with a '.'.")
	case n > maxPathDepth:
		return mongoerr.New(5984700, "FieldPath is too long")
	}
	for _, p := range path {
		switch {
		case p == "":
			return mongoerr.New(15998, "FieldPath field names may not be empty strings.")
		case p[0] == '$':
			return mongoerr.New(16410, "FieldPath field names may not start with '$'. Consider using $getField or $setField.")
		case strings.ContainsRune(p, 0):
			return mongoerr.New(16411, "FieldPath field names may not contain '\\0'.")
		}
	}
	return nil
}

func variable(name string, path []string) evalFunc {
	return func(c evalCtx) (bson.RawValue, error) {
		v, ok := c.vars.lookup(name)
		switch {
		case ok:
		case name == "ROOT" || name == "CURRENT":
			if c.root != nil {
				v = value.Doc(c.root)
			}
		case name == "REMOVE":
		case name == "CLUSTER_TIME":
			return v, mongoerr.New(51144, "system variable $$CLUSTER_TIME is not available in standalone mode")
		default:
			return v, mongoerr.New(17276, "Use of undefined variable: %s", name)
		}
		return getPath(v, path), nil
	}
}

// getPath follows a field path. Over an array it collects the values of the
// documents in it; array positions are not addressable.
func getPath(v bson.RawValue, path []string) bson.RawValue {
	for i, p := range path {
		switch v.Type {
		case bson.TypeEmbeddedDocument:
			x, ok := value.Get(v.Value, p)
			if !ok {
				return bson.RawValue{}
			}
			v = x
		case bson.TypeArray:
			var b rawdoc.Builder
			for _, e := range value.Elements(v.Value) {
				if e.Type != bson.TypeEmbeddedDocument {
					continue
				}
				if x := getPath(e, path[i:]); x.Type != 0 {
					b.Push(x)
				}
			}
			return value.Array(b.Bytes())
		default:
			return bson.RawValue{}
		}
	}
	return v
}

// nullish reports whether v is missing, null or undefined.
func nullish(v bson.RawValue) bool {
	return v.Type == 0 || v.Type == bson.TypeNull || v.Type == bson.TypeUndefined
}

// truthy is value.Truthy for values that may be missing.
func truthy(v bson.RawValue) bool { return v.Type != 0 && value.Truthy(v) }

// compare is value.Compare with missing below everything but MinKey.
func compare(a, b bson.RawValue) int {
	if a.Type == 0 {
		a = value.Undefined()
	}
	if b.Type == 0 {
		b = value.Undefined()
	}
	return value.Compare(a, b)
}

// CheckPath refuses what is no path of a field.
func CheckPath(path string) error { return checkPath(strings.Split(path, ".")) }

// DependsOnDocument reports whether an expression looks at a document: whether
// a path of one stands in it.
func DependsOnDocument(v bson.RawValue) bool {
	switch v.Type {
	case bson.TypeString:
		s := v.StringValue()
		if strings.HasPrefix(s, "$$") {
			name, _, _ := strings.Cut(s[2:], ".")
			return name == "ROOT" || name == "CURRENT"
		}
		return strings.HasPrefix(s, "$")
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		for name, x := range value.Elements(v.Value) {
			if name != "$literal" && DependsOnDocument(x) {
				return true
			}
		}
	default:
	}
	return false
}
