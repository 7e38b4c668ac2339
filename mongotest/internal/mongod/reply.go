package mongod

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// appendFields returns doc with more fields, given as for value.D.
func appendFields(doc bson.Raw, pairs ...any) bson.Raw {
	more := value.D(pairs...)
	out := make([]byte, 0, len(doc)+len(more))
	out = append(out, doc[:len(doc)-1]...)
	out = append(out, more[4:]...)
	return bsoncore.UpdateLength(out, 0, int32(len(out)))
}

// emptyDoc is a document without fields.
func emptyDoc() bson.Raw { return value.D() }

// isEmpty reports whether doc is nil or has no fields.
func isEmpty(doc bson.Raw) bool { return len(doc) <= emptyDocLen }

// fieldCount returns the number of doc's fields.
func fieldCount(doc bson.Raw) int {
	n := 0
	for range value.Elements(doc) {
		n++
	}
	return n
}

// without returns doc without the named fields.
func without(doc bson.Raw, drop func(name string) bool) bson.Raw {
	i, dst := bsoncore.AppendDocumentStart(make([]byte, 0, len(doc)))
	for name, v := range value.Elements(doc) {
		if !drop(name) {
			dst = value.Append(dst, name, v)
		}
	}
	return endDoc(dst, i)
}

// endDoc ends a document or an array that began at index i.
func endDoc(dst []byte, i int32) []byte {
	dst = append(dst, 0)
	return bsoncore.UpdateLength(dst, i, int32(len(dst))-i)
}
