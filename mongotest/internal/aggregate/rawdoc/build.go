package rawdoc

import (
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// Builder appends elements to one document or array. The zero Builder is empty
// and ready.
type Builder struct {
	buf []byte
	n   int
}

// Add appends an element.
func (b *Builder) Add(key string, v bson.RawValue) {
	b.start()
	b.buf = bsoncore.AppendHeader(b.buf, bsoncore.Type(v.Type), key)
	b.buf = append(b.buf, v.Value...)
	b.n++
}

// Push appends an array element: its name is its index.
func (b *Builder) Push(v bson.RawValue) { b.Add(strconv.Itoa(b.n), v) }

// AddDoc appends an embedded document.
func (b *Builder) AddDoc(key string, doc []byte) {
	b.Add(key, bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc})
}

// AddArray appends an array given as its bytes.
func (b *Builder) AddArray(key string, arr []byte) {
	b.Add(key, bson.RawValue{Type: bson.TypeArray, Value: arr})
}

// Len returns the number of elements added.
func (b *Builder) Len() int { return b.n }

// Bytes ends the document and returns it. The Builder must not be used after.
func (b *Builder) Bytes() bson.Raw {
	b.start()
	b.buf = append(b.buf, 0)
	return bsoncore.UpdateLength(b.buf, 0, int32(len(b.buf)))
}

func (b *Builder) start() {
	if b.buf == nil {
		b.buf = make([]byte, 4, 64)
	}
}

// Array returns the array of the given values.
func Array(vals ...bson.RawValue) bson.RawValue {
	var b Builder
	for _, v := range vals {
		b.Push(v)
	}
	return bson.RawValue{Type: bson.TypeArray, Value: b.Bytes()}
}
