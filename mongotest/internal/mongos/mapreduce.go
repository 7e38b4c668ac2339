package mongos

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/mapreduce"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// mapReduce runs the pipeline that a mapReduce stands for: documents are mapped
// on their shards, and reduced on the router if there are several.
func mapReduce(ctx context.Context, o *op) (bson.Raw, error) {
	c, err := mapreduce.Parse(o.req.Name, o.req.DB, o.req.Body)
	if err != nil {
		return nil, err
	}
	ns := c.DB + "." + c.Coll
	if _, isView := o.r.catalog.resolve(ns); isView {
		return nil, mongoerr.New(mongoerr.CommandNotSupportedOnView, "mapReduce on a view is not supported")
	}
	if err := o.checkOutput(c.Out); err != nil {
		return nil, err
	}
	stages := c.Stages()
	cmd := bson.D{{"aggregate", c.Coll}, {"pipeline", arrayOf(stages)}, {"cursor", bson.D{}}, {"isMapReduceCommand", true}}
	if c.Scope != nil {
		cmd = append(cmd, bson.E{Key: "runtimeConstants", Value: bson.D{{"jsScope", c.Scope}}})
	}
	for _, name := range []string{"bypassDocumentValidation", "collation", "maxTimeMS", "readConcern"} {
		if v, ok := value.Get(o.req.Body, name); ok {
			cmd = append(cmd, bson.E{Key: name, Value: v})
		}
	}
	child := o.child(c.DB, cmd)
	f, use, err := child.openPipeline(ctx, ns, stages)
	if err != nil {
		return nil, err
	}
	var docs []bson.Raw
	if f != nil {
		if docs, err = aggregate.Collect(ctx, &feedSource{o: child, feed: f, use: use}); err != nil {
			return nil, err
		}
	}
	return c.Reply(docs)
}

// checkOutput refuses what cannot be done to a sharded collection, and to one
// that is none. Codes and words are those of the server's mr_common.cpp.
func (o *op) checkOutput(out mapreduce.Out) error {
	t := o.r.catalog.table(out.NS())
	sharded := t != nil && !t.unsplittable
	switch {
	case out.Sharded && out.Mode == mapreduce.Replace:
		return mongoerr.New(mongoerr.InvalidOptions, "Combination of 'out.sharded' and 'replace' output mode is not supported. Cannot "+
			"replace an existing sharded collection or create a new sharded collection. Please "+
			"create the sharded collection first and use a different output mode or consider using an unsharded collection.")
	case out.Sharded && !sharded:
		return mongoerr.New(mongoerr.InvalidOptions, "Cannot use mapReduce to create a new sharded collection. Please create and shard the"+
			" target collection before proceeding.")
	case sharded && (len(t.key.fields) != 1 || t.key.fields[0].path != "_id"):
		return mongoerr.New(31313, "The mapReduce target collection must either be unsharded or sharded by {_id: 1} or {_id: 'hashed'}")
	case sharded && out.Mode == mapreduce.Replace:
		return mongoerr.New(17017, "Cannot run mapReduce against an existing *sharded* output collection when using the replace action")
	default:
		return nil
	}
}
