package mongod

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func runCreateIndexes(ctx context.Context, op *operation) (bson.Raw, error) {
	coll, err := op.collName()
	if err != nil {
		return nil, err
	}
	a := op.args()
	specs := a.docs("indexes")
	if a.bool("ignoreUnknownIndexOptions", false) {
		specs = knownOptions(specs)
	}
	if a.err != nil {
		return nil, a.err
	}
	if len(specs) == 0 {
		return nil, mongoerr.New(mongoerr.BadValue, "Must specify at least one index to create")
	}
	var before, after, made int
	created := false
	ns := op.req.DB + "." + coll
	err = op.write(ctx, ns, func(tx *storage.Tx) error {
		created = tx.Collection(ns) == nil
		c, err := op.writeTarget(tx, coll, true)
		wanted := specs
		if op.measures(c) {
			if wanted, err = c.Timeseries().BucketIndexes(specs); err == nil {
				c, err = bucketsOf(tx, c)
			}
		}
		if err != nil {
			return err
		}
		before = indexCount(c)
		if made, err = tx.CreateIndexes(c, wanted, op.ddlMeta()); err != nil {
			return err
		}
		after = before + made
		return nil
	})
	if err != nil {
		return nil, err
	}
	pairs := []any{"numIndexesBefore", before, "numIndexesAfter", after, "createdCollectionAutomatically", created}
	if made == 0 {
		pairs = append(pairs, "note", "all indexes already exist")
	} else {
		pairs = append(pairs, "commitQuorum", "votingMembers")
	}
	return value.D(pairs...), nil
}

// indexCount counts the indexes as replies do: a clustered index is none.
func indexCount(c *storage.Collection) int {
	if c.Clustered() {
		return len(c.Indexes()) - 1
	}
	return len(c.Indexes())
}

// indexOptions are the fields that the server knows in an index spec.
var indexOptions = []string{
	"v", "key", "name", "unique", "sparse", "expireAfterSeconds", "partialFilterExpression", "collation", "hidden", "prepareUnique",
	"background", "weights", "default_language", "language_override", "textIndexVersion", "2dsphereIndexVersion", "bits", "min", "max",
	"wildcardProjection", "storageEngine", "clustered",
}

// knownOptions drops the unknown fields of index specs.
func knownOptions(specs []bson.Raw) []bson.Raw {
	out := make([]bson.Raw, len(specs))
	for i, s := range specs {
		out[i] = without(s, func(name string) bool { return !slices.Contains(indexOptions, name) })
	}
	return out
}

