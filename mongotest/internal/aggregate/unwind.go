package aggregate

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// unwind is a compiled $unwind.
type unwind struct {
	path     []string
	index    string
	preserve bool
}

func compileUnwind(spec bson.RawValue, _ Env) (stage, error) {
	u := &unwind{}
	switch spec.Type {
	case bson.TypeString:
	case bson.TypeEmbeddedDocument:
		var err error
		if spec, err = u.options(spec.Value); err != nil {
			return nil, err
		}
	default:
		return nil, mongoerr.New(15981, "expected either a string or an object as specification for $unwind stage, got %s", typeName(spec))
	}
	path := spec.StringValue()
	switch {
	case path == "":
		return nil, mongoerr.New(28812, "no path specified to $unwind stage")
	case !strings.HasPrefix(path, "$"):
		return nil, mongoerr.New(28818, "path option to $unwind stage should be prefixed with a '$': %s", path)
	}
	u.path = strings.Split(path[1:], ".")
	if err := checkPath(u.path); err != nil {
		return nil, err
	}
	return expanding(u.expand), nil
}

// options reads the object form and returns the path.
func (u *unwind) options(spec bson.Raw) (path bson.RawValue, err error) {
	path = value.String("")
	for k, v := range value.Elements(spec) {
		switch k {
		case "path":
			if v.Type != bson.TypeString {
				return v, mongoerr.New(28808, "expected a string as the path for $unwind stage, got %s", typeName(v))
			}
			path = v
		case "preserveNullAndEmptyArrays":
			if v.Type != bson.TypeBoolean {
				return v, mongoerr.New(28809, "expected a boolean for the preserveNullAndEmptyArrays option to $unwind stage, got %s", typeName(v))
			}
			u.preserve = v.Boolean()
		case "includeArrayIndex":
			s, ok := v.StringValueOK()
			if !ok || s == "" {
				return v, mongoerr.New(28810, "expected a non-empty string for the includeArrayIndex option to $unwind stage, got %s", typeName(v))
			}
			if s[0] == '$' {
				return v, mongoerr.New(28822, "includeArrayIndex option to $unwind stage should not be prefixed with a '$': %s", s)
			}
			if err := checkPath(strings.Split(s, ".")); err != nil {
				return v, err
			}
			u.index = s
		default:
			return v, mongoerr.New(28811, "unrecognized option to $unwind stage: %s", k)
		}
	}
	return path, nil
}

// expanding is a stage that makes any number of documents of one.
func expanding(f func(doc bson.Raw) []bson.Raw) stage {
	return func(in Source) Source {
		var ready []bson.Raw
		return sourceFunc(func(ctx context.Context) (bson.Raw, error) {
			for len(ready) == 0 {
				doc, err := in.Next(ctx)
				if doc == nil || err != nil {
					return nil, err
				}
				ready = f(doc)
			}
			doc := ready[0]
			ready = ready[1:]
			return doc, nil
		})
	}
}

func (u *unwind) expand(doc bson.Raw) []bson.Raw {
	v, _ := value.Lookup(doc, strings.Join(u.path, "."))
	empty := v.Type == bson.TypeArray && value.IsEmpty(v.Value)
	switch {
	case nullish(v) || empty:
		if !u.preserve {
			return nil
		}
		if empty {
			doc = withPath(doc, u.path, bson.RawValue{})
		}
		return []bson.Raw{u.withIndex(doc, value.Null())}
	case v.Type != bson.TypeArray:
		return []bson.Raw{u.withIndex(doc, value.Null())}
	}
	var out []bson.Raw
	for _, e := range value.Elements(v.Value) {
		out = append(out, u.withIndex(withPath(doc, u.path, e), value.Int64(int64(len(out)))))
	}
	return out
}

func (u *unwind) withIndex(doc bson.Raw, i bson.RawValue) bson.Raw {
	if u.index == "" {
		return doc
	}
	return withPath(doc, strings.Split(u.index, "."), i)
}

// withPath sets a path through embedded documents; missing removes it.
func withPath(doc bson.Raw, path []string, v bson.RawValue) bson.Raw {
	if len(path) == 1 {
		return withField(doc, path[0], v)
	}
	inner, _ := value.Get(doc, path[0])
	if inner.Type != bson.TypeEmbeddedDocument {
		if v.Type == 0 {
			return doc
		}
		inner = value.Doc(value.D())
	}
	return withField(doc, path[0], value.Doc(withPath(inner.Value, path[1:], v)))
}
