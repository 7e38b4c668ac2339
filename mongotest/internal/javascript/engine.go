package javascript

import (
	"context"
	"fmt"
	"runtime"

	"github.com/dop251/goja"
	"github.com/dop251/goja/parser"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Config is what an Engine takes from its operation.
type Config struct {
	// Scope holds global variables, as of mapReduce's scope; nil for none.
	Scope bson.Raw
	// Stored returns the documents of system.js, whose values are global too.
	// It is called once, before the first script. nil stands for none.
	Stored func() ([]bson.Raw, error)
	// MaxHeap is by how much the program's memory may grow during a call, in
	// bytes; 0 stands for jsHeapLimitMB.
	MaxHeap uint64
	// Version is what version() answers.
	Version string
}

// An Engine runs the scripts of one operation. They share one global scope. It
// makes its runtime when the first script comes. It is not safe for concurrent
// use. Each call ends with its context, with the context's error.
type Engine struct {
	cfg   Config
	vm    *goja.Runtime // nil until needed
	funcs map[string]goja.Callable
	kinds map[kind]*goja.Object // prototypes
	// classes are constructors of the language that no script has replaced.
	classes map[string]goja.Value
	emit    func(k, v bson.RawValue) error
	bound   bound
}

// New returns an engine.
func New(cfg Config) *Engine {
	e := &Engine{cfg: cfg, funcs: map[string]goja.Callable{}}
	e.bound.maxHeap = cfg.MaxHeap
	if e.bound.maxHeap == 0 {
		e.bound.maxHeap = maxHeap
	}
	return e
}

// Compile reports whether code can be run: JSInterpreterFailure if not.
func (e *Engine) Compile(ctx context.Context, code string) error {
	return e.run(ctx, func() error {
		_, err := e.function(code)
		return err
	})
}

// Call calls the function that code is, or whose body it is, with arguments.
// What it returns undefined is null.
func (e *Engine) Call(ctx context.Context, code string, args []bson.RawValue) (bson.RawValue, error) {
	var out bson.RawValue
	err := e.run(ctx, func() error {
		fn, err := e.function(code)
		if err != nil {
			return err
		}
		in := make([]goja.Value, len(args))
		for i, a := range args {
			in[i] = e.toJS(a)
		}
		v, err := fn(e.vm.NewObject(), in...)
		if err != nil {
			return err
		}
		out, err = e.result(v)
		return err
	})
	return out, err
}

// Test calls the function with doc as this and as the global obj, and reports
// whether what it returns is true.
func (e *Engine) Test(ctx context.Context, code string, doc bson.Raw) (bool, error) {
	var ok bool
	err := e.run(ctx, func() error {
		fn, err := e.function(code)
		if err != nil {
			return err
		}
		this := e.document(doc)
		if err := e.vm.GlobalObject().Set("obj", this); err != nil {
			return err
		}
		v, err := fn(this)
		if err != nil {
			return err
		}
		ok = v.ToBoolean()
		return nil
	})
	return ok, err
}

// Map calls the function with doc as this, and emit for each call of the global
// emit, which is there meanwhile.
func (e *Engine) Map(ctx context.Context, code string, doc bson.Raw, emit func(k, v bson.RawValue) error) error {
	return e.run(ctx, func() error {
		fn, err := e.function(code)
		if err != nil {
			return err
		}
		e.emit = emit
		defer func() { e.emit = nil }()
		if err := e.vm.Set("emit", e.emitted); err != nil {
			return err
		}
		_, err = fn(e.document(doc))
		return err
	})
}

// emitted is the global emit.
func (e *Engine) emitted(call goja.FunctionCall) goja.Value {
	if len(call.Arguments) != 2 {
		e.throw(mongoerr.New(31220, "emit takes 2 args"))
	}
	var kv [2]bson.RawValue
	for i := range kv {
		v, err := e.result(call.Arguments[i])
		if err != nil {
			e.throw(err)
		}
		kv[i] = v
	}
	if e.emit == nil {
		return goja.Undefined()
	}
	if err := e.emit(kv[0], kv[1]); err != nil {
		e.throw(err)
	}
	return goja.Undefined()
}

// throw makes err an exception of the script that runs, which may catch it.
func (e *Engine) throw(err error) { panic(e.vm.NewGoError(err)) }

// run runs f, which runs scripts, within the bounds and until ctx ends.
func (e *Engine) run(ctx context.Context, f func() error) (err error) {
	if err := e.start(); err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			err = panicked(r)
		}
	}()
	if err := e.bound.enter(ctx, e.vm); err != nil {
		return err
	}
	defer e.bound.leave(e.vm)
	return failure(ctx, f())
}

// panicked is the error of a panic that came out of the engine: of a native
// function that met a value it cannot deal with, or ran out of memory.
func panicked(r any) error {
	switch r := r.(type) {
	case *goja.Exception:
		return exception(r)
	case runtime.Error:
		return mongoerr.New(mongoerr.JSInterpreterFailure, "Out of memory: %v", r)
	case *goja.Object:
		return mongoerr.New(mongoerr.JSInterpreterFailure, "%s", r.String())
	default:
		return mongoerr.New(mongoerr.JSInterpreterFailure, "%v", r)
	}
}

// start makes the runtime.
func (e *Engine) start() error {
	if e.vm != nil {
		return nil
	}
	vm := goja.New()
	vm.SetMaxCallStackSize(maxCallStack)
	vm.SetParserOptions(parser.WithDisableSourceMaps)
	e.vm = vm
	if err := e.furnish(); err != nil {
		e.vm = nil
		return fmt.Errorf("javascript: global scope: %w", err)
	}
	for name, v := range value.Elements(e.cfg.Scope) {
		if err := e.define(name, v); err != nil {
			return err
		}
	}
	return e.load()
}

// load makes global what system.js holds.
func (e *Engine) load() error {
	if e.cfg.Stored == nil {
		return nil
	}
	docs, err := e.cfg.Stored()
	if err != nil {
		return err
	}
	for _, d := range docs {
		id, _ := value.Get(d, "_id")
		name, ok := id.StringValueOK()
		if !ok {
			return mongoerr.New(10209, "name has to be a string: %s", id)
		}
		v, ok := value.Get(d, "value")
		if !ok {
			return mongoerr.New(10210, "value has to be set")
		}
		if err := e.define(name, v); err != nil {
			return err
		}
	}
	return nil
}

// define sets a global variable.
func (e *Engine) define(name string, v bson.RawValue) error {
	code, isCode := sourceOf(v)
	if !isCode {
		return e.vm.Set(name, e.toJS(v))
	}
	fn, err := e.functionValue(code)
	if err != nil {
		return err
	}
	return e.vm.Set(name, fn)
}
