package value

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Compare returns the order of a and b in the server's BSON order with the
// simple collation: by canonical type, then by value. Numbers compare by their
// mathematical value across types; NaN equals itself and is the lowest number.
func Compare(a, b bson.RawValue) int {
	if c := cmp.Compare(CanonicalType(a.Type), CanonicalType(b.Type)); c != 0 {
		return c
	}
	switch a.Type {
	case bson.TypeDouble, bson.TypeInt32, bson.TypeInt64, bson.TypeDecimal128:
		return compareNumbers(a, b)
	case bson.TypeString, bson.TypeSymbol, bson.TypeJavaScript:
		return bytes.Compare(text(a.Value), text(b.Value))
	case bson.TypeEmbeddedDocument:
		return compareFields(bson.Raw(a.Value), bson.Raw(b.Value), true)
	case bson.TypeArray:
		return compareFields(bson.Raw(a.Value), bson.Raw(b.Value), false)
	case bson.TypeBinary, bson.TypeDBPointer:
		// Length first; with equal lengths the count in front is equal too.
		if c := cmp.Compare(len(a.Value), len(b.Value)); c != 0 {
			return c
		}
		return bytes.Compare(a.Value, b.Value)
	case bson.TypeObjectID, bson.TypeBoolean, bson.TypeRegex:
		return bytes.Compare(a.Value, b.Value)
	case bson.TypeDateTime:
		return cmp.Compare(int64(u64(a)), int64(u64(b)))
	case bson.TypeTimestamp:
		return cmp.Compare(u64(a), u64(b))
	case bson.TypeCodeWithScope:
		ac, as := codeAndScope(a.Value)
		bc, bs := codeAndScope(b.Value)
		if c := bytes.Compare(ac, bc); c != 0 {
			return c
		}
		return compareFields(as, bs, true)
	default:
		return 0
	}
}

// Equal reports whether Compare returns 0.
func Equal(a, b bson.RawValue) bool { return Compare(a, b) == 0 }

// Identical reports whether two values agree in type and bytes. Equal values,
// such as 1 and 1.0, need not.
func Identical(a, b bson.RawValue) bool {
	return a.Type == b.Type && bytes.Equal(a.Value, b.Value)
}

// CompareDocs compares two documents field by field, in their order: first the
// canonical type, then the name, then the value. The shorter of two documents
// that otherwise agree comes first.
func CompareDocs(a, b bson.Raw) int { return compareFields(a, b, true) }

// CompareKeys compares two documents as index or shard keys: value by value, in
// order, without looking at names.
func CompareKeys(a, b bson.Raw) int { return compareFields(a, b, false) }

func compareFields(a, b bson.Raw, names bool) int {
	ra, rb := body(a), body(b)
	for {
		ak, av, an, aok := ReadElement(ra)
		bk, bv, bn, bok := ReadElement(rb)
		switch {
		case !aok && !bok:
			return 0
		case !aok:
			return -1
		case !bok:
			return 1
		}
		if names {
			if c := cmp.Compare(CanonicalType(av.Type), CanonicalType(bv.Type)); c != 0 {
				return c
			}
			if c := bytes.Compare(ak, bk); c != 0 {
				return c
			}
		}
		if c := Compare(av, bv); c != 0 {
			return c
		}
		ra, rb = an, bn
	}
}

// text returns the bytes of a string value without its length and terminator.
func text(b []byte) []byte {
	if len(b) < 5 {
		return nil
	}
	return b[4 : len(b)-1]
}

// codeAndScope splits the value of a code with scope.
func codeAndScope(b []byte) (code []byte, scope bson.Raw) {
	if len(b) < 8 {
		return nil, nil
	}
	n, ok := size(bson.TypeJavaScript, b[4:])
	if !ok {
		return nil, nil
	}
	return text(b[4 : 4+n]), bson.Raw(b[4+n:])
}

func u64(v bson.RawValue) uint64 {
	if len(v.Value) < 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(v.Value)
}
