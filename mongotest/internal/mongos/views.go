package mongos

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A view is the definition of a view: shards resolve the views of unsharded
// collections themselves, the router those that end at a sharded one.
type view struct {
	on       string // namespace of a collection or of another view
	pipeline []bson.Raw
	// collation is the view's own, which those below it share.
	collation *collation.Collation
}

// setView remembers a view made or changed through a router.
func (c *Catalog) setView(ns string, v view) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.views[ns] = v
}

// changeView remembers the new definition of a view, which keeps its collation.
func (c *Catalog) changeView(ns string, v view) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v.collation = c.views[ns].collation
	c.views[ns] = v
}

// dropViews forgets the views whose namespace matches.
func (c *Catalog) dropViews(match func(ns string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ns := range c.views {
		if match(ns) {
			delete(c.views, ns)
		}
	}
}

// resolve returns the sharded collection a view ends at and the stages that
// lead from it to the view. It is false for everything else.
func (c *Catalog) resolve(ns string) (view, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	v, ok := c.views[ns]
	for depth := 0; ok && depth < 20; depth++ { // the server allows views 20 deep
		if c.collections[v.on] != nil {
			return v, true
		}
		var below view
		if below, ok = c.views[v.on]; ok {
			v = view{on: below.on, collation: v.collation, pipeline: append(append([]bson.Raw{}, below.pipeline...), v.pipeline...)}
		}
	}
	return view{}, false
}

// findInView runs a find as an aggregate on what is below the view.
func findInView(ctx context.Context, o *op, v view) (bson.Raw, error) {
	if err := o.onView(o.req.NS(), v); err != nil {
		return nil, err
	}
	body := o.req.Body
	stages := append([]bson.Raw{}, v.pipeline...)
	for _, s := range []struct{ field, stage string }{
		{"filter", "$match"}, {"sort", "$sort"}, {"skip", "$skip"}, {"limit", "$limit"}, {"projection", "$project"},
	} {
		x, ok := value.Get(body, s.field)
		if n, isNumber := value.AsInt64(x); !ok || isNumber && n == 0 {
			continue
		}
		if d, isDoc := x.DocumentOK(); isDoc && value.IsEmpty(d) {
			continue
		}
		stages = append(stages, rawDoc(bson.D{{s.stage, x}}))
	}
	return o.aggregate(ctx, o.req.NS(), v.on, stages, getInt(body, "batchSize", firstBatchSize))
}

func countInView(ctx context.Context, o *op, v view) (bson.Raw, error) {
	if err := o.onView(o.req.NS(), v); err != nil {
		return nil, err
	}
	body := o.req.Body
	stages := append([]bson.Raw{}, v.pipeline...)
	if q := getDoc(body, "query"); !value.IsEmpty(q) {
		stages = append(stages, rawDoc(bson.D{{"$match", q}}))
	}
	stages = append(stages, rawDoc(bson.D{{"$count", "n"}}))
	reply, err := o.aggregate(ctx, o.req.NS(), v.on, stages, firstBatchSize)
	if err != nil {
		return nil, err
	}
	var n int64
	if docs := getDocs(getDoc(reply, "cursor"), "firstBatch"); len(docs) > 0 {
		n = getInt(docs[0], "n", 0)
	}
	return countReply(n, getInt(body, "skip", 0), getInt(body, "limit", 0)), nil
}
