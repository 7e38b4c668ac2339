package javascript

import (
	"math"
	"strconv"

	"github.com/dop251/goja"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// constructors are those of the special types.
func (e *Engine) constructors() map[kind]func(args []goja.Value) *goja.Object {
	return map[kind]func(args []goja.Value) *goja.Object{
		kindObjectID:  e.newObjectID,
		kindLong:      func(args []goja.Value) *goja.Object { return e.special(value.Int64(e.long(args))) },
		kindInt:       func(args []goja.Value) *goja.Object { return e.special(value.Int32(int32(e.long(args)))) },
		kindDecimal:   e.newDecimal,
		kindBinData:   e.newBinData,
		kindTimestamp: e.newTimestamp,
		kindMinKey:    func([]goja.Value) *goja.Object { return e.special(value.MinKey()) },
		kindMaxKey:    func([]goja.Value) *goja.Object { return e.special(value.MaxKey()) },
		kindDBPointer: e.newDBPointer,
		kindDBRef:     e.newDBRef,
		kindCode:      e.newCode,
	}
}

func arg(args []goja.Value, i int) goja.Value {
	if i >= len(args) {
		return goja.Undefined()
	}
	return args[i]
}

func (e *Engine) newObjectID(args []goja.Value) *goja.Object {
	if len(args) == 0 {
		return e.special(value.ObjectID(bson.NewObjectID()))
	}
	id, err := bson.ObjectIDFromHex(arg(args, 0).String())
	if err != nil {
		e.throw(mongoerr.New(mongoerr.BadValue, "invalid object id: length"))
	}
	return e.special(value.ObjectID(id))
}

// long reads a number from a number or its digits.
func (e *Engine) long(args []goja.Value) int64 {
	switch x := arg(args, 0).Export().(type) {
	case nil:
		return 0
	case string:
		i, err := strconv.ParseInt(x, 10, 64)
		if err != nil {
			e.throw(mongoerr.New(mongoerr.FailedToParse, "Did not consume whole string."))
		}
		return i
	case *special:
		if i, ok := value.AsInt64(x.value); ok {
			return i
		}
	case int64:
		return x
	}
	f := arg(args, 0).ToFloat()
	switch {
	case math.IsNaN(f):
		return 0
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	default:
		return int64(f)
	}
}

func (e *Engine) newDecimal(args []goja.Value) *goja.Object {
	text := "0"
	if len(args) > 0 {
		text = args[0].String()
	}
	if s, ok := arg(args, 0).Export().(*special); ok {
		if s.value.Type == bson.TypeDecimal128 {
			return e.special(s.value)
		}
		text = strconv.FormatInt(e.long(args), 10)
	}
	d, err := bson.ParseDecimal128(text)
	if err != nil {
		e.throw(mongoerr.New(mongoerr.BadValue, "Input is not a valid Decimal128 value."))
	}
	return e.special(value.Decimal(d))
}

func (e *Engine) newBinData(args []goja.Value) *goja.Object {
	if len(args) != 2 {
		e.throw(mongoerr.New(mongoerr.BadValue, "BinData takes 2 arguments -- BinData(subtype,data)"))
	}
	sub := args[0].ToInteger()
	if sub < 0 || sub > 255 {
		e.throw(mongoerr.New(mongoerr.BadValue, "BinData subtype must be between 0 and 255"))
	}
	return e.special(value.Binary(byte(sub), e.base64(args[1].String())))
}

func (e *Engine) newTimestamp(args []goja.Value) *goja.Object {
	if len(args) != 0 && len(args) != 2 {
		e.throw(mongoerr.New(mongoerr.BadValue, "Timestamp needs 0 or 2 arguments"))
	}
	var parts [2]uint32
	for i := range args {
		f := args[i].ToFloat()
		if !(f >= 0 && f <= math.MaxUint32) {
			e.throw(mongoerr.New(mongoerr.BadValue, "Timestamp time and increment must be numbers between 0 and %d", uint32(math.MaxUint32)))
		}
		parts[i] = uint32(f)
	}
	return e.special(value.Timestamp(bson.Timestamp{T: parts[0], I: parts[1]}))
}

func (e *Engine) newDBPointer(args []goja.Value) *goja.Object {
	id, ok := arg(args, 1).Export().(*special)
	if len(args) != 2 || !ok || id.value.Type != bson.TypeObjectID {
		e.throw(mongoerr.New(mongoerr.BadValue, "DBPointer needs 2 arguments, a namespace and an ObjectId"))
	}
	return e.special(bson.RawValue{Type: bson.TypeDBPointer, Value: bsoncore.AppendDBPointer(nil, args[0].String(), id.value.ObjectID())})
}

func (e *Engine) newDBRef(args []goja.Value) *goja.Object {
	if len(args) != 2 && len(args) != 3 {
		e.throw(mongoerr.New(mongoerr.BadValue, "DBRef needs 2 or 3 arguments"))
	}
	d := &document{e: e, raw: value.D()}
	for i, name := range []string{"$ref", "$id", "$db"}[:len(args)] {
		d.Set(name, args[i])
	}
	o := e.vm.NewDynamicObject(d)
	_ = o.SetPrototype(e.kinds[kindDBRef]) // fails for objects that may not be extended
	return o
}

func (e *Engine) newCode(args []goja.Value) *goja.Object {
	code := ""
	if len(args) > 0 {
		code = args[0].String()
	}
	if len(args) < 2 {
		return e.special(bson.RawValue{Type: bson.TypeJavaScript, Value: bsoncore.AppendJavaScript(nil, code)})
	}
	scope, err := e.result(args[1])
	if err != nil {
		e.throw(err)
	}
	if scope.Type != bson.TypeEmbeddedDocument {
		e.throw(mongoerr.New(mongoerr.BadValue, "code scope must be an object"))
	}
	return e.special(bson.RawValue{Type: bson.TypeCodeWithScope, Value: bsoncore.AppendCodeWithScope(nil, code, bsoncore.Document(scope.Value))})
}
