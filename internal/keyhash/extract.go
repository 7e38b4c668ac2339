package keyhash

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// ExtractKey returns the index key of doc for a key pattern: one field per
// field of the pattern, by its name, null where doc has none, and the server's
// hash where the pattern says "hashed". Arrays are not looked into: the keys of
// shards and of _id hold none.
func ExtractKey(doc, pattern bson.Raw) bson.Raw {
	i, dst := bsoncore.AppendDocumentStart(nil)
	elems, err := pattern.Elements()
	if err != nil {
		elems = nil
	}
	for _, e := range elems {
		v, ok := Lookup(doc, e.Key())
		if !ok {
			v = bson.RawValue{Type: bson.TypeNull}
		}
		if kind, isText := e.Value().StringValueOK(); isText && kind == "hashed" {
			dst = bsoncore.AppendInt64Element(dst, e.Key(), Shard(v))
			continue
		}
		dst = AppendElement(dst, e.Key(), v)
	}
	dst, err = bsoncore.AppendDocumentEnd(dst, i)
	if err != nil {
		panic("keyhash: a document was closed that was never opened")
	}
	return dst
}

// Lookup follows a dotted path through embedded documents.
func Lookup(doc bson.Raw, path string) (bson.RawValue, bool) {
	for {
		name, rest, deeper := strings.Cut(path, ".")
		v, err := doc.LookupErr(name)
		if err != nil {
			return bson.RawValue{}, false
		}
		if !deeper {
			return v, true
		}
		if v.Type != bson.TypeEmbeddedDocument {
			return bson.RawValue{}, false
		}
		doc, path = v.Value, rest
	}
}

// AppendElement appends a value under a name to an open document.
func AppendElement(dst []byte, name string, v bson.RawValue) []byte {
	return bsoncore.AppendValueElement(dst, name, bsoncore.Value{Type: bsoncore.Type(v.Type), Data: v.Value})
}
