package valuetest

import (
	"bytes"
	"encoding/binary"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// maxMended bounds how deep the documents of Mend are nested.
const maxMended = 50

// Mend makes a valid document of any bytes, so that a fuzzer that changes some in
// the middle of a document gets past those who check documents. A valid document
// of common types, not too deep, stays as it is.
func Mend(b []byte) bson.Raw {
	m := mender{rest: b}
	return bson.Raw(m.document(0))
}

type mender struct{ rest []byte }

// take returns the next n bytes, zeros where there are none.
func (m *mender) take(n int) []byte {
	out := make([]byte, n)
	m.rest = m.rest[copy(out, m.rest):]
	return out
}

func (m *mender) size() int { return int(binary.LittleEndian.Uint32(m.take(4))) }

// text returns what comes before the next zero.
func (m *mender) text() string {
	before, after, _ := bytes.Cut(m.rest, []byte{0})
	m.rest = after
	return strings.ToValidUTF8(string(before), "?")
}

func (m *mender) document(depth int) []byte {
	m.take(4)
	i, dst := bsoncore.AppendDocumentStart(nil)
	for len(m.rest) > 0 {
		t := bsoncore.Type(m.take(1)[0])
		if t == 0 {
			break
		}
		dst = m.element(dst, t, m.text(), depth)
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, i) // fails for a wrong index only
	return dst
}

func (m *mender) element(dst []byte, t bsoncore.Type, key string, depth int) []byte {
	fixed := map[bsoncore.Type]int{
		bsoncore.TypeDouble: 8, bsoncore.TypeObjectID: 12, bsoncore.TypeDateTime: 8, bsoncore.TypeNull: 0, bsoncore.TypeInt32: 4,
		bsoncore.TypeTimestamp: 8, bsoncore.TypeInt64: 8, bsoncore.TypeDecimal128: 16, bsoncore.TypeMinKey: 0, bsoncore.TypeMaxKey: 0,
	}
	switch t {
	case bsoncore.TypeEmbeddedDocument, bsoncore.TypeArray:
		if depth < maxMended {
			return append(bsoncore.AppendHeader(dst, t, key), m.document(depth+1)...)
		}
	case bsoncore.TypeString:
		n := min(max(m.size()-1, 0), len(m.rest))
		s := strings.ToValidUTF8(string(m.take(n)), "?")
		m.take(1)
		return bsoncore.AppendStringElement(dst, key, s)
	case bsoncore.TypeBinary:
		n := min(m.size(), len(m.rest))
		subtype := m.take(1)[0]
		if n = min(n, len(m.rest)); subtype == 2 {
			subtype = 0 // has a length of its own within
		}
		return bsoncore.AppendBinaryElement(dst, key, subtype, m.take(n))
	case bsoncore.TypeBoolean:
		return bsoncore.AppendBooleanElement(dst, key, m.take(1)[0] != 0)
	case bsoncore.TypeRegex:
		return bsoncore.AppendRegexElement(dst, key, m.text(), m.text())
	default:
		if n, ok := fixed[t]; ok {
			return append(bsoncore.AppendHeader(dst, t, key), m.take(n)...)
		}
	}
	return bsoncore.AppendNullElement(dst, key)
}
