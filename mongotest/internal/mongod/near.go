package mongod

import (
	"cmp"
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// checkNear refuses a filter with $near for which c has no index.
func checkNear(c *storage.Collection, w wanted) error {
	if w.matcher == nil || w.matcher.Near() == nil {
		return nil
	}
	near := w.matcher.Near()
	for _, ix := range c.Indexes() {
		if !ix.Hidden && near.Serves(ix.Special(near.Field)) {
			return nil
		}
	}
	return mongoerr.New(mongoerr.NoQueryExecutionPlans,
		"error processing query: ns=%s planner returned error :: caused by :: unable to find index for $geoNear query", c.NS)
}

// nearestFirst yields all of src's documents by their distance.
func nearestFirst(src aggregate.Source, near *query.Near) aggregate.Source {
	type far struct {
		doc      bson.Raw
		distance float64
	}
	return &funcSource{make: func(ctx context.Context) ([]bson.Raw, error) {
		docs, err := drain(ctx, src)
		if err != nil {
			return nil, err
		}
		all := make([]far, len(docs))
		for i, d := range docs {
			all[i].doc = d
			all[i].distance, _ = near.Distance(d)
		}
		slices.SortStableFunc(all, func(a, b far) int { return cmp.Compare(a.distance, b.distance) })
		for i, f := range all {
			docs[i] = f.doc
		}
		return docs, nil
	}}
}
