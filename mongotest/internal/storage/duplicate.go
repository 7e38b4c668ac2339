package storage

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// checkUnique refuses keys that another record has in a unique index.
func checkUnique(c *Collection, rid int64, doc bson.Raw, p plan) error {
	for i := range p {
		ix := p[i].ix
		if !ix.rejects() {
			continue
		}
		for _, key := range p[i].add {
			if _, taken := ix.holder(key, rid); taken {
				return duplicateKey(c, ix, ix.valuesOf(doc, key))
			}
		}
	}
	return nil
}

// duplicateKey returns the server's E11000 error with keyPattern and keyValue.
func duplicateKey(c *Collection, ix *Index, vals []bson.RawValue) error {
	collation := ""
	var hexEncoded []bson.RawValue
	if ix.coll != nil {
		collation = " collation: " + render(ix.coll.Doc())
		vals, hexEncoded = ix.collatedKey(vals)
	}
	dst := make([]byte, 4, 64)
	for i, v := range vals {
		dst = value.Append(dst, ix.fields[i].name, v)
	}
	keyValue := finishDoc(dst)
	err := mongoerr.New(mongoerr.DuplicateKey, "E11000 duplicate key error collection: %s index: %s%s dup key: %s",
		c.NS, ix.Name, collation, render(keyValue)).
		WithInfo("keyPattern", ix.Key).
		WithInfo("keyValue", keyValue)
	if ix.coll != nil {
		err = err.WithInfo("hexEncoded", value.ArrayOf(hexEncoded...)).WithInfo("collation", ix.coll.Doc())
	}
	return err
}
