package update

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// node is one element of a document under change. Its children are read from
// the bytes only when a path leads through it; what is never opened is copied
// as it was.
type node struct {
	key  string
	val  bson.RawValue // the bytes; stale once open
	kids []*node
	open bool
}

func newRoot(doc bson.Raw) *node { return &node{val: value.Doc(doc)} }

// newObject returns an empty embedded document.
func newObject(key string) *node {
	return &node{key: key, val: bson.RawValue{Type: bson.TypeEmbeddedDocument}, open: true}
}

func (n *node) isObject() bool { return n.val.Type == bson.TypeEmbeddedDocument }
func (n *node) isArray() bool  { return n.val.Type == bson.TypeArray }

// children opens n, which is a document or an array.
func (n *node) children() []*node {
	if n.open {
		return n.kids
	}
	n.open = true
	for k, v := range value.Elements(n.val.Value) {
		n.kids = append(n.kids, &node{key: k, val: v})
	}
	return n.kids
}

// child finds a document's field or an array's element; nil if there is none.
func (n *node) child(comp string) *node {
	switch {
	case n.isObject():
		for _, k := range n.children() {
			if k.key == comp {
				return k
			}
		}
	case n.isArray():
		if i, ok := value.ArrayIndex(comp); ok && i < len(n.children()) {
			return n.kids[i]
		}
	}
	return nil
}

// set replaces the node's value.
func (n *node) set(v bson.RawValue) {
	n.val, n.kids, n.open = v, nil, false
}

// remove takes a field out of a document; an array's element becomes null so
// that the others keep their places.
func (n *node) remove(k *node) {
	if n.isArray() {
		k.set(value.Null())
		return
	}
	for i, c := range n.children() {
		if c == k {
			n.kids = append(n.kids[:i:i], n.kids[i+1:]...)
			return
		}
	}
}

// value returns the node's present value.
func (n *node) value() bson.RawValue {
	if !n.open {
		return n.val
	}
	return bson.RawValue{Type: n.val.Type, Value: n.encode(nil)}
}

func (n *node) encode(dst []byte) []byte {
	start, dst := bsoncore.ReserveLength(dst)
	for i, k := range n.kids {
		name := k.key
		if n.isArray() {
			name = value.IndexName(i)
		}
		dst = bsoncore.AppendHeader(dst, bsoncore.Type(k.val.Type), name)
		if k.open {
			dst = k.encode(dst)
		} else {
			dst = append(dst, k.val.Value...)
		}
	}
	dst = append(dst, 0)
	return bsoncore.UpdateLength(dst, start, int32(len(dst))-start)
}
