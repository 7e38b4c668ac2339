package keystring

import (
	"bytes"
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Decode returns the values of a key made by Encode. Without type bits, whole
// numbers become ints (longs if they do not fit) and fractions doubles. The
// error is FailedToParse if the bytes are no such key; hostile input does no
// harm.
func Decode(key, typeBits []byte) ([]bson.RawValue, error) {
	bits, err := parseTypeBits(typeBits)
	if err != nil {
		return nil, err
	}
	d := decoder{rest: key, bits: bits}
	var vals []bson.RawValue
	for {
		ctype, err := d.byte()
		if err != nil {
			return nil, err
		}
		if ctype == end {
			break
		}
		v, err := d.value(ctype, 1)
		if err != nil {
			return nil, err
		}
		vals = append(vals, v)
	}
	if len(d.rest) > 0 {
		return nil, malformed("%d bytes after its end", len(d.rest))
	}
	return vals, nil
}

type decoder struct {
	rest []byte
	bits *typeBits
}

func (d *decoder) take(n int) ([]byte, error) {
	if n < 0 || n > len(d.rest) {
		return nil, malformed("cut off")
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b, nil
}

func (d *decoder) byte() (byte, error) {
	b, err := d.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (d *decoder) value(ctype byte, depth int) (bson.RawValue, error) {
	if depth > value.MaxDepth {
		return bson.RawValue{}, malformed("nested too deeply")
	}
	switch ctype {
	case ctString:
		s, err := d.text()
		t := bson.TypeString
		if d.bits.read(1) == bitSymbol {
			t = bson.TypeSymbol
		}
		return bson.RawValue{Type: t, Value: bsoncore.AppendString(nil, s)}, err
	case ctCode:
		s, err := d.text()
		return bson.RawValue{Type: bson.TypeJavaScript, Value: bsoncore.AppendString(nil, s)}, err
	case ctObject:
		doc, err := d.object(depth)
		return value.Doc(doc), err
	case ctArray:
		return d.array(depth)
	case ctBinary:
		return d.binary()
	case ctRegex:
		return d.regex()
	case ctDBPointer:
		return d.dbPointer()
	case ctCodeScope:
		return d.codeWithScope(depth)
	}
	if ctype >= ctNaN && ctype <= ctPositiveLarge {
		return d.number(ctype)
	}
	return d.fixed(ctype)
}

func (d *decoder) fixed(ctype byte) (bson.RawValue, error) {
	switch ctype {
	case ctMinKey:
		return value.MinKey(), nil
	case ctUndefined:
		return value.Undefined(), nil
	case ctNull:
		return value.Null(), nil
	case ctFalse, ctTrue:
		return value.Bool(ctype == ctTrue), nil
	case ctMaxKey:
		return value.MaxKey(), nil
	case ctObjectID:
		b, err := d.take(objectIDBytes)
		return bson.RawValue{Type: bson.TypeObjectID, Value: bytes.Clone(b)}, err
	case ctDate:
		u, err := d.uint64()
		return value.DateTime(int64(u ^ 1<<63)), err
	case ctTimestamp:
		u, err := d.uint64()
		return value.Timestamp(bson.Timestamp{T: uint32(u >> 32), I: uint32(u)}), err
	default:
		return bson.RawValue{}, malformed("unknown type byte %#02x", ctype)
	}
}

func (d *decoder) uint64() (uint64, error) {
	b, err := d.take(8)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

func (d *decoder) text() (string, error) {
	var s []byte
	for {
		i := bytes.IndexByte(d.rest, 0)
		if i < 0 {
			return "", malformed("a string has no end")
		}
		s = append(s, d.rest[:i]...)
		d.rest = d.rest[i+1:]
		if len(d.rest) == 0 || d.rest[0] != escapedNUL {
			return string(s), nil
		}
		s = append(s, 0)
		d.rest = d.rest[1:]
	}
}

func (d *decoder) cstring() (string, error) {
	i := bytes.IndexByte(d.rest, 0)
	b, err := d.take(i + 1)
	if err != nil || i < 0 {
		return "", malformed("a name has no end")
	}
	return string(b[:i]), nil
}

func (d *decoder) object(depth int) (bson.Raw, error) {
	i, dst := bsoncore.AppendDocumentStart(nil)
	for {
		kind, err := d.byte()
		if err != nil {
			return nil, err
		}
		if kind == 0 {
			return bsoncore.AppendDocumentEnd(dst, i)
		}
		name, err := d.cstring()
		if err != nil {
			return nil, err
		}
		ctype, err := d.byte()
		if err != nil {
			return nil, err
		}
		v, err := d.value(ctype, depth+1)
		if err != nil {
			return nil, err
		}
		if genericType(v) != kind {
			return nil, malformed("a field is of another type than announced")
		}
		dst = value.Append(dst, name, v)
	}
}

func (d *decoder) array(depth int) (bson.RawValue, error) {
	var vals []bson.RawValue
	for {
		ctype, err := d.byte()
		if err != nil {
			return bson.RawValue{}, err
		}
		if ctype == 0 {
			return value.ArrayOf(vals...), nil
		}
		v, err := d.value(ctype, depth+1)
		if err != nil {
			return bson.RawValue{}, err
		}
		vals = append(vals, v)
	}
}

func (d *decoder) binary() (bson.RawValue, error) {
	first, err := d.byte()
	if err != nil {
		return bson.RawValue{}, err
	}
	n := int(first)
	if first == longBinary {
		b, err := d.take(4)
		if err != nil {
			return bson.RawValue{}, err
		}
		n = int(int32(binary.BigEndian.Uint32(b)))
	}
	b, err := d.take(n + 1)
	if err != nil || n < 0 {
		return bson.RawValue{}, malformed("cut off")
	}
	v := binary.LittleEndian.AppendUint32(nil, uint32(n))
	return bson.RawValue{Type: bson.TypeBinary, Value: append(v, b...)}, nil
}

func (d *decoder) regex() (bson.RawValue, error) {
	pattern, err := d.cstring()
	if err != nil {
		return bson.RawValue{}, err
	}
	options, err := d.cstring()
	return value.Regex(pattern, options), err
}

func (d *decoder) dbPointer() (bson.RawValue, error) {
	b, err := d.take(4)
	if err != nil {
		return bson.RawValue{}, err
	}
	ns, err := d.take(int(int32(binary.BigEndian.Uint32(b))))
	if err != nil {
		return bson.RawValue{}, err
	}
	id, err := d.take(objectIDBytes)
	v := append(bsoncore.AppendString(nil, string(ns)), id...)
	return bson.RawValue{Type: bson.TypeDBPointer, Value: v}, err
}

func (d *decoder) codeWithScope(depth int) (bson.RawValue, error) {
	code, err := d.text()
	if err != nil {
		return bson.RawValue{}, err
	}
	if kind, err := d.byte(); err != nil || kind != ctObject {
		return bson.RawValue{}, malformed("a code has no scope")
	}
	scope, err := d.object(depth + 1)
	if err != nil {
		return bson.RawValue{}, err
	}
	v := bsoncore.AppendCodeWithScope(nil, code, scope)
	return bson.RawValue{Type: bson.TypeCodeWithScope, Value: v}, nil
}
