package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mapreduce"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// runMapReduce runs the pipeline that a mapReduce stands for.
func runMapReduce(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	by := a.collation()
	if a.err != nil {
		return nil, a.err
	}
	c, err := mapreduce.Parse(op.req.Name, op.req.DB, op.req.Body)
	if err != nil {
		return nil, err
	}
	if err := op.refuseViews(c); err != nil {
		return nil, err
	}
	op.mapReduceScope(value.Doc(c.Scope))
	// The engine reads system.js before the storage is looked at.
	if err := op.script().start().Compile(ctx, ""); err != nil {
		return nil, err
	}
	cur, err := op.openPipeline(aggregateCommand{coll: c.Coll, stages: c.Stages(), bypass: c.Bypass, collation: by, mapReduce: true})
	if err != nil {
		return nil, err
	}
	docs, err := drain(ctx, cur.feed.(*docFeed).src)
	if err != nil {
		return nil, err
	}
	return c.Reply(docs)
}

// mapReduceScope prepares the scripts of a mapReduce, which see system.js and
// the command's scope.
func (op *operation) mapReduceScope(scope bson.RawValue) {
	s := op.script()
	s.withStored()
	if d, ok := scope.DocumentOK(); ok {
		s.cfg.Scope = d
	}
}

// refuseViews refuses views on either end.
func (op *operation) refuseViews(c *mapreduce.Command) error {
	return op.view(func(tx *storage.Tx) error {
		if in := tx.Collection(op.req.DB + "." + c.Coll); in != nil && in.IsView() {
			return mongoerr.New(mongoerr.CommandNotSupportedOnView, "mapReduce on a view is not supported")
		}
		if out := tx.Collection(c.Out.NS()); out != nil && out.IsView() {
			return viewError(out)
		}
		return nil
	})
}
