package mongos

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// migrationBatch is how many documents one command of a migration carries.
const migrationBatch = 1000

// A copier copies documents between shards in a way no stream shows.
type copier struct {
	*op
	ns     string           // where from
	into   string           // the namespace they get, if it is another one
	uuid   value.UUID       // of the collection they go to, zero for any
	left   *[]bson.RawValue // takes the _ids of duplicates; nil: they are an error
	shown  bool             // not logged as copies: the name keeps streams from showing it
	routed func(shard string) *command.Routed

	docs map[string][]bson.Raw // by shard, not yet sent
}

// all copies what a shard has of the collection, each document to the shard
// that place names.
func (c *copier) all(ctx context.Context, from string, place func(doc bson.Raw) (string, error)) error {
	c.docs = map[string][]bson.Raw{}
	var routed *command.Routed
	if c.routed != nil {
		routed = c.routed(from)
	}
	err := c.scan(ctx, from, c.ns, routed, func(doc bson.Raw) error {
		to, err := place(doc)
		if err != nil {
			return err
		}
		c.docs[to] = append(c.docs[to], doc)
		if len(c.docs[to]) < migrationBatch {
			return nil
		}
		return c.flush(ctx, to)
	})
	for to := range c.docs {
		if err == nil {
			err = c.flush(ctx, to)
		}
	}
	return err
}

func (c *copier) flush(ctx context.Context, to string) error {
	docs := c.docs[to]
	c.docs[to] = nil
	return c.bring(ctx, to, docs)
}

// bring inserts documents on a shard.
func (c *copier) bring(ctx context.Context, to string, docs []bson.Raw) error {
	if len(docs) == 0 {
		return nil
	}
	ns := c.ns
	if c.into != "" {
		ns = c.into
	}
	db, coll, _ := splitNS(ns)
	cmd := bson.D{{"insert", coll}, {"ordered", false}, {"bypassDocumentValidation", true}, {"bypassEmptyTsReplacement", true}}
	if !c.uuid.IsZero() {
		cmd = append(cmd, bson.E{Key: "collectionUUID", Value: c.uuid.Binary()})
	}
	resp, err := c.send(ctx, to, call{
		name: "insert", db: db, seqs: []command.Sequence{{ID: "documents", Docs: docs}}, body: rawDoc(cmd),
		routed: &command.Routed{FromMigrate: !c.shown},
	})
	if err != nil {
		return err
	}
	if err := replicated(resp); err != nil {
		return err
	}
	for _, e := range getDocs(resp.Body, "writeErrors") {
		if c.left == nil || mongoerr.Code(getInt(e, "code", 0)) != mongoerr.DuplicateKey {
			return writeError(e)
		}
		*c.left = append(*c.left, docs[getInt(e, "index", 0)].Lookup("_id"))
	}
	return nil
}

// scan reads a shard's part of a collection in the order it is stored.
func (o *op) scan(ctx context.Context, shard, ns string, routed *command.Routed, f func(bson.Raw) error) error {
	db, coll, _ := splitNS(ns)
	in := o.r.own()
	m, err := in.open(ctx, shard, call{name: "find", db: db, safe: true, routed: routed, body: rawDoc(bson.D{
		{"find", coll}, {"hint", bson.D{{"$natural", int32(1)}}}, {"batchSize", int32(migrationBatch)},
	})})
	if err != nil {
		return err
	}
	for {
		doc, err := m.next(ctx, in)
		if err != nil || doc == nil {
			return err
		}
		if err := f(doc); err != nil {
			m.close(ctx, in)
			return err
		}
	}
}

// rest returns what the cursor still has.
func (m *remote) rest(ctx context.Context, o *op) ([]bson.Raw, error) {
	var docs []bson.Raw
	for {
		doc, err := m.next(ctx, o)
		if err != nil || doc == nil {
			return docs, err
		}
		docs = append(docs, doc)
	}
}

// buildIndexes makes indexes on a shard, as copies of another's.
func (o *op) buildIndexes(ctx context.Context, shard, ns string, specs []bson.Raw) error {
	db, coll, _ := splitNS(ns)
	specs = slices.DeleteFunc(slices.Clone(specs), func(s bson.Raw) bool { return getString(s, "name") == "_id_" || getBool(s, "clustered", false) })
	if len(specs) == 0 {
		return nil
	}
	_, err := o.send(ctx, shard, copies(call{name: "createIndexes", db: db, body: rawDoc(bson.D{{"createIndexes", coll}, {"indexes", arrayOf(specs)}})}))
	return err
}
