package value

import (
	"bytes"
	"encoding/binary"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Elements returns the elements of a document, or of the document form of an
// array, in order. It stops at the first damaged one.
func Elements(doc bson.Raw) iter.Seq2[string, bson.RawValue] {
	return func(yield func(string, bson.RawValue) bool) {
		rest := body(doc)
		for {
			key, v, next, ok := ReadElement(rest)
			if !ok || !yield(string(key), v) {
				return
			}
			rest = next
		}
	}
}

// ReadElement reads the first element of rest, the bytes of a document after
// its length. ok is false at the end and on damage. Key and value share rest's
// memory.
func ReadElement(rest []byte) (key []byte, v bson.RawValue, next []byte, ok bool) {
	if len(rest) < 2 || rest[0] == 0 {
		return nil, bson.RawValue{}, nil, false
	}
	t := bson.Type(rest[0])
	end := bytes.IndexByte(rest[1:], 0)
	if end < 0 {
		return nil, bson.RawValue{}, nil, false
	}
	key, rest = rest[1:1+end], rest[2+end:]
	n, ok := size(t, rest)
	if !ok {
		return nil, bson.RawValue{}, nil, false
	}
	return key, bson.RawValue{Type: t, Value: rest[:n:n]}, rest[n:], true
}

// Get returns the value of the first element of doc with the given name. Dots
// in the name have no meaning.
func Get(doc bson.Raw, name string) (bson.RawValue, bool) {
	rest := body(doc)
	for {
		key, v, next, ok := ReadElement(rest)
		if !ok {
			return bson.RawValue{}, false
		}
		if string(key) == name {
			return v, true
		}
		rest = next
	}
}

// IsEmpty reports whether doc has no elements.
func IsEmpty(doc bson.Raw) bool { return len(doc) <= 5 }

// body returns the bytes of a document after its length.
func body(doc []byte) []byte {
	if len(doc) < 5 {
		return nil
	}
	return doc[4:]
}

// size returns how many bytes at the start of b a value of type t takes.
func size(t bson.Type, b []byte) (int, bool) {
	n := -1
	switch t {
	case bson.TypeNull, bson.TypeUndefined, bson.TypeMinKey, bson.TypeMaxKey:
		n = 0
	case bson.TypeBoolean:
		n = 1
	case bson.TypeInt32:
		n = 4
	case bson.TypeDouble, bson.TypeInt64, bson.TypeDateTime, bson.TypeTimestamp:
		n = 8
	case bson.TypeObjectID:
		n = 12
	case bson.TypeDecimal128:
		n = 16
	case bson.TypeString, bson.TypeSymbol, bson.TypeJavaScript:
		n = counted(b, 4, 1)
	case bson.TypeDBPointer:
		n = counted(b, 4+12, 1)
	case bson.TypeBinary:
		n = counted(b, 5, 0)
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		n = counted(b, 0, 5)
	case bson.TypeCodeWithScope:
		n = counted(b, 0, 4+4+1+5)
	case bson.TypeRegex:
		n = regexSize(b)
	}
	if n < 0 || n > len(b) {
		return 0, false
	}
	return n, true
}

// counted returns the size of a value that starts with an int32 count of at
// least least, which leaves out extra bytes of the value.
func counted(b []byte, extra, least int) int {
	if len(b) < 4 {
		return -1
	}
	c := int64(int32(binary.LittleEndian.Uint32(b)))
	if c < int64(least) || c+int64(extra) > int64(len(b)) {
		return -1
	}
	return int(c) + extra
}

func regexSize(b []byte) int {
	p := bytes.IndexByte(b, 0)
	if p < 0 {
		return -1
	}
	o := bytes.IndexByte(b[p+1:], 0)
	if o < 0 {
		return -1
	}
	return p + o + 2
}