// runDropIndexes drops by name, by key pattern, by a list of names, or all but
// the _id index for "*".
func runDropIndexes(ctx context.Context, op *operation) (bson.Raw, error) {
	coll, err := op.collName()
	if err != nil {
		return nil, err
	}
	target := op.args().lookup("index")
	was := 0
	all, sharded := false, false
	ns := op.req.DB + "." + coll
	err = op.write(ctx, ns, func(tx *storage.Tx) error {
		if err := op.checkUUID(tx, coll); err != nil {
			return err
		}
		c := tx.Collection(ns)
		target := target
		if op.measures(c) {
			var err error
			if c, target, err = bucketIndexToDrop(tx, c, target); err != nil {
				return err
			}
		}
		switch {
		case c == nil:
			return mongoerr.New(mongoerr.NamespaceNotFound, "ns not found %s", ns)
		case c.IsView():
			return viewError(c)
		}
		was = indexCount(c)
		names, star, err := indexesToDrop(c, target)
		if err != nil {
			return err
		}
		all, sharded = star, c.ShardKey != nil
		for _, name := range names {
			if err := tx.DropIndex(c, name, op.ddlMeta()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	pairs := []any{"nIndexesWas", was}
	if all {
		msg := "non-_id indexes dropped for collection"
		if sharded {
			msg = "non-_id indexes and non-shard key indexes dropped for collection"
		}
		pairs = append(pairs, "msg", msg)
	}
	return value.D(pairs...), nil
}

// indexesToDrop resolves the index argument of dropIndexes to names.
func indexesToDrop(c *storage.Collection, target bson.RawValue) (names []string, all bool, err error) {
	if pattern, ok := target.DocumentOK(); ok {
		found := c.IndexesByKey(pattern)
		switch {
		case len(found) == 0:
			return nil, false, mongoerr.New(mongoerr.IndexNotFound, "can't find index with key: %s", pattern)
		case len(found) > 1:
			return nil, false, mongoerr.New(mongoerr.AmbiguousIndexKeyPattern, "%d indexes found for key: %s, identify by name instead.", len(found), pattern)
		}
		return []string{found[0].Name}, false, nil
	}
	if s, ok := target.StringValueOK(); ok {
		if s == "*" {
			for _, ix := range c.Indexes() {
				if ix != c.IDIndex() && !c.SupportsShardKey(ix) {
					names = append(names, ix.Name)
				}
			}
			return names, true, nil
		}
		names = []string{s}
	} else if arr, ok := target.ArrayOK(); ok {
		for i, v := range value.Elements(bson.Raw(arr)) {
			s, ok := v.StringValueOK()
			if !ok {
				return nil, false, mongoerr.New(mongoerr.TypeMismatch, "BSON field 'dropIndexes.index.%s' is the wrong type '%s', expected type 'string'", i, value.TypeName(v.Type))
			}
			names = append(names, s)
		}
		if slices.Equal(names, []string{"*"}) {
			return indexesToDrop(c, value.String("*"))
		}
	} else {
		return nil, false, mongoerr.New(mongoerr.TypeMismatch, "BSON field 'dropIndexes.index' is the wrong type '%s', expected types '[string, object, array]'", value.TypeName(target.Type))
	}
	for _, name := range names {
		if c.Index(name) == nil {
			return nil, false, mongoerr.New(mongoerr.IndexNotFound, "index not found with name [%s]", name)
		}
	}
	return names, false, nil
}

func runListIndexes(ctx context.Context, op *operation) (bson.Raw, error) {
	coll, err := op.nameOrUUID(op.req.Body.Lookup(op.req.Name))
	if err != nil {
		return nil, err
	}
	a := op.args()
	wrap := a.bool("includeIndexBuildInfo", false)
	if wrap && a.bool("includeBuildUUIDs", false) {
		a.fail(mongoerr.InvalidOptions, "The includeBuildUUIDs flag and includeIndexBuildInfo flag cannot both be set to true")
	}
	if a.err != nil {
		return nil, a.err
	}
	ns := op.req.DB + "." + coll
	var docs []bson.Raw
	err = op.view(func(tx *storage.Tx) error {
		if err := op.checkUUID(tx, coll); err != nil {
			return err
		}
		c := tx.Collection(ns)
		switch {
		case ns == oplogNS:
			return nil
		case c == nil:
			return mongoerr.New(mongoerr.NamespaceNotFound, "ns does not exist: %s", ns)
		case c.IsView() && !c.IsTimeseries():
			return viewError(c)
		}
		for _, spec := range shownIndexes(tx, c) {
			if wrap {
				spec = value.D("spec", spec)
			}
			docs = append(docs, spec)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return op.listReply(ctx, ns, docs)
}

// listReply returns docs through a cursor, as the list commands do.
func (op *operation) listReply(ctx context.Context, ns string, docs []bson.Raw) (bson.Raw, error) {
	size := int64(noLimit)
	if cur := op.args().doc("cursor"); cur != nil {
		sub := &args{name: "cursor", body: cur}
		size = sub.int64("batchSize", noLimit)
		if sub.err != nil {
			return nil, sub.err
		}
	}
	c := &cursor{ns: ns, number: noNumber, feed: &docFeed{src: &sliceSource{docs: docs}, left: -1}}
	return op.firstReply(ctx, c, size, false)
}
