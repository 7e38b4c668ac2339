package mongod

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// maxViewDepth is how many views may lie on each other.
const maxViewDepth = 20

// resolveView follows coll to the collection it reads, with the pipeline that
// makes its documents of that collection's.
func resolveView(tx *storage.Tx, db, coll string) (string, []bson.Raw, error) {
	var pipeline []bson.Raw
	for range maxViewDepth {
		c := tx.Collection(db + "." + coll)
		if c == nil || !c.IsView() {
			return coll, pipeline, nil
		}
		on, own := c.View()
		stages, err := documentsOf(own)
		if err != nil {
			return "", nil, err
		}
		coll, pipeline = on, append(stages, pipeline...)
	}
	return "", nil, mongoerr.New(mongoerr.ViewDepthLimitExceeded, "View depth limit exceeded; maximum depth is %d", maxViewDepth)
}

// documentsOf returns the elements of an array of documents.
func documentsOf(array bson.Raw) ([]bson.Raw, error) {
	var docs []bson.Raw
	for name, v := range value.Elements(array) {
		d, ok := v.DocumentOK()
		if !ok {
			return nil, mongoerr.New(mongoerr.TypeMismatch, "Each element of the 'pipeline' array must be an object, element %s is not", name)
		}
		docs = append(docs, d)
	}
	return docs, nil
}

// findOnView runs a find on a view as the aggregation it stands for.
func (op *operation) findOnView(f findCommand) (*cursor, error) {
	if f.natural.wanted || f.wanted.min != nil || f.wanted.max != nil || f.tailable {
		return nil, mongoerr.New(mongoerr.InvalidPipelineOperator, "option not supported on a view: find %s.%s", op.req.DB, f.coll)
	}
	var stages []bson.Raw
	if !isEmpty(f.wanted.filter) {
		stages = append(stages, value.D("$match", f.wanted.filter))
	}
	if !isEmpty(f.wanted.sort) && naturalSort(f.wanted.sort) == 0 {
		stages = append(stages, value.D("$sort", f.wanted.sort))
	}
	if f.skip > 0 {
		stages = append(stages, value.D("$skip", f.skip))
	}
	if f.limit > 0 {
		stages = append(stages, value.D("$limit", f.limit))
	}
	if !isEmpty(f.projection) {
		stages = append(stages, value.D("$project", f.projection))
	}
	return op.openPipeline(aggregateCommand{coll: f.coll, stages: stages, let: f.let, collation: f.collation})
}

// viewError is the answer to what cannot be done with a view.
func viewError(c *storage.Collection) error {
	if c.IsTimeseries() {
		return mongoerr.New(mongoerr.CommandNotSupportedOnView, "Namespace %s is a timeseries collection", c.NS)
	}
	return mongoerr.New(mongoerr.CommandNotSupportedOnView, "Namespace %s is a view, not a collection", c.NS)
}
