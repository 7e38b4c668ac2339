package changestream

import (
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/keystring"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// An eventToken is the token of an event while the event is made. It has its
// encoded form beside what is needed to encode the invalidate token.
type eventToken struct {
	Token
	time     bson.Timestamp
	data     string
	typeBits []byte
}

func newEventToken(d *draft, op *operation, version int) eventToken {
	t := eventToken{time: op.visible.TS, Token: Token{
		Time: op.visible.TS, Version: version, Type: EventToken, TxnIndex: op.txnIndex, UUID: d.uuid,
	}}
	if d.isCRUD() && isPlain(d.documentKey) {
		t.data = encodeCRUD(&t.Token, d.kind, d.documentKey)
		return t
	}
	t.Identifier = d.identifier(version)
	t.data, t.typeBits = t.Encode()
	return t
}

// invalidate makes t the token of the invalidate event that follows.
func (t *eventToken) invalidate() {
	t.FromInvalidate = true
	t.data, t.typeBits = t.Encode()
}

// isPlain reports whether the values of doc need no type bits, which is so for
// all but some numbers and symbols. Only the common types count as plain.
func isPlain(doc bson.Raw) bool {
	for _, v := range value.Elements(doc) {
		if t := v.Type; t != bson.TypeObjectID && t != bson.TypeString && t != bson.TypeInt32 &&
			t != bson.TypeBinary && t != bson.TypeDateTime && t != bson.TypeBoolean {
			return false
		}
	}
	return true
}

// The bytes of the key string format that encodeCRUD writes itself.
const (
	keyZero      = 0x29
	keyPositive  = 0x2B // an integer of one byte; +1 for each byte more
	keyNull      = 0x14
	keyString    = 0x3C
	keyObject    = 0x46
	keyBinary    = 0x5A
	keyFalse     = 0x6E
	keyTimestamp = 0x82
	keyEnd       = 0x04
)

// encodeCRUD is Token.Encode for the events of single documents with a plain
// documentKey. Streams spend most of their time on these.
func encodeCRUD(t *Token, kind string, documentKey bson.Raw) string {
	dst := make([]byte, 0, 128+len(documentKey))
	dst = append(dst, keyTimestamp)
	dst = binary.BigEndian.AppendUint32(dst, t.Time.T)
	dst = binary.BigEndian.AppendUint32(dst, t.Time.I)
	dst = appendKeyInt(dst, t.Version)
	dst = appendKeyInt(dst, int(EventToken))
	dst = appendKeyInt(dst, t.TxnIndex)
	dst = append(dst, keyFalse)
	switch {
	case !t.UUID.IsZero():
		dst = append(dst, keyBinary, byte(len(t.UUID)), 4)
		dst = append(dst, t.UUID[:]...)
	case t.Version >= V2:
		dst = append(dst, keyNull)
	}
	if t.Version >= V2 {
		dst = append(dst, keyObject, keyString)
		dst = append(dst, "operationType\x00"...)
		dst = append(dst, keyString)
		dst = append(dst, kind...)
		dst = append(dst, 0, keyObject)
		dst = append(dst, "documentKey\x00"...)
	}
	dst = keystring.Append(dst, value.Doc(documentKey), false)
	if t.Version >= V2 {
		dst = append(dst, 0)
	}
	return upperHex(append(dst, keyEnd))
}

// appendKeyInt appends a non-negative integer.
func appendKeyInt(dst []byte, n int) []byte {
	if n == 0 {
		return append(dst, keyZero)
	}
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], uint64(n)<<1)
	skip := 0
	for be[skip] == 0 {
		skip++
	}
	dst = append(dst, byte(keyPositive+7-skip))
	return append(dst, be[skip:]...)
}

func upperHex(b []byte) string {
	const digits = "0123456789ABCDEF"
	dst := make([]byte, 2*len(b))
	for i, x := range b {
		dst[2*i], dst[2*i+1] = digits[x>>4], digits[x&15]
	}
	return string(dst)
}
