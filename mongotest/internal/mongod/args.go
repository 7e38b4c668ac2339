package mongod

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// args reads the fields of a command, or of one statement of it. The first
// error sticks: read everything, then look at err.
type args struct {
	name string // of the command, for messages
	body bson.Raw
	err  error
}

func (op *operation) args() *args { return &args{name: op.req.Name, body: op.req.Body} }

func (a *args) lookup(field string) bson.RawValue { return a.body.Lookup(field) }

// has reports whether field is there; null counts as missing.
func (a *args) has(field string) bool {
	t := a.body.Lookup(field).Type
	return t != 0 && t != bson.TypeNull && t != bson.TypeUndefined
}

// mismatch records that field has the wrong type.
func (a *args) mismatch(field, want string, v bson.RawValue) {
	if a.err == nil {
		a.err = mongoerr.New(mongoerr.TypeMismatch, "BSON field '%s.%s' is the wrong type '%s', expected type '%s'",
			a.name, field, value.TypeName(v.Type), want)
	}
}

// fail records err unless an earlier one is there.
func (a *args) fail(code mongoerr.Code, format string, params ...any) {
	if a.err == nil {
		a.err = mongoerr.New(code, format, params...)
	}
}

func (a *args) int64(field string, def int64) int64 {
	v := a.lookup(field)
	if v.Type == 0 || v.Type == bson.TypeNull {
		return def
	}
	i, ok := value.AsInt64(v)
	if !ok {
		a.mismatch(field, "long", v)
	}
	return i
}

// count reads an integer that must not be negative.
func (a *args) count(field string, def int64) int64 {
	i := a.int64(field, def)
	if i < 0 {
		a.fail(51024, "BSON field '%s' value must be >= 0, actual value '%d'", field, i)
	}
	return i
}

func (a *args) bool(field string, def bool) bool {
	v := a.lookup(field)
	switch v.Type {
	case 0, bson.TypeNull:
		return def
	case bson.TypeBoolean:
		return v.Boolean()
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
		return value.Truthy(v)
	default:
		a.mismatch(field, "bool", v)
		return def
	}
}

func (a *args) string(field string) string {
	if !a.has(field) {
		return ""
	}
	v := a.lookup(field)
	s, ok := v.StringValueOK()
	if !ok {
		a.mismatch(field, "string", v)
	}
	return s
}

// doc reads a document; nil if it is missing.
func (a *args) doc(field string) bson.Raw {
	v := a.lookup(field)
	if v.Type == 0 || v.Type == bson.TypeNull {
		return nil
	}
	d, ok := v.DocumentOK()
	if !ok {
		a.mismatch(field, "object", v)
	}
	return d
}

// values reads an array; nil if it is missing.
func (a *args) values(field string) []bson.RawValue {
	v := a.lookup(field)
	if v.Type == 0 || v.Type == bson.TypeNull {
		return nil
	}
	arr, ok := v.ArrayOK()
	if !ok {
		a.mismatch(field, "array", v)
		return nil
	}
	vals, err := arr.Values()
	if err != nil {
		a.fail(mongoerr.InvalidBSON, "field %s: %v", field, err)
	}
	return vals
}

// docs reads an array of documents; nulls in it are passed over.
func (a *args) docs(field string) []bson.Raw {
	vals := a.values(field)
	out := make([]bson.Raw, 0, len(vals))
	for _, v := range vals {
		d, ok := v.DocumentOK()
		if v.Type == bson.TypeNull {
			continue
		}
		if !ok {
			a.mismatch(field, "object", v)
			return nil
		}
		out = append(out, d)
	}
	return out
}

// timestamp reads a timestamp; zero if it is missing.
func (a *args) timestamp(field string) bson.Timestamp {
	if !a.has(field) {
		return bson.Timestamp{}
	}
	v := a.lookup(field)
	t, i, ok := v.TimestampOK()
	if !ok {
		a.mismatch(field, "timestamp", v)
	}
	return bson.Timestamp{T: t, I: i}
}

// emptyDocLen is the length of a document without fields.
const emptyDocLen = 5

// refuse fails if field is set to anything but false: the option would change
// the result and is not supported.
func (a *args) refuse(fields ...string) {
	for _, f := range fields {
		if v := a.lookup(f); v.Type != 0 && value.Truthy(v) {
			a.fail(mongoerr.CommandNotSupported, "option '%s' of %s is not supported", f, a.name)
		}
	}
}
