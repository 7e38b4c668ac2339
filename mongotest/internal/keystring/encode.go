package keystring

import (
	"bytes"
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The bytes that start each kind of value.
const (
	end           = 0x04 // after the last value of a key
	ctMinKey      = 0x0A
	ctUndefined   = 0x0F
	ctNull        = 0x14
	ctNumeric     = 0x1E // of any number, in front of a field name
	ctString      = 0x3C
	ctObject      = 0x46
	ctArray       = 0x50
	ctBinary      = 0x5A
	ctObjectID    = 0x64
	ctFalse       = 0x6E
	ctTrue        = 0x6F
	ctDate        = 0x78
	ctTimestamp   = 0x82
	ctRegex       = 0x8C
	ctDBPointer   = 0x96
	ctCode        = 0xA0
	ctCodeScope   = 0xAA
	ctMaxKey      = 0xF0
	longBinary    = 0xFF // in place of a binary's length: four more bytes hold it
	escapedNUL    = 0xFF // after a 00 that belongs to the string
	objectIDBytes = 12
)

// Append appends the encoding of one value to dst, with all bytes inverted if
// desc. It appends no end byte: the caller puts one (or any byte from 0x04 to
// 0xFE) after the last value, without which a string and one that goes on with a
// NUL are in the wrong order when descending. A missing value encodes as
// undefined.
func Append(dst []byte, v bson.RawValue, desc bool) []byte {
	start := len(dst)
	e := encoder{dst: dst}
	e.value(v)
	if desc {
		invert(e.dst[start:])
	}
	return e.dst
}

// Encode returns the key of a tuple of values, all ascending, with the end byte,
// and its type bits, nil if all are 0.
func Encode(vals []bson.RawValue) (key, bits []byte) {
	e := encoder{bits: new(typeBits)}
	for _, v := range vals {
		e.value(v)
	}
	return append(e.dst, end), e.bits.serialize()
}

type encoder struct {
	dst  []byte
	bits *typeBits // nil if not wanted
}

func (e *encoder) value(v bson.RawValue) {
	switch v.Type {
	case bson.TypeDouble, bson.TypeInt32, bson.TypeInt64, bson.TypeDecimal128:
		e.number(v)
	case bson.TypeString:
		e.bits.write(bitString, 1)
		e.text(ctString, v.Value)
	case bson.TypeSymbol:
		e.bits.write(bitSymbol, 1)
		e.text(ctString, v.Value)
	case bson.TypeJavaScript:
		e.text(ctCode, v.Value)
	case bson.TypeEmbeddedDocument:
		e.object(bson.Raw(v.Value))
	case bson.TypeArray:
		e.dst = append(e.dst, ctArray)
		for _, elem := range value.Elements(bson.Raw(v.Value)) {
			e.value(elem)
		}
		e.dst = append(e.dst, 0)
	case bson.TypeBinary:
		e.binary(v.Value)
	case bson.TypeRegex:
		e.dst = append(append(e.dst, ctRegex), v.Value...)
	case bson.TypeDBPointer:
		e.dbPointer(v.Value)
	case bson.TypeCodeWithScope:
		e.codeWithScope(v.Value)
	default:
		e.fixed(v)
	}
}

// fixed encodes values of a fixed size.
func (e *encoder) fixed(v bson.RawValue) {
	e.dst = append(e.dst, genericType(v))
	switch v.Type {
	case bson.TypeBoolean:
		if len(v.Value) > 0 && v.Value[0] != 0 {
			e.dst[len(e.dst)-1] = ctTrue
		}
	case bson.TypeObjectID:
		e.dst = append(e.dst, v.Value...)
	case bson.TypeDateTime:
		e.dst = binary.BigEndian.AppendUint64(e.dst, little(v.Value)^1<<63)
	case bson.TypeTimestamp:
		e.dst = binary.BigEndian.AppendUint64(e.dst, little(v.Value))
	default: // the type byte is all
	}
}

// text encodes a BSON string, whose bytes start with a length and end with NUL.
func (e *encoder) text(ctype byte, b []byte) {
	e.dst = append(e.dst, ctype)
	if len(b) < 5 {
		e.dst = append(e.dst, 0)
		return
	}
	b = b[4 : len(b)-1]
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			break
		}
		e.dst = append(append(e.dst, b[:i+1]...), escapedNUL)
		b = b[i+1:]
	}
	e.dst = append(append(e.dst, b...), 0)
}

// object puts each field's kind before its name, since documents compare by
// kind first.
func (e *encoder) object(doc bson.Raw) {
	e.dst = append(e.dst, ctObject)
	for name, v := range value.Elements(doc) {
		e.dst = append(e.dst, genericType(v))
		e.dst = append(append(e.dst, name...), 0)
		e.value(v)
	}
	e.dst = append(e.dst, 0)
}

func (e *encoder) binary(b []byte) {
	e.dst = append(e.dst, ctBinary)
	if len(b) < 5 {
		e.dst = append(e.dst, 0, 0)
		return
	}
	n := len(b) - 5
	if n < longBinary {
		e.dst = append(e.dst, byte(n))
	} else {
		e.dst = binary.BigEndian.AppendUint32(append(e.dst, longBinary), uint32(n))
	}
	e.dst = append(e.dst, b[4:]...)
}

func (e *encoder) dbPointer(b []byte) {
	e.dst = append(e.dst, ctDBPointer)
	if len(b) < 4+1+objectIDBytes {
		b = make([]byte, 4+1+objectIDBytes)
	}
	ns := b[4 : len(b)-objectIDBytes-1]
	e.dst = binary.BigEndian.AppendUint32(e.dst, uint32(len(ns)))
	e.dst = append(append(e.dst, ns...), b[len(b)-objectIDBytes:]...)
}

func (e *encoder) codeWithScope(b []byte) {
	code, scope, ok := bson.RawValue{Type: bson.TypeCodeWithScope, Value: b}.CodeWithScopeOK()
	if !ok {
		code, scope = "", nil
	}
	e.text(ctCodeScope, value.String(code).Value)
	e.object(scope)
}

// genericType returns the byte that stands for all values of v's kind.
func genericType(v bson.RawValue) byte {
	switch v.Type {
	case bson.TypeMinKey:
		return ctMinKey
	case bson.TypeMaxKey:
		return ctMaxKey
	case bson.TypeNull:
		return ctNull
	case bson.TypeDouble, bson.TypeInt32, bson.TypeInt64, bson.TypeDecimal128:
		return ctNumeric
	case bson.TypeString, bson.TypeSymbol:
		return ctString
	case bson.TypeEmbeddedDocument:
		return ctObject
	case bson.TypeArray:
		return ctArray
	case bson.TypeBinary:
		return ctBinary
	case bson.TypeObjectID:
		return ctObjectID
	case bson.TypeBoolean:
		return ctFalse
	case bson.TypeDateTime:
		return ctDate
	case bson.TypeTimestamp:
		return ctTimestamp
	case bson.TypeRegex:
		return ctRegex
	case bson.TypeDBPointer:
		return ctDBPointer
	case bson.TypeJavaScript:
		return ctCode
	case bson.TypeCodeWithScope:
		return ctCodeScope
	default:
		return ctUndefined
	}
}

func little(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

func invert(b []byte) {
	for i := range b {
		b[i] = ^b[i]
	}
}
