package aggregate

import (
	"maps"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// plain is an operator over a list of evaluated operands.
type plain struct {
	min, max int // max -1: any number
	fn       func(args []bson.RawValue) (bson.RawValue, error)
}

// named is an operator over named evaluated operands; the absent ones have
// type 0.
type named struct {
	required, optional []string
	fn                 func(args map[string]bson.RawValue) (bson.RawValue, error)
}

// special is an operator with its own syntax or its own order of evaluation.
type special func(name string, arg bson.RawValue) (evalFunc, error)

// operators are the tables of the files of this package made one.
var (
	plainOps = sync.OnceValue(func() map[string]plain {
		return merged(arithmeticOps, functionOps, trigonometricOps(), logicOps, stringOps, arrayOps, elementOps, objectOps, typeOps, dateOps, statOps)
	})
	namedOps = sync.OnceValue(func() map[string]named { return merged(stringNamedOps, arrayNamedOps, dateNamedOps) })
)

func merged[V any](groups ...map[string]V) map[string]V {
	out := map[string]V{}
	for _, g := range groups {
		maps.Copy(out, g)
	}
	return out
}

// compileOperands compiles as many operands as an operator may have.
func compileOperands(name string, least, most int, arg bson.RawValue) ([]evalFunc, error) {
	fns, err := compileAll(arg)
	if err != nil {
		return nil, err
	}
	switch n := len(fns); {
	case least == most && n != least:
		return nil, mongoerr.New(16020, "Expression %s takes exactly %d arguments. %d were passed in.", name, least, n)
	case n < least || most >= 0 && n > most:
		return nil, mongoerr.New(28667, "Expression %s takes at least %d arguments, and at most %d, but %d were passed in.", name, least, most, n)
	}
	return fns, nil
}

func compilePlain(name string, def plain, arg bson.RawValue) (evalFunc, error) {
	fns, err := compileOperands(name, def.min, def.max, arg)
	if err != nil {
		return nil, err
	}
	return func(c evalCtx) (bson.RawValue, error) {
		args, err := evalAll(c, fns)
		if err != nil {
			return bson.RawValue{}, err
		}
		return def.fn(args)
	}, nil
}

func compileNamed(name string, def named, arg bson.RawValue) (evalFunc, error) {
	fns, err := namedArgs(name, arg, def.required, def.optional)
	if err != nil {
		return nil, err
	}
	return func(c evalCtx) (bson.RawValue, error) {
		args := make(map[string]bson.RawValue, len(fns))
		for k, fn := range fns {
			v, err := fn(c)
			if err != nil {
				return bson.RawValue{}, err
			}
			args[k] = v
		}
		return def.fn(args)
	}, nil
}

// namedArgs compiles the members of an operator's argument object.
func namedArgs(name string, arg bson.RawValue, required, optional []string) (map[string]evalFunc, error) {
	raw, err := rawArgs(name, arg, required, optional)
	if err != nil {
		return nil, err
	}
	fns := make(map[string]evalFunc, len(raw))
	for k, v := range raw {
		if fns[k], err = compile(v); err != nil {
			return nil, err
		}
	}
	return fns, nil
}

// rawArgs checks the members of an operator's argument object.
func rawArgs(name string, arg bson.RawValue, required, optional []string) (map[string]bson.RawValue, error) {
	codes := codesOf(name)
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(codes.notObject, "%s only supports an object as its argument, found: %s", name, rawdoc.TypeName(arg.Type))
	}
	raw := map[string]bson.RawValue{}
	for k, v := range value.Elements(arg.Value) {
		if !slices.Contains(required, k) && !slices.Contains(optional, k) {
			return nil, mongoerr.New(codes.unknown, "%s found an unknown argument: %s", name, k)
		}
		raw[k] = v
	}
	for _, k := range required {
		if _, ok := raw[k]; !ok {
			return nil, mongoerr.New(codes.missingCode(k), "%s requires '%s' to be specified", name, k)
		}
	}
	return raw, nil
}
