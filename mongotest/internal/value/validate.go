package value

import (
	"encoding/binary"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// MaxDepth is how deep documents and arrays may nest (the server's
// BSONDepth limit).
const MaxDepth = 200

// Validate checks the form of a document from outside: lengths, terminators,
// known types, and nesting of at most MaxDepth. Its errors are InvalidBSON, and
// Overflow for the nesting.
func Validate(doc []byte) error { return validateDoc(doc, 1) }

func validateDoc(doc []byte, depth int) error {
	if depth > MaxDepth {
		return mongoerr.New(mongoerr.Overflow, "BSONObj exceeds maximum nested object depth: %d", MaxDepth)
	}
	if len(doc) < 5 || int64(int32(binary.LittleEndian.Uint32(doc))) != int64(len(doc)) {
		return invalid("incorrect BSON length")
	}
	if doc[len(doc)-1] != 0 {
		return invalid("BSON object not terminated with EOO")
	}
	rest := doc[4:]
	for len(rest) > 1 {
		_, v, next, ok := ReadElement(rest)
		if !ok {
			return invalid("unrecognized or truncated element of type " + strconv.Itoa(int(rest[0])))
		}
		if err := validateValue(v, depth); err != nil {
			return err
		}
		rest = next
	}
	if len(rest) != 1 {
		return invalid("not enough space for EOO")
	}
	return nil
}

func validateValue(v bson.RawValue, depth int) error {
	b := v.Value
	switch v.Type {
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return validateDoc(b, depth+1)
	case bson.TypeString, bson.TypeSymbol, bson.TypeJavaScript:
		if b[len(b)-1] != 0 {
			return invalid("string not terminated")
		}
	case bson.TypeDBPointer:
		if b[len(b)-13] != 0 {
			return invalid("string not terminated")
		}
	case bson.TypeBoolean:
		if b[0] > 1 {
			return invalid("invalid boolean value")
		}
	case bson.TypeBinary:
		if b[4] == 2 && (len(b) < 9 || int64(binary.LittleEndian.Uint32(b[5:])) != int64(len(b)-9)) {
			return invalid("invalid length of old binary")
		}
	case bson.TypeCodeWithScope:
		n, ok := size(bson.TypeJavaScript, b[4:])
		if !ok || b[4+n-1] != 0 {
			return invalid("invalid code of a code with scope")
		}
		return validateDoc(b[4+n:], depth+1)
	default: // any bytes of the right size will do
	}
	return nil
}

func invalid(what string) error {
	return mongoerr.New(mongoerr.InvalidBSON, "%s", what)
}
