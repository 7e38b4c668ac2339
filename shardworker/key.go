package shardworker

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/keyhash"
)

// idOf returns the _id in a document or documentKey, null if it has none.
func idOf(doc bson.Raw) bson.RawValue {
	v, err := doc.LookupErr("_id")
	if err != nil {
		return bson.RawValue{Type: bson.TypeNull}
	}
	return v
}

func uuidValue(u shardferry.UUID) bson.RawValue {
	return bson.RawValue{Type: bson.TypeBinary, Value: bsoncore.AppendBinary(nil, 4, u[:])}
}

// A keyer builds the full key by which a document is addressed on the
// destination, and on the source when it is read again.
type keyer struct {
	// sourceSharded says that a documentKey carries the shard key, so that a
	// field missing in it is missing in the document. Of an unsharded source a
	// documentKey is the _id alone, and says nothing about other fields.
	sourceSharded bool
}

// fromEvent returns the key of an event: the fields of the destination's shard
// key in their order, taken from the documentKey, else from the document where
// there is one; then the rest of the documentKey.
func (k keyer) fromEvent(coll *shardferry.Collection, documentKey, doc bson.Raw) bson.Raw {
	return build(func(dst []byte) []byte {
		eachField(coll.ShardKey, func(name string, _ bson.RawValue) {
			v, ok := field(documentKey, name)
			if !ok && doc != nil {
				v, _ = keyhash.Lookup(doc, name)
				ok = true
			}
			if ok || k.sourceSharded {
				dst = appendOrNull(dst, name, v)
			}
		})
		eachField(documentKey, func(name string, v bson.RawValue) {
			if _, inKey := field(coll.ShardKey, name); !inKey {
				dst = keyhash.AppendElement(dst, name, v)
			}
		})
		return dst
	})
}

// ofDocument returns the key under which a document that was read is addressed:
// the fields of the key it was asked for, with the document's own values, and
// the destination's shard key.
func (k keyer) ofDocument(coll *shardferry.Collection, key, doc bson.Raw) bson.Raw {
	return k.fromEvent(coll, rekey(key, doc), doc)
}

// rekey returns a key of the same fields with the values that doc has now.
func rekey(key, doc bson.Raw) bson.Raw {
	return build(func(dst []byte) []byte {
		eachField(key, func(name string, _ bson.RawValue) {
			v, _ := keyhash.Lookup(doc, name)
			dst = appendOrNull(dst, name, v)
		})
		return dst
	})
}

// documentKey returns the documentKey that events of a copied document carry:
// tasks of a sharded collection scan the index of its shard key.
func documentKey(index, doc bson.Raw) bson.Raw {
	return build(func(dst []byte) []byte {
		hasID := false
		eachField(index, func(name string, _ bson.RawValue) {
			if strings.HasPrefix(name, "$") {
				return // natural order
			}
			hasID = hasID || name == "_id"
			if v, ok := keyhash.Lookup(doc, name); ok {
				dst = keyhash.AppendElement(dst, name, v)
			}
		})
		if !hasID {
			dst = keyhash.AppendElement(dst, "_id", idOf(doc))
		}
		return dst
	})
}

// identity returns the part of a key that names one document on the source.
func (k keyer) identity(key bson.Raw) bson.Raw {
	if k.sourceSharded {
		return key
	}
	return build(func(dst []byte) []byte { return keyhash.AppendElement(dst, "_id", idOf(key)) })
}

// filter turns a key into a query that matches exactly it: {f: {$eq: v}, ...}.
// The $eq form is needed for values that would otherwise be operators.
func filter(key bson.Raw) bson.Raw {
	return build(func(dst []byte) []byte {
		eachField(key, func(name string, v bson.RawValue) {
			i, open := bsoncore.AppendDocumentElementStart(dst, name)
			dst = closeDocument(keyhash.AppendElement(open, "$eq", v), i)
		})
		return dst
	})
}

func appendOrNull(dst []byte, name string, v bson.RawValue) []byte {
	if v.Type == 0 {
		v = bson.RawValue{Type: bson.TypeNull}
	}
	return keyhash.AppendElement(dst, name, v)
}

// onlyID reports whether _id is the one field of a key or key pattern.
func onlyID(key bson.Raw) bool {
	n, id := 0, false
	eachField(key, func(name string, _ bson.RawValue) {
		n++
		id = id || name == "_id"
	})
	return n == 1 && id
}

// field finds a top-level field whose name may contain dots.
func field(doc bson.Raw, name string) (v bson.RawValue, found bool) {
	eachField(doc, func(n string, value bson.RawValue) {
		if n == name && !found {
			v, found = value, true
		}
	})
	return v, found
}

// eachField calls f for the top-level fields of a document in order. A broken
// document ends early; documents come from a server, which checks them.
func eachField(doc bson.Raw, f func(name string, v bson.RawValue)) {
	rest, err := body(doc)
	if err != nil {
		return
	}
	for len(rest) > 0 {
		elem, tail, ok := bsoncore.ReadElement(rest)
		if !ok {
			return
		}
		e := bson.RawElement(elem)
		f(e.Key(), e.Value())
		rest = tail
	}
}

// build returns a document whose elements are appended by fill.
func build(fill func(dst []byte) []byte) bson.Raw {
	i, dst := bsoncore.AppendDocumentStart(nil)
	return closeDocument(fill(dst), i)
}

func closeDocument(dst []byte, start int32) []byte {
	dst, err := bsoncore.AppendDocumentEnd(dst, start)
	if err != nil {
		panic("shardworker: a document was closed that was never opened")
	}
	return dst
}
