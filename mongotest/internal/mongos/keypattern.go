package mongos

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/hashkey"
	"github.com/shardferry/shardferry/mongotest/internal/keystring"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/shardkey"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A keyField is one field of a shard key.
type keyField struct {
	path   string
	hashed bool
}

// A keyPattern is a shard key. Its direction never matters: chunks are always
// in ascending order.
type keyPattern struct {
	raw    bson.Raw
	fields []keyField
}

// parseKeyPattern reads a shard key such as {a: 1, "b.c": "hashed"}.
func parseKeyPattern(raw bson.Raw) (keyPattern, error) {
	p, err := shardkey.Parse(raw)
	if err != nil {
		return keyPattern{}, err
	}
	k := keyPattern{raw: raw}
	for _, f := range p {
		k.fields = append(k.fields, keyField{path: f.Path, hashed: f.Hashed})
	}
	return k, nil
}

// hashedField returns the index of the hashed field, or -1.
func (k keyPattern) hashedField() int {
	return slices.IndexFunc(k.fields, func(f keyField) bool { return f.hashed })
}

// values returns the key of a document: missing fields are null, a hashed
// field its hash. Arrays cannot be part of a shard key.
func (k keyPattern) values(doc bson.Raw) ([]bson.RawValue, error) {
	vals := make([]bson.RawValue, len(k.fields))
	for i, f := range k.fields {
		v, ok := value.Lookup(doc, f.path)
		if !ok {
			if arrayOnPath(doc, f.path) {
				return nil, errArrayInKey()
			}
			v = value.Null()
		}
		if v.Type == bson.TypeArray {
			return nil, errArrayInKey()
		}
		vals[i] = f.stored(v)
	}
	return vals, nil
}

// stored returns v as it stands in the key: its hash if the field is hashed.
func (f keyField) stored(v bson.RawValue) bson.RawValue {
	if f.hashed {
		return value.Int64(hashkey.Hash(v))
	}
	return v
}

func errArrayInKey() error {
	return mongoerr.New(mongoerr.ShardKeyNotFound, "Shard key cannot contain array values or array descendants.")
}

// arrayOnPath reports whether a parent of path is an array.
func arrayOnPath(doc bson.Raw, path string) bool {
	for i := range path {
		if path[i] != '.' {
			continue
		}
		if v, ok := value.Lookup(doc, path[:i]); ok && v.Type == bson.TypeArray {
			return true
		}
	}
	return false
}

// position returns where doc stands among the chunks: bytes in key order.
func (k keyPattern) position(doc bson.Raw) ([]byte, error) {
	vals, err := k.values(doc)
	if err != nil {
		return nil, err
	}
	return encodeValues(vals), nil
}

func encodeValues(vals []bson.RawValue) []byte {
	var b []byte
	for _, v := range vals {
		b = keystring.Append(b, v, false)
	}
	return b
}

// bound completes a chunk bound: the fields must be a prefix of the key; those
// that are left out become MinKey. It returns the bound in full and its place.
func (k keyPattern) bound(b bson.Raw) (bson.Raw, []byte, error) {
	elems, err := b.Elements()
	if err != nil {
		return nil, nil, mongoerr.New(mongoerr.InvalidBSON, "shard key bound: %v", err)
	}
	if len(elems) == 0 || len(elems) > len(k.fields) {
		return nil, nil, k.errBound(b)
	}
	vals := make([]bson.RawValue, len(k.fields))
	for i, f := range k.fields {
		if i >= len(elems) {
			vals[i] = value.MinKey()
			continue
		}
		if elems[i].Key() != f.path {
			return nil, nil, k.errBound(b)
		}
		vals[i] = elems[i].Value()
	}
	return k.document(vals), encodeValues(vals), nil
}

func (k keyPattern) errBound(b bson.Raw) error {
	return mongoerr.New(mongoerr.BadValue, "bound %s is not valid for shard key pattern %s", b, k.raw)
}

// document is a bound with these values.
func (k keyPattern) document(vals []bson.RawValue) bson.Raw {
	idx, dst := bsoncore.AppendDocumentStart(nil)
	for i, f := range k.fields {
		dst = value.Append(dst, f.path, vals[i])
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, idx) // the document was just started, so this cannot fail
	return dst
}

// all is a bound with the same value in every field.
func (k keyPattern) all(v bson.RawValue) bson.Raw {
	return k.document(slices.Repeat([]bson.RawValue{v}, len(k.fields)))
}
