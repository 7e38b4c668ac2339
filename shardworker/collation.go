package shardworker

import (
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/keyhash"
)

// In a collection whose default collation is not simple, the index on _id holds
// "a" and "A" for equal if that collation does. On an unsharded source such a
// class of _ids therefore names one document, as an _id does elsewhere: all its
// events are in one lane, and its filters compare as the collection does. That
// also is the only comparison which can use the index. On a sharded source each
// shard may have a document of the class, and what names one is the full key,
// compared byte by byte.

// collatable reports whether a collation can make v equal to another value.
func collatable(v bson.RawValue) bool {
	switch v.Type {
	case bson.TypeString, bson.TypeSymbol, bson.TypeEmbeddedDocument, bson.TypeArray:
		return true
	default:
		return false
	}
}

// loose reports whether a filter by key compares as the collection does.
func (k keyer) loose(coll *shardferry.Collection, key bson.Raw) bool {
	return coll.Collated && !k.sourceSharded && onlyID(key)
}

// query asks the source for the one document that key names.
func (k keyer) query(coll *shardferry.Collection, key bson.Raw, at shardferry.ClusterTime) query {
	id := k.identity(key)
	return query{coll: coll, filter: filter(id), at: at, limit: 1, loose: k.loose(coll, id)}
}

// conflict asks the destination for the documents that may keep doc from being
// put there, as a duplicate key error names them. That of an index with a
// collation does not say the values, only what they are compared by.
func conflict(f failure, doc bson.Raw) query {
	dest := shardferry.Collection{Source: f.coll.Destination, Collated: f.coll.Collated}
	q := query{coll: &dest, collation: f.err.collation}
	switch pattern := f.err.keyPattern; {
	case len(f.err.keyValue) == 0 || onlyID(pattern):
		q.filter, q.loose = filter(build(func(dst []byte) []byte { return keyhash.AppendElement(dst, "_id", idOf(doc)) })), true
	case len(q.collation) > 0:
		q.filter = anyOf(doc, pattern)
	default:
		q.filter = filter(f.err.keyValue)
	}
	return q
}

// anyOf gives {field: {$in: [what doc has there]}, ...} for an index.
func anyOf(doc, pattern bson.Raw) bson.Raw {
	return build(func(dst []byte) []byte {
		eachField(pattern, func(path string, _ bson.RawValue) {
			values := build(func(dst []byte) []byte {
				n := 0
				eachValue(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc}, path, func(v bson.RawValue) {
					dst = keyhash.AppendElement(dst, strconv.Itoa(n), v)
					n++
				})
				if n == 0 {
					dst = keyhash.AppendElement(dst, "0", bson.RawValue{Type: bson.TypeNull})
				}
				return dst
			})
			in := build(func(dst []byte) []byte {
				return keyhash.AppendElement(dst, "$in", bson.RawValue{Type: bson.TypeArray, Value: values})
			})
			dst = keyhash.AppendElement(dst, path, bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: in})
		})
		return dst
	})
}

// eachValue calls f for what an index holds of a path: the value there, and the
// elements of arrays on the way and at the end.
func eachValue(v bson.RawValue, path string, f func(bson.RawValue)) {
	if path == "" {
		if f(v); v.Type == bson.TypeArray {
			eachField(v.Value, func(_ string, element bson.RawValue) { f(element) })
		}
		return
	}
	name, rest, _ := strings.Cut(path, ".")
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		if inner, ok := field(v.Value, name); ok {
			eachValue(inner, rest, f)
		}
	case bson.TypeArray:
		eachField(v.Value, func(index string, element bson.RawValue) {
			if index == name {
				eachValue(element, rest, f)
			} else if element.Type == bson.TypeEmbeddedDocument {
				eachValue(element, path, f)
			}
		})
	default: // nothing is below it
	}
}
