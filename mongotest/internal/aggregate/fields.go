package aggregate

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// fieldName reads the constant name of $setField and its kin: a string, or
// {$literal: …} for a name that begins with a dollar.
func fieldName(op string, v bson.RawValue) (string, error) {
	if v.Type == bson.TypeEmbeddedDocument {
		k, inner, _ := rawdoc.First(v.Value)
		if s, ok := inner.StringValueOK(); ok && (k == "$literal" || k == "$const") {
			return s, nil
		}
		if k == "$literal" || k == "$const" {
			return "", mongoerr.New(4161107, "%s requires 'field' to evaluate to type String, but got %s", op, typeName(inner))
		}
		return "", mongoerr.New(4161106, "%s requires 'field' to evaluate to a constant", op)
	}
	s, ok := v.StringValueOK()
	switch {
	case !ok:
		return "", mongoerr.New(4161107, "%s requires 'field' to evaluate to type String, but got %s", op, rawdoc.TypeName(v.Type))
	case strings.HasPrefix(s, "$"):
		return "", mongoerr.New(4161108, "'%s' is not a constant field name; names that begin with '$' need $literal", s)
	}
	return s, nil
}

func compileGetField(name string, arg bson.RawValue) (evalFunc, error) {
	input := evalFunc(func(c evalCtx) (bson.RawValue, error) { return value.Doc(c.root), nil })
	field := arg
	if arg.Type == bson.TypeEmbeddedDocument {
		if k, _, _ := rawdoc.First(arg.Value); !strings.HasPrefix(k, "$") {
			raw, err := rawArgs(name, arg, []string{"field"}, []string{"input"})
			if err != nil {
				return nil, err
			}
			field = raw["field"]
			if in, ok := raw["input"]; ok {
				if input, err = compile(in); err != nil {
					return nil, err
				}
			}
		}
	}
	fieldFn, err := compile(field)
	if err != nil {
		return nil, err
	}
	return func(c evalCtx) (bson.RawValue, error) {
		f, err := fieldFn(c)
		if err != nil {
			return f, err
		}
		key, ok := f.StringValueOK()
		if !ok {
			return f, mongoerr.New(3041704, "$getField requires 'field' to evaluate to type String, but got %s", rawdoc.TypeName(f.Type))
		}
		in, err := input(c)
		switch {
		case err != nil || in.Type == 0:
			return in, err
		case nullish(in):
			return value.Null(), nil
		case in.Type != bson.TypeEmbeddedDocument:
			return bson.RawValue{}, nil
		}
		v, _ := value.Get(in.Value, key)
		return v, nil
	}, nil
}

func compileSetField(name string, arg bson.RawValue) (evalFunc, error) {
	required := []string{"field", "input", "value"}
	if name == "$unsetField" {
		required = required[:2]
	}
	raw, err := rawArgs(name, arg, required, nil)
	if err != nil {
		return nil, err
	}
	key, err := fieldName(name, raw["field"])
	if err != nil {
		return nil, err
	}
	if strings.ContainsRune(key, 0) {
		return nil, mongoerr.New(9534700, "%s requires 'field' without an embedded null byte", name)
	}
	input, err := compile(raw["input"])
	if err != nil {
		return nil, err
	}
	val := literal(bson.RawValue{}) // missing: the field goes
	if v, ok := raw["value"]; ok {
		if val, err = compile(v); err != nil {
			return nil, err
		}
	}
	return func(c evalCtx) (bson.RawValue, error) {
		in, err := input(c)
		switch {
		case err != nil:
			return in, err
		case nullish(in):
			return value.Null(), nil
		case in.Type != bson.TypeEmbeddedDocument:
			return in, mongoerr.New(4161105, "%s requires 'input' to evaluate to type Object", name)
		}
		v, err := val(c)
		if err != nil {
			return v, err
		}
		return value.Doc(withField(in.Value, key, v)), nil
	}, nil
}

// withField returns doc with a field set in its place, or behind; a missing
// value removes it.
func withField(doc bson.Raw, key string, v bson.RawValue) bson.Raw {
	var b rawdoc.Builder
	done := false
	for k, x := range value.Elements(doc) {
		if k != key {
			b.Add(k, x)
			continue
		}
		if !done && v.Type != 0 {
			b.Add(k, v)
		}
		done = true
	}
	if !done && v.Type != 0 {
		b.Add(key, v)
	}
	return b.Bytes()
}

var objectOps = map[string]plain{
	"$mergeObjects":  {0, -1, mergeObjects},
	"$objectToArray": {1, 1, objectToArray},
	"$arrayToObject": {1, 1, arrayToObject},
}

