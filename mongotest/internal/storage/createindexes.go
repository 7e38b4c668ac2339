package storage

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

const maxIndexes = 64

// CreateIndexes creates the indexes that do not exist yet and returns how many
// it created. All are built at once: if one cannot be built, none is. The
// oplog gets an entry per index for an empty collection and one for all
// otherwise (server-facts 1.3). Inside a transaction the collection must have
// been created by it. Errors: CannotCreateIndex, IndexOptionsConflict,
// IndexKeySpecsConflict, DuplicateKey, errors of the specification.
func (tx *Tx) CreateIndexes(c *Collection, specs []bson.Raw, m Meta) (int, error) {
	if err := tx.mayIndex(c); err != nil {
		return 0, err
	}
	added, err := c.newIndexes(specs)
	if err != nil || len(added) == 0 {
		return 0, err
	}
	for _, ix := range added {
		if err := ix.build(c); err != nil {
			return 0, err
		}
	}
	tx.saveEntry(c)
	c.indexes = append(c.indexes[:len(c.indexes):len(c.indexes)], added...)
	if c.Count() > 0 {
		tx.stageIndexBuild(c, added, m)
		return len(added), nil
	}
	for _, ix := range added {
		o := value.Append(make([]byte, 4, len(ix.Spec)+64), "createIndexes", value.String(c.Name()))
		tx.stageCommand(c, finishDoc(appendDoc(o, ix.Spec)), nil, m)
	}
	return len(added), nil
}

func (tx *Tx) mayIndex(c *Collection) error {
	switch {
	case c.IsView():
		return mongoerr.New(mongoerr.CommandNotSupportedOnView, "Namespace %s is a view, not a collection", c.NS)
	case tx.txn == nil:
		return tx.mayAlter(c, "createIndexes")
	case !tx.writable || !tx.txn.created[c.UUID]:
		return mongoerr.New(mongoerr.OperationNotSupportedInTransaction, "Cannot create new indexes on existing "+
			"collection %s in a multi-document transaction.", c.NS)
	}
	return nil
}

// newIndexes parses specs and returns the indexes that c does not have.
func (c *Collection) newIndexes(specs []bson.Raw) ([]*Index, error) {
	var added []*Index
	for _, spec := range specs {
		ix, err := parseIndex(spec, c.opts.coll)
		if err == nil && c.opts.series == nil {
			err = ix.checkNotOfBuckets()
		}
		if err != nil {
			return nil, err
		}
		if samePattern(ix.fields, c.indexes[0].fields) && !ix.coll.Same(c.opts.coll) {
			return nil, otherIDCollation(ix.coll, c.opts.coll)
		}
		exists := false
		for _, have := range append(c.indexes[:len(c.indexes):len(c.indexes)], added...) {
			same, err := ix.relation(have)
			if err != nil {
				return nil, err
			}
			exists = exists || same
		}
		switch {
		case exists:
			continue
		case ix.Name == idIndexName:
			return nil, mongoerr.New(mongoerr.BadValue, "The index name '_id_' is reserved for the _id index, which must "+
				"have key pattern {_id: 1}, found key: %s", render(ix.Key))
		case len(c.indexes)+len(added) >= maxIndexes:
			return nil, mongoerr.New(mongoerr.CannotCreateIndex, "add index fails, too many indexes for %s key:%s",
				c.NS, render(ix.Key))
		}
		added = append(added, ix)
	}
	return added, nil
}

// build fills a new index from the collection's records.
func (ix *Index) build(c *Collection) error {
	var err error
	c.records.Scan(func(rid int64, r rec) bool {
		var keys []string
		var multi bool
		if keys, multi, err = ix.keysOf(r.doc); err != nil {
			return false
		}
		for _, key := range keys {
			if ix.Unique {
				if _, taken := ix.holder(key, rid); taken {
					err = duplicateKey(c, ix, ix.valuesOf(r.doc, key))
					return false
				}
			}
			ix.data.add(ix.entryKey(key, rid), rid)
		}
		ix.data.multikey = ix.data.multikey || multi
		return true
	})
	return err
}

// stageIndexBuild logs the two phases of an index build.
func (tx *Tx) stageIndexBuild(c *Collection, added []*Index, m Meta) {
	id := value.NewUUID()
	specs := make([]bson.RawValue, len(added))
	for i, ix := range added {
		specs[i] = value.Doc(ix.Spec)
	}
	for _, phase := range []string{"startIndexBuild", "commitIndexBuild"} {
		tx.stageCommand(c, value.D(phase, c.Name(), "indexBuildUUID", value.Binary(4, id[:]),
			"indexes", value.ArrayOf(specs...)), nil, m)
	}
}

// DropIndex drops the index of this name; the _id index cannot be dropped.
// Errors: IndexNotFound, InvalidOptions.
func (tx *Tx) DropIndex(c *Collection, name string, m Meta) error {
	if err := tx.mayAlter(c, "dropIndexes"); err != nil {
		return err
	}
	ix := c.Index(name)
	switch {
	case ix == nil:
		return mongoerr.New(mongoerr.IndexNotFound, "index not found with name [%s]", name)
	case ix.clustered:
		return mongoerr.New(codeDropClustered, "cannot drop the clustered index")
	case ix.isID():
		return mongoerr.New(mongoerr.InvalidOptions, "cannot drop _id index")
	case c.OnlyForShardKey(ix):
		return mongoerr.New(mongoerr.CannotDropShardKeyIndex, "Cannot drop the only compatible index for this collection's shard key")
	}
	tx.saveEntry(c)
	kept := make([]*Index, 0, len(c.indexes))
	for _, other := range c.indexes {
		if other != ix {
			kept = append(kept, other)
		}
	}
	c.indexes = kept
	o := value.D("dropIndexes", c.Name(), "index", name)
	tx.stageCommand(c, o, ix.Spec, m)
	return nil
}

const codeDropClustered mongoerr.Code = 5979800
