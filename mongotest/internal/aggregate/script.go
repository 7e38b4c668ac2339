package aggregate

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// maxEmitted is how much the emits of one document may hold
// (internalQueryMaxJsEmitBytes).
const maxEmitted = 100 << 20

// compileFunction compiles $function. Codes and words are those of the server's
// expression_function.cpp.
func compileFunction(name string, arg bson.RawValue) (evalFunc, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(31260, "%s requires an object as an argument, found: %s", name, typeName(arg))
	}
	get := func(field string) bson.RawValue {
		v, _ := value.Get(arg.Value, field)
		return v
	}
	body, args, lang := get("body"), get("args"), get("lang")
	if body.Type == 0 {
		return nil, mongoerr.New(31261, "The body function must be specified.")
	}
	src, constant, ok := sourceText(body)
	if !constant {
		return nil, mongoerr.New(31432, "The body function must be a constant expression")
	}
	if !ok {
		return nil, mongoerr.New(31262, "The body function must evaluate to type string or code")
	}
	if args.Type == 0 {
		return nil, mongoerr.New(31263, "The args field must be specified.")
	}
	fn, err := compile(args)
	if err != nil {
		return nil, err
	}
	if lang.Type == 0 {
		return nil, mongoerr.New(31418, "The lang field must be specified.")
	}
	if s, _ := lang.StringValueOK(); s != "js" {
		return nil, mongoerr.New(31419, "Currently the only supported language specifier is 'js'.")
	}
	return func(c evalCtx) (bson.RawValue, error) {
		v, err := fn(c)
		if err != nil {
			return v, err
		}
		if v.Type != bson.TypeArray {
			return v, mongoerr.New(31266, "The args field must be of type array")
		}
		script, err := c.vars.runner()
		if err != nil {
			return v, err
		}
		return script.Call(src, rawdoc.Values(v.Value))
	}, nil
}

// sourceText reads a source: constant says whether it does not depend on
// documents, ok whether it is text.
func sourceText(v bson.RawValue) (src string, constant, ok bool) {
	if v.Type == bson.TypeEmbeddedDocument {
		if name, inner, _ := rawdoc.First(v.Value); name == "$literal" || name == "$const" {
			v = inner
		}
	}
	switch v.Type {
	case bson.TypeString:
		s := v.StringValue()
		return s, len(s) == 0 || s[0] != '$', true
	case bson.TypeJavaScript:
		return v.JavaScript(), true, true
	case bson.TypeEmbeddedDocument:
		return "", value.IsEmpty(v.Value), false
	default:
		return "", true, false
	}
}

// compileEmit compiles what mapReduce turns its map function into: the array of
// {k, v} that it emits for a document.
func compileEmit(name string, arg bson.RawValue) (evalFunc, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(31221, "%s requires an object as an argument, found: %s", name, typeName(arg))
	}
	code, _ := value.Get(arg.Value, "eval")
	if code.Type == 0 {
		return nil, mongoerr.New(31222, "The map function must be specified.")
	}
	src, _, ok := sourceText(code)
	if !ok {
		return nil, mongoerr.New(31224, "The map function must be of type string or code")
	}
	this, given := value.Get(arg.Value, "this")
	if !given {
		return nil, mongoerr.New(31223, "%s requires 'this' to be specified", name)
	}
	fn, err := compile(this)
	if err != nil {
		return nil, err
	}
	return func(c evalCtx) (bson.RawValue, error) {
		doc, err := fn(c)
		if err != nil {
			return doc, err
		}
		if doc.Type != bson.TypeEmbeddedDocument {
			return doc, mongoerr.New(31225, "'this' must be an object.")
		}
		script, err := c.vars.runner()
		if err != nil {
			return doc, err
		}
		var b rawdoc.Builder
		err = script.Map(src, doc.Value, func(k, v bson.RawValue) error {
			if b.Size()+len(k.Value)+len(v.Value) > maxEmitted {
				return mongoerr.New(31292, "Size of emitted values exceeds the set size limit of %d bytes (100MB)", maxEmitted)
			}
			b.Push(value.Doc(value.D("k", k, "v", v)))
			return nil
		})
		return value.Array(b.Bytes()), err
	}, nil
}
