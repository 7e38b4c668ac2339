package storage

import (
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

const idField = "_id"

// emptyDoc returns a new empty document.
func emptyDoc() bson.Raw { return bson.Raw{5, 0, 0, 0, 0} }

// eachElement calls fn for every element of doc until fn fails.
func eachElement(doc bson.Raw, fn func(key string, v bson.RawValue) error) error {
	if !framed(doc) {
		return malformed()
	}
	for rest := []byte(doc[4 : len(doc)-1]); len(rest) > 0; {
		key, v, next, ok := value.ReadElement(rest)
		if !ok {
			return malformed()
		}
		if err := fn(string(key), v); err != nil {
			return err
		}
		rest = next
	}
	return nil
}

// framed reports whether a document's length is its own.
func framed(doc bson.Raw) bool {
	return len(doc) >= 5 && uint64(binary.LittleEndian.Uint32(doc)) == uint64(len(doc))
}

func malformed() error { return mongoerr.New(mongoerr.InvalidBSON, "malformed document") }

// finishDoc ends a document whose first four bytes were left for the length.
func finishDoc(dst []byte) bson.Raw {
	dst = append(dst, 0)
	binary.LittleEndian.PutUint32(dst, uint32(len(dst)))
	return dst
}

// with returns doc with the field set to v, at its old place or at the end.
func with(doc bson.Raw, field string, v bson.RawValue) bson.Raw {
	dst := make([]byte, 4, len(doc)+len(field)+len(v.Value)+2)
	found := false
	_ = eachElement(doc, func(key string, old bson.RawValue) error {
		if key == field {
			old, found = v, true
		}
		dst = value.Append(dst, key, old)
		return nil
	})
	if !found {
		dst = value.Append(dst, field, v)
	}
	return finishDoc(dst)
}

// without returns doc without the fields.
func without(doc bson.Raw, fields ...string) bson.Raw {
	dst := make([]byte, 4, len(doc))
	_ = eachElement(doc, func(key string, v bson.RawValue) error {
		for _, f := range fields {
			if key == f {
				return nil
			}
		}
		dst = value.Append(dst, key, v)
		return nil
	})
	return finishDoc(dst)
}

// appendDoc adds all elements of doc to an unfinished document.
func appendDoc(dst []byte, doc bson.Raw) []byte {
	if len(doc) < 5 {
		return dst
	}
	return append(dst, doc[4:len(doc)-1]...)
}

// diffOp returns the o of an update entry with a diff.
func diffOp(diff bson.Raw) bson.Raw {
	return value.D("$v", int32(2), "diff", diff)
}
