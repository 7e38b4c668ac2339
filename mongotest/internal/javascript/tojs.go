package javascript

import (
	"strings"

	"github.com/dop251/goja"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// toJS converts a value for scripts as the server does (ValueReader): 32-bit
// integers and doubles become numbers, arrays arrays, dates dates. Other types
// have objects of their own.
func (e *Engine) toJS(v bson.RawValue) goja.Value {
	switch v.Type {
	case bson.TypeDouble:
		return e.vm.ToValue(v.Double())
	case bson.TypeInt32:
		return e.vm.ToValue(v.Int32())
	case bson.TypeString:
		return e.vm.ToValue(strings.ToValidUTF8(v.StringValue(), "�"))
	case bson.TypeSymbol:
		return e.vm.ToValue(strings.ToValidUTF8(v.Symbol(), "�"))
	case bson.TypeBoolean:
		return e.vm.ToValue(v.Boolean())
	case 0, bson.TypeNull, bson.TypeUndefined:
		return goja.Null()
	case bson.TypeEmbeddedDocument:
		return e.document(v.Value)
	case bson.TypeArray:
		return e.array(v.Value)
	case bson.TypeDateTime:
		return e.construct("Date", e.vm.ToValue(v.DateTime()))
	case bson.TypeRegex:
		pattern, options := v.Regex()
		return e.construct("RegExp", e.vm.ToValue(pattern), e.vm.ToValue(scriptFlags(options)))
	case bson.TypeJavaScript, bson.TypeCodeWithScope:
		code, _ := sourceOf(v)
		fn, err := e.functionValue(code)
		if err != nil {
			e.throw(err)
		}
		return fn
	default:
		return e.special(v)
	}
}

func (e *Engine) array(raw bson.Raw) *goja.Object {
	var items []any
	for _, v := range value.Elements(raw) {
		items = append(items, e.toJS(v))
	}
	return e.vm.NewArray(items...)
}

// construct makes an object of one of the language's own classes.
func (e *Engine) construct(class string, args ...goja.Value) goja.Value {
	o, err := e.vm.New(e.classes[class], args...)
	if err != nil {
		e.throw(err)
	}
	return o
}

// scriptFlags leaves out the options that regular expressions of scripts do not
// have.
func scriptFlags(options string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("ims", r) {
			return r
		}
		return -1
	}, options)
}
