package storage

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// HoldsAll reports whether an index has every document, once, and compares as
// shard keys do.
func (c *Collection) HoldsAll(ix *Index) bool {
	return !ix.Sparse && ix.Partial == nil && ix.coll == nil && !ix.Multikey()
}

// SupportsShardKey reports whether the collection is sharded by ranges and an
// index can serve to find them (shard_key_index_util.cpp).
func (c *Collection) SupportsShardKey(ix *Index) bool {
	return c.ShardKey != nil && !ix.Hidden && c.Supports(c.ShardKey, ix)
}

// Supports reports whether an index has every document, once, in the order of a
// shard key: its own key begins with that.
func (c *Collection) Supports(key bson.Raw, ix *Index) bool {
	if !c.HoldsAll(ix) {
		return false
	}
	supports, rest := true, indexKey(ix.Key)
	_ = eachElement(key, func(name string, v bson.RawValue) error {
		_, hashed := v.StringValueOK()
		if hashed || len(rest) == 0 || rest[0].name != name || !value.Equal(rest[0].value, v) {
			supports = false
			return nil
		}
		rest = rest[1:]
		return nil
	})
	return supports
}

// OnlyForShardKey reports whether no other index supports the shard key: such a
// one can be neither dropped nor hidden. That of a hashed key can.
func (c *Collection) OnlyForShardKey(ix *Index) bool {
	if !c.SupportsShardKey(ix) {
		return false
	}
	for _, other := range c.indexes {
		if other.Name != ix.Name && c.SupportsShardKey(other) {
			return false
		}
	}
	return true
}

type keyElement struct {
	name  string
	value bson.RawValue
}

func indexKey(pattern bson.Raw) (out []keyElement) {
	for name, v := range value.Elements(pattern) {
		out = append(out, keyElement{name, v})
	}
	return out
}
