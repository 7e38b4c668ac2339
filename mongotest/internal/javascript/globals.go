package javascript

import (
	"crypto/md5" //nolint:gosec // hex_md5 is what servers offer
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/dop251/goja"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

const preludeName = "prelude.js"

//go:embed prelude.js
var preludeSource string

// prelude is compiled once; a program is immutable.
var prelude = sync.OnceValues(func() (*goja.Program, error) { return compile(preludeName, preludeSource) })

// furnish fills the global scope with what the server's has.
func (e *Engine) furnish() error {
	e.classes = map[string]goja.Value{}
	for _, name := range []string{"Date", "RegExp"} {
		e.classes[name] = e.vm.Get(name)
	}
	e.kinds = map[kind]*goja.Object{}
	for k, mk := range e.constructors() {
		if err := e.class(k, mk); err != nil {
			return err
		}
	}
	for name, f := range e.functions() {
		if err := e.vm.Set(name, f); err != nil {
			return err
		}
	}
	p, err := prelude()
	if err != nil {
		return err
	}
	_, err = e.vm.RunProgram(p)
	return err
}

// class defines the class of a special type. Its constructor works with and
// without new.
func (e *Engine) class(k kind, mk func(args []goja.Value) *goja.Object) error {
	ctor := e.vm.ToValue(func(call goja.ConstructorCall) *goja.Object { return mk(call.Arguments) }).ToObject(e.vm)
	proto, ok := ctor.Get("prototype").(*goja.Object)
	if !ok {
		return mongoerr.New(mongoerr.InternalError, "no prototype of %s", k)
	}
	e.kinds[k] = proto
	return e.vm.Set(string(k), ctor)
}

func (e *Engine) functions() map[string]func(goja.FunctionCall) goja.Value {
	return map[string]func(goja.FunctionCall) goja.Value{
		"sleep":    e.sleep,
		"print":    nothing, // the server prints to its log
		"gc":       nothing,
		"version":  func(goja.FunctionCall) goja.Value { return e.vm.ToValue(e.cfg.Version) },
		"hex_md5":  e.hexMD5,
		"HexData":  e.hexData,
		"UUID":     e.uuid,
		"MD5":      e.md5,
		"__nested": e.nested,

		"bsonWoCompare":       e.bsonCompare(func(a, b bson.Raw) any { return value.CompareDocs(a, b) }),
		"bsonBinaryEqual":     e.bsonCompare(func(a, b bson.Raw) any { return string(a) == string(b) }),
		"numberDecimalsEqual": e.decimalsEqual,
		"getJSHeapLimitMB":    func(goja.FunctionCall) goja.Value { return e.vm.ToValue(maxHeap >> 20) },
	}
}

func nothing(goja.FunctionCall) goja.Value { return goja.Undefined() }

func (e *Engine) sleep(call goja.FunctionCall) goja.Value {
	ms, ok := call.Argument(0).Export().(int64)
	if f, isFloat := call.Argument(0).Export().(float64); isFloat {
		ms, ok = int64(f), true
	}
	if !ok || len(call.Arguments) != 1 {
		e.throw(mongoerr.New(16259, "sleep takes a single numeric argument -- sleep(milliseconds)"))
	}
	e.bound.sleep(time.Duration(min(ms, callTimeout.Milliseconds()+1)) * time.Millisecond)
	return goja.Undefined()
}

func (e *Engine) hexMD5(call goja.FunctionCall) goja.Value {
	if len(call.Arguments) != 1 {
		e.throw(mongoerr.New(mongoerr.BadValue, "hex_md5 takes a single string argument -- hex_md5(string)"))
	}
	sum := md5.Sum([]byte(call.Arguments[0].String()))
	return e.vm.ToValue(hex.EncodeToString(sum[:]))
}

func (e *Engine) hexData(call goja.FunctionCall) goja.Value {
	return e.special(value.Binary(byte(call.Argument(0).ToInteger()), e.digits(call.Argument(1).String())))
}

func (e *Engine) md5(call goja.FunctionCall) goja.Value {
	return e.special(value.Binary(bson.TypeBinaryMD5, e.digits(call.Argument(0).String())))
}

func (e *Engine) uuid(call goja.FunctionCall) goja.Value {
	if len(call.Arguments) == 0 {
		id := value.NewUUID()
		return e.special(value.Binary(bson.TypeBinaryUUID, id[:]))
	}
	b := e.digits(strings.ReplaceAll(call.Argument(0).String(), "-", ""))
	if len(b) != 16 {
		e.throw(mongoerr.New(mongoerr.BadValue, "UUID string must have 32 characters"))
	}
	return e.special(value.Binary(bson.TypeBinaryUUID, b))
}

func (e *Engine) digits(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		e.throw(mongoerr.New(mongoerr.BadValue, "Invalid hex string: %s", s))
	}
	return b
}

func (e *Engine) base64(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		e.throw(mongoerr.New(10270, "not base64"))
	}
	return b
}

// nested throws if a text would take a recursive parser too deep.
func (e *Engine) nested(call goja.FunctionCall) goja.Value {
	if err := checkNesting(call.Argument(0).String()); err != nil {
		e.throw(err)
	}
	return goja.Undefined()
}

func (e *Engine) bsonCompare(f func(a, b bson.Raw) any) func(goja.FunctionCall) goja.Value {
	return func(call goja.FunctionCall) goja.Value {
		var docs [2]bson.Raw
		for i := range docs {
			v, err := e.result(call.Argument(i))
			if err != nil {
				e.throw(err)
			}
			docs[i] = v.Value
		}
		return e.vm.ToValue(f(docs[0], docs[1]))
	}
}

func (e *Engine) decimalsEqual(call goja.FunctionCall) goja.Value {
	var vals [2]bson.RawValue
	for i := range vals {
		v, err := e.result(call.Argument(i))
		if err != nil {
			e.throw(err)
		}
		vals[i] = v
	}
	return e.vm.ToValue(value.Equal(vals[0], vals[1]))
}
