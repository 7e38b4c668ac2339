package changestream

import (
	"encoding/hex"
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
// 40648 for wrong types, FailedToParse for bad hex, and those of tokenOf. Format
// 0, of 4.0, is not read.
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

// tokenOf reads the decoded tuple. Each complaint has its own code, as on the
// server (resume_token.cpp).
func tokenOf(vals []bson.RawValue) (Token, error) {
	p := tuple{rest: vals}
	if len(vals) == 0 {
		return Token{}, mongoerr.New(40649, "invalid empty resume token")
	}
	t := Token{Time: p.timestamp(), Version: p.integer("version", 50796, 50854)}
	if p.err == nil && t.Version != V1 && t.Version != V2 {
		return Token{}, mongoerr.New(50795, "Invalid Resume Token: only supports version 1 or 2, got %d", t.Version)
	}
	t.Type = TokenType(p.integer("tokenType", 51055, 51056))
	if p.err == nil && t.Type != HighWaterMark && t.Type != EventToken {
		return Token{}, mongoerr.New(51057, "Token type %d not recognized", t.Type)
	}
	if t.TxnIndex = p.integer("txnOpIndex", 50793, 50855); p.err == nil && t.TxnIndex < 0 {
		return Token{}, mongoerr.New(50794, "Invalid Resume Token: txnOpIndex should be non-negative")
	}
	t.FromInvalidate = p.boolean("fromInvalidate", 50872, 50870)
	if p.err == nil && len(p.rest) == 0 && t.Version >= V2 {
		return Token{}, mongoerr.New(6189500, "Expected UUID or null")
	}
	t.UUID = p.uuid()
	t.Identifier = p.identifier(&t)
	if len(p.rest) > 0 && t.Identifier != nil && t.Version >= V2 {
		n := p.integer("fragmentNum", 7182501, 7182501)
		if p.err == nil && n < 0 {
			return Token{}, mongoerr.New(7182501, "Resume token 'fragmentNum' must be a non-negative integer.")
		}
		t.Fragment = n + 1
	}
	if p.err == nil && len(p.rest) > 0 {
		return Token{}, mongoerr.New(40646, "invalid oversized resume token")
	}
	return t, p.err
}

// tuple takes a token's values one by one and keeps the first error.
type tuple struct {
	rest []bson.RawValue
	err  error
}

// take takes the next value. absent and wrong are the errors for none, and for
// one of another type.
func (p *tuple) take(name string, want bson.Type, absent, wrong mongoerr.Code) bson.RawValue {
	switch {
	case p.err != nil:
	case len(p.rest) == 0:
		p.err = mongoerr.New(absent, "Resume Token does not contain %s", name)
	case p.rest[0].Type != want:
		p.err = mongoerr.New(wrong, "Resume Token: wrong type %s for %s", p.rest[0].Type, name)
	default:
		v := p.rest[0]
		p.rest = p.rest[1:]
		return v
	}
	return bson.RawValue{}
}

func (p *tuple) timestamp() bson.Timestamp {
	t, i, _ := p.take("clusterTime", bson.TypeTimestamp, 40649, 40649).TimestampOK()
	return bson.Timestamp{T: t, I: i}
}

func (p *tuple) integer(name string, absent, wrong mongoerr.Code) int {
	i, _ := p.take(name, bson.TypeInt32, absent, wrong).Int32OK()
	return int(i)
}

func (p *tuple) boolean(name string, absent, wrong mongoerr.Code) bool {
	b, _ := p.take(name, bson.TypeBoolean, absent, wrong).BooleanOK()
	return b
}

// uuid takes the UUID or the null that stands for none. Format 1 may end before.
func (p *tuple) uuid() value.UUID {
	if p.err != nil || len(p.rest) == 0 {
		return value.UUID{}
	}
	v := p.rest[0]
	p.rest = p.rest[1:]
	if v.Type == bson.TypeNull {
		return value.UUID{}
	}
	u, valid := value.ParseUUID(v)
	if !valid {
		p.err = mongoerr.New(mongoerr.InvalidUUID, "Resume Token holds a %s that is no UUID", v.Type)
	}
	return u
}

// identifier takes the eventIdentifier, which the tokens of events have: in
// format 1 not all of them.
func (p *tuple) identifier(t *Token) bson.Raw {
	switch {
	case p.err != nil:
	case len(p.rest) == 0 && t.Type == EventToken && t.Version >= V2:
		p.err = mongoerr.New(6189501, "Expected an eventIdentifier for an event resume token")
	case len(p.rest) == 0:
	case t.Type == HighWaterMark:
		p.err = mongoerr.New(6189504, "Invalid high water mark token")
	case p.rest[0].Type != bson.TypeEmbeddedDocument:
		p.err = mongoerr.New(6189503, "Resume Token eventIdentifier is not an object")
	default:
		return p.take("eventIdentifier", bson.TypeEmbeddedDocument, 6189501, 6189503).Document()
	}
	return nil
}