func mergeObjects(args []bson.RawValue) (bson.RawValue, error) {
	if len(args) == 1 && args[0].Type == bson.TypeArray {
		args = rawdoc.Values(args[0].Value)
	}
	out := value.D()
	for _, a := range args {
		if nullish(a) {
			continue
		}
		if a.Type != bson.TypeEmbeddedDocument {
			return a, mongoerr.New(40400, "$mergeObjects requires object inputs, but input %s is of type %s", rawdoc.Render(a), rawdoc.TypeName(a.Type))
		}
		for k, v := range value.Elements(a.Value) {
			out = withField(out, k, v)
		}
	}
	return value.Doc(out), nil
}

func objectToArray(args []bson.RawValue) (bson.RawValue, error) {
	in := args[0]
	switch {
	case nullish(in):
		return value.Null(), nil
	case in.Type != bson.TypeEmbeddedDocument:
		return in, mongoerr.New(40390, "$objectToArray requires a document input, found: %s", rawdoc.TypeName(in.Type))
	}
	var b rawdoc.Builder
	for k, v := range value.Elements(in.Value) {
		b.Push(value.Doc(value.D("k", k, "v", v)))
	}
	return value.Array(b.Bytes()), nil
}

func arrayToObject(args []bson.RawValue) (bson.RawValue, error) {
	in := args[0]
	switch {
	case nullish(in):
		return value.Null(), nil
	case in.Type != bson.TypeArray:
		return in, mongoerr.New(40386, "$arrayToObject requires an array input, found: %s", rawdoc.TypeName(in.Type))
	}
	out := value.D()
	shape := bson.Type(0)
	for _, e := range value.Elements(in.Value) {
		switch {
		case e.Type != bson.TypeArray && e.Type != bson.TypeEmbeddedDocument:
			return in, mongoerr.New(40398, "Unrecognised input type format for $arrayToObject: %s", typeName(e))
		case shape == bson.TypeEmbeddedDocument && e.Type != shape:
			return in, mongoerr.New(40391, "$arrayToObject requires a consistent input format. Elements must all be arrays or all be objects. Object was detected, now found: %s", typeName(e))
		case shape == bson.TypeArray && e.Type != shape:
			return in, mongoerr.New(40396, "$arrayToObject requires a consistent input format. Elements must all be arrays or all be objects. Array was detected, now found: %s", typeName(e))
		}
		shape = e.Type
		pair := pairOfArray
		if shape == bson.TypeEmbeddedDocument {
			pair = pairOfObject
		}
		key, v, err := pair(e.Value)
		if err != nil {
			return in, err
		}
		out = withField(out, key, v)
	}
	return value.Doc(out), nil
}

// pairOfArray reads [key, value].
func pairOfArray(arr bson.Raw) (string, bson.RawValue, error) {
	pair := rawdoc.Values(arr)
	if len(pair) != 2 {
		return "", bson.RawValue{}, mongoerr.New(40397, "$arrayToObject requires an array of size 2 arrays,found array of size: %d", len(pair))
	}
	key, ok := pair[0].StringValueOK()
	if !ok {
		return "", pair[1], mongoerr.New(40395, "$arrayToObject requires an array of key-value pairs, where the key must be of type string. Found key type: %s", typeName(pair[0]))
	}
	if strings.ContainsRune(key, 0) {
		return "", pair[1], mongoerr.New(4940400, "Key field cannot contain an embedded null byte")
	}
	return key, pair[1], nil
}

// pairOfObject reads {k, v}.
func pairOfObject(doc bson.Raw) (string, bson.RawValue, error) {
	if n := rawdoc.Len(doc); n != 2 {
		return "", bson.RawValue{}, mongoerr.New(40392, "$arrayToObject requires an object keys of 'k' and 'v'. Found incorrect number of keys:%d", n)
	}
	k, hasKey := value.Get(doc, "k")
	v, hasValue := value.Get(doc, "v")
	if !hasKey || !hasValue {
		return "", v, mongoerr.New(40393, "$arrayToObject requires an object with keys 'k' and 'v'. Missing either or both keys from: %s", rawdoc.RenderDoc(doc))
	}
	key, ok := k.StringValueOK()
	if !ok {
		return "", v, mongoerr.New(40394, "$arrayToObject requires an object with keys 'k' and 'v', where the value of 'k' must be of type string. Found type: %s", typeName(k))
	}
	if strings.ContainsRune(key, 0) {
		return "", v, mongoerr.New(4940401, "Key field cannot contain an embedded null byte")
	}
	return key, v, nil
}
