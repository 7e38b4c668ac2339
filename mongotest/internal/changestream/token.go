package changestream

import (
	"encoding/hex"
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/keystring"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A TokenType says what a resume token stands for.
type TokenType int32

// The token types. Their values are part of the encoding.
const (
	HighWaterMark TokenType = 0   // a time; it sorts before every event at that time
	EventToken    TokenType = 128 // one event
)

// The formats of resume tokens. Servers before 7.0 make V1, later ones V2.
const (
	V1 = 1
	V2 = 2
)

// A Token is a decoded resume token. Comparing two tokens means comparing their
// encoded forms; see CompareTokens.
type Token struct {
	Time           bson.Timestamp
	Version        int // V1 or V2
	Type           TokenType
	TxnIndex       int  // index of the operation in its transaction
	FromInvalidate bool // the invalidate event that follows the event
	UUID           value.UUID
	Identifier     bson.Raw // nil if absent
	Fragment       int      // 1 for the first part of a split event; 0 if not split
}

// HighWater returns the token that stands for the time ts itself: resuming
// after it returns every event at ts or later.
func HighWater(ts bson.Timestamp, version int) Token {
	return Token{Time: ts, Version: version, Type: HighWaterMark}
}

// Encode returns the _data string and the _typeBits of the token; typeBits is
// nil if they are all zero and the field is left out.
func (t Token) Encode() (data string, typeBits []byte) {
	vals := make([]bson.RawValue, 0, 8)
	vals = append(vals, value.Timestamp(t.Time), value.Int32(int32(t.Version)), value.Int32(int32(t.Type)),
		value.Int32(int32(t.TxnIndex)), value.Bool(t.FromInvalidate))
	switch {
	case !t.UUID.IsZero():
		vals = append(vals, value.Binary(4, t.UUID[:]))
	case t.Version >= V2:
		vals = append(vals, value.Null())
	}
	if t.Identifier != nil {
		vals = append(vals, value.Doc(t.Identifier))
	}
	if t.Fragment > 0 {
		vals = append(vals, value.Int32(int32(t.Fragment-1)))
	}
	key, typeBits := keystring.Encode(vals)
	return upperHex(key), typeBits
}

// BSON returns the token as clients see it: {_data, _typeBits?}.
func (t Token) BSON() bson.Raw { return tokenDoc(t.Encode()) }

func tokenDoc(data string, typeBits []byte) bson.Raw {
	if typeBits == nil {
		return value.D("_data", data)
	}
	return value.D("_data", data, "_typeBits", value.Binary(0, typeBits))
}

// withoutFragment returns the token of the whole event that t is a part of.
func (t Token) withoutFragment() Token {
	t.Fragment = 0
	return t
}

// data returns the _data string alone.
func (t Token) data() string {
	data, _ := t.Encode()
	return data
}

// CompareTokens orders two token documents as a mongos does: by _data as a
// string, then by _typeBits.
func CompareTokens(a, b bson.Raw) int {
	ad, at := tokenParts(a)
	bd, bt := tokenParts(b)
	if c := strings.Compare(ad, bd); c != 0 {
		return c
	}
	return strings.Compare(string(at), string(bt))
}

func tokenParts(doc bson.Raw) (data string, typeBits []byte) {
	data, _ = doc.Lookup("_data").StringValueOK()
	_, typeBits, _ = doc.Lookup("_typeBits").BinaryOK()
	return data, typeBits
}

// ParseToken decodes a token document. The errors are the server's: 40647 and
// 40648 for wrong types, FailedToParse for bad hex, 50795 for unknown versions,
// 40646 and 40649 for tokens that hold something else.
func ParseToken(doc bson.Raw) (Token, error) {
	data, ok := doc.Lookup("_data").StringValueOK()
	if !ok {
		return Token{}, mongoerr.New(40647, "Bad resume token: _data of missing or of wrong type %s", doc)
	}
	var typeBits []byte
	if v, err := doc.LookupErr("_typeBits"); err == nil {
		if _, typeBits, ok = v.BinaryOK(); !ok {
			return Token{}, mongoerr.New(40648, "Bad resume token: _typeBits of wrong type %s", doc)
		}
	}
	key, err := hex.DecodeString(data)
	if err != nil {
		return Token{}, mongoerr.New(mongoerr.FailedToParse, "resume token string was not a valid hex string")
	}
	if len(key) == 0 {
		return Token{}, mongoerr.New(40649, "invalid empty resume token")
	}
	vals, err := keystring.Decode(key, typeBits)
	if err != nil {
		return Token{}, mongoerr.New(mongoerr.InvalidResumeToken, "resume token cannot be decoded: %v", err)
	}
	return tokenOf(vals)
}

// tokenOf reads the decoded tuple.
func tokenOf(vals []bson.RawValue) (Token, error) {
	p := tuple{rest: vals}
	t := Token{Time: p.timestamp(), Version: p.integer()}
	if p.err == nil && t.Version != V1 && t.Version != V2 {
		return Token{}, mongoerr.New(50795, "Invalid Resume Token: only supports version 1 or 2, got %d", t.Version)
	}
	t.Type = TokenType(p.integer())
	if p.err == nil && t.Type != HighWaterMark && t.Type != EventToken {
		return Token{}, mongoerr.New(51055, "Resume Token type must be HighWaterMark or Event, got %d", t.Type)
	}
	t.TxnIndex = p.integer()
	t.FromInvalidate = p.boolean()
	t.UUID = p.uuid()
	if v, ok := p.optional(bson.TypeEmbeddedDocument); ok {
		t.Identifier = v.Document()
	}
	if v, ok := p.optional(bson.TypeInt32); ok && t.Version >= V2 {
		t.Fragment = int(v.Int32()) + 1
	}
	switch {
	case p.err != nil:
		return Token{}, p.err
	case len(p.rest) > 0:
		return Token{}, mongoerr.New(40646, "invalid oversized resume token")
	case t.Version == V2 && t.Type == EventToken && t.Identifier == nil:
		return Token{}, mongoerr.New(mongoerr.InvalidResumeToken, "Resume Token of an event has no eventIdentifier")
	}
	return t, nil
}

// tuple takes a token's values one by one and keeps the first error.
type tuple struct {
	rest []bson.RawValue
	err  error
}

func (p *tuple) take(types ...bson.Type) bson.RawValue {
	if p.err != nil {
		return bson.RawValue{}
	}
	if len(p.rest) == 0 {
		p.err = mongoerr.New(40649, "Resume Token is too short")
		return bson.RawValue{}
	}
	v := p.rest[0]
	for _, t := range types {
		if v.Type == t {
			p.rest = p.rest[1:]
			return v
		}
	}
	p.err = mongoerr.New(40649, "Resume Token holds a %s where it must hold a %s", v.Type, types[0])
	return bson.RawValue{}
}

func (p *tuple) timestamp() bson.Timestamp {
	t, i, _ := p.take(bson.TypeTimestamp).TimestampOK()
	return bson.Timestamp{T: t, I: i}
}

func (p *tuple) integer() int {
	i, ok := value.AsInt64(p.take(bson.TypeInt32, bson.TypeInt64, bson.TypeDouble))
	if p.err == nil && (!ok || i < 0 || i > math.MaxInt32) {
		p.err = mongoerr.New(40649, "Resume Token holds the integer %d, which is out of range", i)
	}
	return int(i)
}

func (p *tuple) boolean() bool {
	b, _ := p.take(bson.TypeBoolean).BooleanOK()
	return b
}

// uuid takes the UUID, or the null that stands for none, if either is there.
func (p *tuple) uuid() value.UUID {
	if v, ok := p.optional(bson.TypeBinary); ok {
		u, valid := value.ParseUUID(v)
		if !valid {
			p.err = mongoerr.New(40649, "Resume Token holds a binary that is no UUID")
		}
		return u
	}
	p.optional(bson.TypeNull)
	return value.UUID{}
}

// optional takes the next value if it has the type.
func (p *tuple) optional(t bson.Type) (bson.RawValue, bool) {
	if p.err != nil || len(p.rest) == 0 || p.rest[0].Type != t {
		return bson.RawValue{}, false
	}
	v := p.rest[0]
	p.rest = p.rest[1:]
	return v, true
}
