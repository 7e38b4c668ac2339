package update

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// compiler completes an op from the argument that the update gives it.
type compiler func(o *op, path string, arg bson.RawValue) error

// compilers are the modifiers an update may have.
var compilers = map[string]compiler{
	"$set": compileSet, "$setOnInsert": compileSet, "$unset": compileUnset, "$rename": compileRename,
	"$inc": compileInc, "$mul": compileMul, "$min": compileMin, "$max": compileMax,
	"$currentDate": compileCurrentDate, "$bit": compileBit,
	"$push": compilePush, "$addToSet": compileAddToSet, "$pop": compilePop,
	"$pull": compilePull, "$pullAll": compilePullAll,
}

func compileSet(o *op, _ string, arg bson.RawValue) error {
	o.leaf = func(target) (outcome, error) { return putValue(arg) }
	return nil
}

func compileUnset(o *op, _ string, _ bson.RawValue) error {
	o.creates = false
	o.leaf = func(target) (outcome, error) { return outcome{act: drop}, nil }
	return nil
}

func compileInc(o *op, path string, arg bson.RawValue) error {
	if !number.Is(arg) {
		return mongoerr.New(mongoerr.TypeMismatch, "Cannot increment with non-numeric argument: {%s}", rawdoc.RenderElement(path, arg))
	}
	o.leaf = func(t target) (outcome, error) {
		if t.missing() {
			return putValue(arg)
		}
		return t.compute(arg, number.Add)
	}
	return nil
}

func compileMul(o *op, path string, arg bson.RawValue) error {
	if !number.Is(arg) {
		return mongoerr.New(mongoerr.TypeMismatch, "Cannot multiply with non-numeric argument: {%s}", rawdoc.RenderElement(path, arg))
	}
	o.leaf = func(t target) (outcome, error) {
		if t.missing() {
			zero, _ := number.Mul(value.Int32(0), arg) // of the argument's type; it fits
			return putValue(zero)
		}
		return t.compute(arg, number.Mul)
	}
	return nil
}

func (t target) compute(arg bson.RawValue, f func(a, b bson.RawValue) (bson.RawValue, bool)) (outcome, error) {
	if !number.Is(t.cur) {
		return outcome{}, mongoerr.New(mongoerr.TypeMismatch, "Cannot apply %s to a value of non-numeric type. %s has the field '%s' of non-numeric type %s", t.op.modifier, t.run.id(), t.key, rawdoc.TypeName(t.cur.Type))
	}
	v, fits := f(t.cur, arg)
	if !fits {
		return outcome{}, mongoerr.New(mongoerr.BadValue, "Failed to apply %s operations to current value (%s) for document %s", t.op.modifier, typed(t.cur), t.run.id())
	}
	if v.Type == t.cur.Type && value.Equal(v, t.cur) {
		return outcome{}, nil // a zero keeps its sign, a decimal its digits
	}
	return putValue(v)
}

// typed shows a number with its type, as overflow messages do.
func typed(v bson.RawValue) string {
	if v.Type == bson.TypeInt64 {
		return "(NumberLong)" + rawdoc.Render(v)
	}
	return "(NumberInt)" + rawdoc.Render(v)
}

func compileMin(o *op, _ string, arg bson.RawValue) error { return compileExtreme(o, arg, -1) }
func compileMax(o *op, _ string, arg bson.RawValue) error { return compileExtreme(o, arg, 1) }

func compileExtreme(o *op, arg bson.RawValue, sign int) error {
	o.leaf = func(t target) (outcome, error) {
		if t.missing() || o.opts.Collation.Compare(arg, t.cur)*sign > 0 {
			return putValue(arg)
		}
		return outcome{}, nil
	}
	return nil
}

func compileCurrentDate(o *op, _ string, arg bson.RawValue) error {
	stamp := false
	switch arg.Type {
	case bson.TypeBoolean:
	case bson.TypeEmbeddedDocument:
		for k, v := range value.Elements(arg.Value) {
			if k != "$type" {
				return mongoerr.New(mongoerr.BadValue, "Unrecognized $currentDate option: %s", k)
			}
			kind, _ := v.StringValueOK()
			if kind != "date" && kind != "timestamp" {
				return mongoerr.New(mongoerr.BadValue, "The '$type' string field is required to be 'date' or 'timestamp': {$currentDate: {field : {$type: 'date'}}}")
			}
			stamp = kind == "timestamp"
		}
	default:
		return mongoerr.New(mongoerr.BadValue, "%s is not valid type for $currentDate. Please use a boolean ('true') or a $type expression ({$type: 'timestamp/date'}).", rawdoc.TypeName(arg.Type))
	}
	o.leaf = func(t target) (outcome, error) {
		if stamp {
			return putValue(value.Timestamp(t.run.ops.opts.timestamp()))
		}
		return putValue(value.DateTime(t.run.ops.opts.now().UnixMilli()))
	}
	return nil
}

func compileBit(o *op, _ string, arg bson.RawValue) error {
	if arg.Type != bson.TypeEmbeddedDocument {
		return mongoerr.New(mongoerr.BadValue, "The $bit modifier is not compatible with a %s. You must pass in an embedded document: {$bit: {field: {and/or/xor: #}}", rawdoc.TypeName(arg.Type))
	}
	if value.IsEmpty(arg.Value) {
		return mongoerr.New(mongoerr.BadValue, "You must pass in at least one bitwise operation. The format is: {$bit: {field: {and/or/xor: #}}")
	}
	for k, v := range value.Elements(arg.Value) {
		if k != "and" && k != "or" && k != "xor" {
			return mongoerr.New(mongoerr.BadValue, "The $bit modifier only supports 'and', 'or', and 'xor', not '%s' which is an unknown operator: {%s}", k, rawdoc.RenderElement(k, v))
		}
		if v.Type != bson.TypeInt32 && v.Type != bson.TypeInt64 {
			return mongoerr.New(mongoerr.BadValue, "The $bit modifier field must be an Integer(32/64 bit); a '%s' is not supported here: {%s}", rawdoc.TypeName(v.Type), rawdoc.RenderElement(k, v))
		}
	}
	o.leaf = func(t target) (outcome, error) { return t.bits(arg.Value) }
	return nil
}

func (t target) bits(spec bson.Raw) (outcome, error) {
	if t.missing() {
		t.cur = value.Int32(0)
	}
	if t.cur.Type != bson.TypeInt32 && t.cur.Type != bson.TypeInt64 {
		return outcome{}, mongoerr.New(mongoerr.BadValue, "Cannot apply $bit to a value of non-integral type.%s has the field %s of non-integer type %s", t.run.id(), t.key, rawdoc.TypeName(t.cur.Type))
	}
	kind := t.cur.Type
	n, _ := number.Int(t.cur)
	for k, v := range value.Elements(spec) {
		x, _ := number.Int(v)
		kind = number.Wider(kind, v.Type)
		switch k {
		case "and":
			n &= x
		case "or":
			n |= x
		case "xor":
			n ^= x
		}
	}
	return putValue(number.Integer(n, kind))
}
