package collation

import (
	"bytes"
	"encoding/hex"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Collation compares strings by the rules of a locale; nil is the simple
// collation. It is immutable and safe for concurrent use.
type Collation struct {
	spec    settings
	doc     bson.Raw // the full form
	lang    language
	weigher sync.Pool // of *weigher
}

// Doc returns the full form, as listings show it; nil for the simple collation.
func (c *Collation) Doc() bson.Raw {
	if c == nil {
		return nil
	}
	return c.doc
}

// Same reports whether both compare alike, which the server takes to mean that
// all their settings are equal.
func (c *Collation) Same(o *Collation) bool {
	if c == nil || o == nil {
		return c == o
	}
	return c == o || c.spec == o.spec
}

// Compare is value.Compare with strings compared by the collation, also those
// inside of documents and arrays. Names of fields are compared by their bytes,
// and so are symbols and code.
func (c *Collation) Compare(a, b bson.RawValue) int {
	if c == nil || !collatable(a.Type) || !collatable(b.Type) {
		return value.Compare(a, b)
	}
	if a.Type == b.Type && bytes.Equal(a.Value, b.Value) {
		return 0
	}
	return value.Compare(c.Key(a), c.Key(b))
}

// Equal reports whether Compare returns 0.
func (c *Collation) Equal(a, b bson.RawValue) bool { return c.Compare(a, b) == 0 }

// Key returns v with comparison keys instead of its strings: value.Compare of
// two keys is Compare of the values. Index keys and sort keys are made of it.
func (c *Collation) Key(v bson.RawValue) bson.RawValue {
	if c == nil || !collatable(v.Type) {
		return v
	}
	w := c.weigher.Get().(*weigher)
	defer c.weigher.Put(w)
	return c.key(w, v)
}

// Shown is the comparison key of a string in the form of the server's messages.
func (c *Collation) Shown(v bson.RawValue) string {
	k := c.Key(v).Value
	return "CollationKey(0x" + hex.EncodeToString(k[4:len(k)-1]) + ")"
}

func (c *Collation) key(w *weigher, v bson.RawValue) bson.RawValue {
	switch v.Type {
	case bson.TypeString:
		s, _ := v.StringValueOK()
		return value.String(string(c.append(w, w.out[:0], s)))
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		if !HasStrings(v) {
			return v
		}
		dst := make([]byte, 4, 2*len(v.Value))
		for name, e := range value.Elements(bson.Raw(v.Value)) {
			dst = value.Append(dst, name, c.key(w, e))
		}
		return bson.RawValue{Type: v.Type, Value: finish(dst)}
	default:
		return v
	}
}

// collatable reports whether values of the type can hold strings.
func collatable(t bson.Type) bool {
	return t == bson.TypeString || t == bson.TypeEmbeddedDocument || t == bson.TypeArray
}

// HasStrings reports whether v is or contains a string, so that a collation
// makes a difference to it.
func HasStrings(v bson.RawValue) bool {
	switch v.Type {
	case bson.TypeString:
		return true
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		for _, e := range value.Elements(bson.Raw(v.Value)) {
			if HasStrings(e) {
				return true
			}
		}
	default:
	}
	return false
}

// finish writes the terminator and the length of a document whose first four
// bytes are free.
func finish(dst []byte) bson.Raw {
	dst = append(dst, 0)
	n := uint32(len(dst))
	dst[0], dst[1], dst[2], dst[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	return dst
}
