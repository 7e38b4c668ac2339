package aggregate

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// maxArguments is how much one call of a script is given at most.
const maxArguments = 16 << 20

// accumulatorSpec is a parsed $accumulator.
type accumulatorSpec struct {
	init, accumulate, merge, finalize string
	initArgs                          evalFunc
	args                              evalFunc
}

// compileScriptAccumulator compiles $accumulator. Codes and words are those of
// the server's accumulator_js_reduce.cpp. merge is never called: nothing is
// accumulated in parts.
func compileScriptAccumulator(arg bson.RawValue) (accDef, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return accDef{}, mongoerr.New(4544703, "$accumulator expects an object as an argument; found: %s", typeName(arg))
	}
	spec := accumulatorSpec{initArgs: literal(value.Array(value.D()))}
	for name, v := range value.Elements(arg.Value) {
		if err := spec.read(name, v); err != nil {
			return accDef{}, err
		}
	}
	switch {
	case spec.init == "":
		return accDef{}, mongoerr.New(4544707, "$accumulator missing required argument 'init'")
	case spec.accumulate == "":
		return accDef{}, mongoerr.New(4544708, "$accumulator missing required argument 'accumulate'")
	case spec.merge == "":
		return accDef{}, mongoerr.New(4544709, "$accumulator missing required argument 'merge'")
	case spec.args == nil:
		return accDef{}, mongoerr.New(4544710, "$accumulator missing required argument 'accumulateArgs'")
	}
	return accDef{arg: spec.args, make: spec.begin}, nil
}

func (s *accumulatorSpec) read(name string, v bson.RawValue) (err error) {
	switch name {
	case "init":
		s.init, err = accumulatorSource(name, v)
	case "accumulate":
		s.accumulate, err = accumulatorSource(name, v)
	case "merge":
		s.merge, err = accumulatorSource(name, v)
	case "finalize":
		s.finalize, err = accumulatorSource(name, v)
	case "initArgs":
		s.initArgs, err = compile(v)
	case "accumulateArgs":
		s.args, err = compile(v)
	case "lang":
		lang, ok := v.StringValueOK()
		if !ok {
			return mongoerr.New(4544704, "$accumulator lang must be a string; found: %s", typeName(v))
		}
		if lang != "js" {
			return mongoerr.New(4544705, "$accumulator only supports lang: 'js'")
		}
	default:
		err = mongoerr.New(4544706, "$accumulator got an unexpected field: %s", name)
	}
	return err
}

func accumulatorSource(field string, v bson.RawValue) (string, error) {
	src, constant, ok := sourceText(v)
	if !constant {
		return "", mongoerr.New(4544701, "$accumulator '%s' must be a constant expression", field)
	}
	if !ok {
		return "", mongoerr.New(4544702, "$accumulator '%s' must be a String or Code", field)
	}
	return src, nil
}

// begin calls init for a new group.
func (s *accumulatorSpec) begin(c evalCtx) (accumulator, error) {
	script, err := c.vars.runner()
	if err != nil {
		return nil, err
	}
	args, err := s.initArgs(c)
	if err != nil {
		return nil, err
	}
	if args.Type != bson.TypeArray {
		return nil, mongoerr.New(4544711, "$accumulator initArgs must evaluate to an array: %s", rawdoc.Render(orNull(args)))
	}
	state, err := script.Call(s.init, rawdoc.Values(args.Value))
	return &scriptAcc{spec: s, script: script, state: state}, err
}

// scriptAcc is one $accumulator under way.
type scriptAcc struct {
	spec   *accumulatorSpec
	script Script
	state  bson.RawValue
	failed error // of finalize, reported by err
}

func (a *scriptAcc) add(v bson.RawValue) error {
	if v.Type != bson.TypeArray {
		return mongoerr.New(4544712, "$accumulator accumulateArgs must evaluate to an array: %s", rawdoc.Render(orNull(v)))
	}
	if len(a.state.Value)+len(v.Value) > maxArguments {
		return mongoerr.New(4545000, "$accumulator arguments exceed max BSON size: %d", len(a.state.Value)+len(v.Value))
	}
	state, err := a.script.Call(a.spec.accumulate, append([]bson.RawValue{a.state}, rawdoc.Values(v.Value)...))
	a.state = state
	return err
}

func (a *scriptAcc) result() bson.RawValue {
	if a.spec.finalize == "" {
		return a.state
	}
	v, err := a.script.Call(a.spec.finalize, []bson.RawValue{a.state})
	a.failed = err
	return v
}

func (a *scriptAcc) err() error { return a.failed }

// failing is an accumulator whose result may fail.
type failing interface {
	// err is why the latest result is none, nil if it is one.
	err() error
}

// compileReducer compiles what mapReduce turns its reduce function into.
func compileReducer(arg bson.RawValue) (accDef, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return accDef{}, mongoerr.New(31326, "$_internalJsReduce requires a document argument, but found %s", typeName(arg))
	}
	code, _ := value.Get(arg.Value, "eval")
	src, _, ok := sourceText(code)
	if !ok {
		return accDef{}, mongoerr.New(31244, "$_internalJsReduce requires the 'eval' argument to be of type string, or code but found %s", typeName(code))
	}
	data, given := value.Get(arg.Value, "data")
	if !given {
		return accDef{}, mongoerr.New(31349, "$_internalJsReduce requires 'data' argument, received input: %s", rawdoc.RenderDoc(arg.Value))
	}
	fn, err := compile(data)
	return accDef{arg: fn, make: func(c evalCtx) (accumulator, error) {
		script, err := c.vars.runner()
		return &reducer{code: src, script: script}, err
	}}, err
}

// reducer is one key of a mapReduce: the values emitted for it.
type reducer struct {
	code   string
	script Script
	key    bson.RawValue
	vals   []bson.RawValue
	failed error
}

func (r *reducer) add(v bson.RawValue) error {
	if v.Type == 0 {
		return nil
	}
	if v.Type != bson.TypeEmbeddedDocument {
		return mongoerr.New(31242, "$_internalJsReduce requires a document argument, but found %s", typeName(v))
	}
	k, hasKey := value.Get(v.Value, "k")
	x, hasValue := value.Get(v.Value, "v")
	if !hasKey || !hasValue {
		return mongoerr.New(31251, "$_internalJsReduce requires the 'data' argument to have a 'k' and 'v' field. Instead found%s", rawdoc.RenderDoc(v.Value))
	}
	r.key, r.vals = k, append(r.vals, x)
	return nil
}

// result reduces the values, from the last to the first, as the server does. A
// single one is reduced too: mrEnableSingleReduceOptimization is off.
func (r *reducer) result() bson.RawValue {
	vals := slices.Clone(r.vals)
	for {
		var args []bson.RawValue
		size := len(r.key.Value)
		for len(vals) > 0 {
			last := vals[len(vals)-1]
			if size += len(last.Value); size > maxArguments {
				if len(args) < 2 {
					r.failed = mongoerr.New(31392, "Value too large to reduce")
					return bson.RawValue{}
				}
				break
			}
			args, vals = append(args, last), vals[:len(vals)-1]
		}
		out, err := r.script.Call(r.code, []bson.RawValue{r.key, value.ArrayOf(args...)})
		if err != nil || len(vals) == 0 {
			r.failed = err
			return out
		}
		vals = append(vals, out)
	}
}

func (r *reducer) err() error { return r.failed }
