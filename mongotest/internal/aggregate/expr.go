package aggregate

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Expr is a compiled expression. It is immutable and safe for concurrent use.
type Expr struct {
	fn evalFunc
}

// evalFunc computes a value; type 0 means missing.
type evalFunc func(c evalCtx) (bson.RawValue, error)

// evalCtx is what an expression sees: the document and the variables.
type evalCtx struct {
	root bson.Raw
	vars Vars
}

// CompileExpr parses an aggregation expression. Errors are those of the
// server: InvalidPipelineOperator for an unknown operator, and the numbered
// codes for wrong arguments.
func CompileExpr(v bson.RawValue) (*Expr, error) {
	fn, err := compile(v)
	if err != nil {
		return nil, err
	}
	return &Expr{fn: fn}, nil
}

// Eval computes the expression for a document. missing is true when the result
// is no value at all, such as the path of an absent field.
func (e *Expr) Eval(doc bson.Raw, vars Vars) (v bson.RawValue, missing bool, err error) {
	v, err = e.fn(evalCtx{root: doc, vars: vars})
	return v, v.Type == 0, err
}

func literal(v bson.RawValue) evalFunc {
	return func(evalCtx) (bson.RawValue, error) { return v, nil }
}

func compile(v bson.RawValue) (evalFunc, error) {
	switch v.Type {
	case bson.TypeString:
		if s := v.StringValue(); strings.HasPrefix(s, "$") {
			return compilePath(s)
		}
	case bson.TypeEmbeddedDocument:
		return compileObject(v.Value)
	case bson.TypeArray:
		return compileArray(v.Value)
	default:
	}
	return literal(v), nil
}

// compileAll compiles the elements of an array, or the single value.
func compileAll(v bson.RawValue) ([]evalFunc, error) {
	if v.Type != bson.TypeArray {
		fn, err := compile(v)
		return []evalFunc{fn}, err
	}
	var out []evalFunc
	for _, x := range value.Elements(v.Value) {
		fn, err := compile(x)
		if err != nil {
			return nil, err
		}
		out = append(out, fn)
	}
	return out, nil
}

func compileArray(arr bson.Raw) (evalFunc, error) {
	fns, err := compileAll(value.Array(arr))
	if err != nil {
		return nil, err
	}
	return func(c evalCtx) (bson.RawValue, error) {
		vals, err := evalAll(c, fns)
		if err != nil {
			return bson.RawValue{}, err
		}
		for i := range vals {
			if vals[i].Type == 0 {
				vals[i] = value.Null()
			}
		}
		return value.ArrayOf(vals...), nil
	}, nil
}

func evalAll(c evalCtx, fns []evalFunc) ([]bson.RawValue, error) {
	out := make([]bson.RawValue, len(fns))
	size := 0
	for i, fn := range fns {
		var err error
		if out[i], err = fn(c); err != nil {
			return nil, err
		}
		if size += len(out[i].Value); size > maxOperands {
			return nil, mongoerr.New(mongoerr.ExceededMemoryLimit, "the operands of an expression use too much memory. Memory limit: %d bytes", maxOperands)
		}
	}
	return out, nil
}

func compileObject(doc bson.Raw) (evalFunc, error) {
	name, arg, ok := rawdoc.First(doc)
	if ok && strings.HasPrefix(name, "$") {
		if rawdoc.Len(doc) > 1 {
			return nil, mongoerr.New(15983, "An object representing an expression must have exactly one field: %s", rawdoc.RenderDoc(doc))
		}
		return compileOperator(name, arg)
	}
	type member struct {
		name string
		fn   evalFunc
	}
	var members []member
	for k, v := range value.Elements(doc) {
		switch {
		case strings.HasPrefix(k, "$"):
			return nil, mongoerr.New(16410, "FieldPath field names may not start with '$'. Consider using $getField or $setField.")
		case strings.Contains(k, "."):
			return nil, mongoerr.New(16412, "FieldPath field names may not contain '.'. Consider using $getField or $setField.")
		}
		fn, err := compile(v)
		if err != nil {
			return nil, err
		}
		members = append(members, member{k, fn})
	}
	return func(c evalCtx) (bson.RawValue, error) {
		var b rawdoc.Builder
		for _, m := range members {
			v, err := m.fn(c)
			if err != nil {
				return bson.RawValue{}, err
			}
			if v.Type != 0 {
				b.Add(m.name, v)
			}
		}
		v := value.Doc(b.Bytes())
		return v, checkSize("an object", v)
	}, nil
}

// compileOperator resolves {$name: arg}.
func compileOperator(name string, arg bson.RawValue) (evalFunc, error) {
	fn, err := findOperator(name, arg)
	if err != nil {
		return nil, err
	}
	return limited(name, fn), nil
}

func findOperator(name string, arg bson.RawValue) (evalFunc, error) {
	if special, ok := specialOp(name); ok {
		return special(name, arg)
	}
	if def, ok := collatedOps()[name]; ok {
		return compileCollated(name, def, arg)
	}
	if def, ok := plainOps()[name]; ok {
		return compilePlain(name, def, arg)
	}
	if def, ok := namedOps()[name]; ok {
		return compileNamed(name, def, arg)
	}
	return nil, mongoerr.New(mongoerr.InvalidPipelineOperator, "Unrecognized expression '%s'", name)
}
