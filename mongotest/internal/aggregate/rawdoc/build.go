package rawdoc

import (
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// Builder appends elements to one document or array. The zero Builder is empty
// and ready.
type Builder struct {
	buf []byte
	n   int
}

// MaxSize is where a Builder stops growing: what is added later is lost. A
// caller whose sizes have no other bound must refuse a result beyond it.
const MaxSize = 100 << 20

// Add appends an element. A key ends at its first null byte, as it would when
// the document is read.
func (b *Builder) Add(key string, v bson.RawValue) {
	b.start()
	if len(b.buf) > MaxSize {
		return
	}
	if i := strings.IndexByte(key, 0); i >= 0 {
		key = key[:i]
	}
	b.buf = append(b.buf, byte(v.Type))
	b.buf = append(b.buf, key...)
	b.buf = append(b.buf, 0)
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

// Size returns the number of bytes so far.
func (b *Builder) Size() int { return len(b.buf) }

// Copy returns the document as it is now; the Builder remains usable.
func (b *Builder) Copy() bson.Raw {
	c := Builder{buf: slices.Clone(b.buf)}
	return c.Bytes()
}

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
