package mongos

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func find(ctx context.Context, o *op) (bson.Raw, error) {
	coll, err := collectionName(o.req)
	if err != nil {
		return nil, err
	}
	ns := o.req.DB + "." + coll
	if v, ok := o.r.catalog.resolve(ns); ok {
		return findInView(ctx, o, v)
	}
	unlock, err := o.shared(ctx, ns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return freshly(o, ns, func() (bson.Raw, error) { return o.find(ctx, ns) })
}

// find runs the client's find by what the router knows of ns.
func (o *op) find(ctx context.Context, ns string) (bson.Raw, error) {
	by, err := o.comparing(ns, o.req.Body)
	if err != nil {
		return nil, err
	}
	rt, err := o.route(ns, getDoc(o.req.Body, "filter"), by)
	if err != nil {
		return nil, err
	}
	size := getInt(o.req.Body, "batchSize", firstBatchSize)
	single := getBool(o.req.Body, "singleBatch", false)
	switch len(rt.shards) {
	case 0:
		_, err := query.Compile(getDoc(o.req.Body, "filter"), query.Options{Expr: o.exprHook(), Where: anyWhere, Near: true, Text: query.TextAllowed})
		return emptyCursor(ns), err
	case 1:
		c := o.forward()
		c.routed, c.safe = rt.routed(rt.shards[0]), true
		m, err := o.open(ctx, rt.shards[0], c)
		if err != nil {
			return nil, err
		}
		return o.start(ctx, ns, &passFeed{m: m}, size, single, o.hold(rt))
	}
	f, err := o.mergedFind(ctx, rt, by)
	if err != nil {
		return nil, err
	}
	return o.start(ctx, ns, f, size, single, o.hold(rt))
}

// hold claims the ranges of a sharded collection for a new cursor.
func (o *op) hold(rt route) *rangeHold {
	if rt.table == nil {
		return nil
	}
	return o.r.catalog.cursors.hold(rt.ns)
}

// mergedFind opens a find on several shards. Skip, limit and, where the order
// needs the fields it may drop, the projection are done here.
func (o *op) mergedFind(ctx context.Context, rt route, by *collation.Collation) (feed, error) {
	body := o.req.Body
	for _, name := range []string{"tailable", "$_requestResumeToken"} {
		if getBool(body, name, false) {
			return nil, mongoerr.New(mongoerr.InvalidOptions, "%s is not possible on a collection that lives on several shards", name)
		}
	}
	skip, limit := getInt(body, "skip", 0), getInt(body, "limit", 0)
	sort := getDoc(body, "sort")
	if first, err := sort.IndexErr(0); err == nil && first.Key() == "$natural" {
		sort = nil
	}
	m, err := o.matcher(ctx, rt, getDoc(body, "filter"), by)
	if err != nil {
		return nil, err
	}
	compare, err := order(m, sort)
	if err != nil {
		return nil, err
	}
	var proj func(bson.Raw) (bson.Raw, error)
	if compare != nil {
		if proj, err = o.projection(m, by); err != nil {
			return nil, err
		}
	}
	drop := []string{"skip", "limit", "singleBatch"}
	var add []bson.E
	if limit > 0 {
		add = append(add, bson.E{Key: "limit", Value: limit + skip})
	}
	if proj != nil {
		drop = append(drop, "projection")
	}
	base := o.forward(drop...)
	base.body, base.safe = edit(base.body, nil, add...), true
	remotes, err := o.openAll(ctx, rt.shards, func(shard string) call {
		c := base
		c.routed = rt.routed(shard)
		return c
	})
	if err != nil {
		return nil, err
	}
	f := &sourceFeed{bound: &binding{op: o}, remotes: remotes}
	sources := make([]aggregate.Source, len(remotes))
	for i, m := range remotes {
		sources[i] = &shardSource{bound: f.bound, m: m}
	}
	src := together(sources, compare)
	if skip > 0 || limit > 0 {
		src = &windowSource{in: src, skip: skip, limit: limit}
	}
	if proj != nil {
		src = &mapSource{in: src, f: proj}
	}
	f.src = src
	return f, nil
}

// projection returns the client's projection, for where it must be applied after
// the merge; nil if there is none.
func (o *op) projection(m *query.Matcher, by *collation.Collation) (func(bson.Raw) (bson.Raw, error), error) {
	spec := getDoc(o.req.Body, "projection")
	if value.IsEmpty(spec) {
		return nil, nil //nolint:nilnil // nothing to do is an answer here
	}
	p, err := query.CompileProjection(spec, query.Options{Expr: o.exprHook(), Value: o.valueHook(), Matcher: m, Collation: by})
	if err != nil {
		return nil, err
	}
	return func(doc bson.Raw) (bson.Raw, error) {
		idx := -1
		if ok, i := m.MatchArrayIndex(doc); ok {
			idx = i
		}
		return p.Apply(doc, idx)
	}, nil
}

// count adds up what the shards count; skip and limit are taken off the sum.
func count(ctx context.Context, o *op) (bson.Raw, error) {
	if o.txn != nil {
		return nil, mongoerr.New(mongoerr.OperationNotSupportedInTransaction, "Cannot run 'count' in a multi-document transaction.")
	}
	coll, err := collectionName(o.req)
	if err != nil {
		return nil, err
	}
	ns := o.req.DB + "." + coll
	if v, ok := o.r.catalog.resolve(ns); ok {
		return countInView(ctx, o, v)
	}
	unlock, err := o.shared(ctx, ns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return freshly(o, ns, func() (bson.Raw, error) { return o.count(ctx, ns) })
}

func (o *op) count(ctx context.Context, ns string) (bson.Raw, error) {
	by, err := o.comparing(ns, o.req.Body)
	if err != nil {
		return nil, err
	}
	rt, err := o.route(ns, getDoc(o.req.Body, "query"), by)
	if err != nil {
		return nil, err
	}
	if len(rt.shards) == 0 {
		return rawDoc(bson.D{{"n", int32(0)}}), nil
	}
	skip, limit := getInt(o.req.Body, "skip", 0), getInt(o.req.Body, "limit", 0)
	limit = max(limit, -limit)
	base := o.forward("skip", "limit")
	base.safe = true
	if limit > 0 {
		base.body = edit(base.body, nil, bson.E{Key: "limit", Value: limit + skip})
	}
	resps, err := o.sendAll(ctx, rt.shards, func(shard string) call {
		c := base
		c.routed = rt.routed(shard)
		return c
	})
	if err != nil {
		return nil, err
	}
	var n int64
	for _, resp := range resps {
		n += getInt(resp.Body, "n", 0)
	}
	return countReply(n, skip, limit), nil
}

func countReply(n, skip, limit int64) bson.Raw {
	n = max(n-skip, 0)
	if limit > 0 {
		n = min(n, limit)
	}
	if n == int64(int32(n)) {
		return rawDoc(bson.D{{"n", int32(n)}})
	}
	return rawDoc(bson.D{{"n", n}})
}

// distinct joins the distinct values of the shards.
func distinct(ctx context.Context, o *op) (bson.Raw, error) {
	coll, err := collectionName(o.req)
	if err != nil {
		return nil, err
	}
	ns := o.req.DB + "." + coll
	if _, ok := o.r.catalog.resolve(ns); ok {
		return o.distinctOnView(ctx, coll)
	}
	unlock, err := o.shared(ctx, ns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return freshly(o, ns, func() (bson.Raw, error) { return o.distinct(ctx, ns) })
}

func (o *op) distinct(ctx context.Context, ns string) (bson.Raw, error) {
	by, err := o.comparing(ns, o.req.Body)
	if err != nil {
		return nil, err
	}
	rt, err := o.route(ns, getDoc(o.req.Body, "query"), by)
	if err != nil {
		return nil, err
	}
	base := o.forward()
	base.safe = true
	resps, err := o.sendAll(ctx, rt.shards, func(shard string) call {
		c := base
		c.routed = rt.routed(shard)
		return c
	})
	if err != nil {
		return nil, err
	}
	vals := []bson.RawValue{}
	for _, resp := range resps {
		v, _ := value.Get(resp.Body, "values")
		arr, _ := v.ArrayOK()
		for _, e := range value.Elements(bson.Raw(arr)) {
			vals = append(vals, e)
		}
	}
	if len(resps) > 1 {
		slices.SortStableFunc(vals, by.Compare)
		vals = slices.CompactFunc(vals, by.Equal)
	}
	reply := bson.D{{"values", vals}}
	if !o.at.IsZero() {
		reply = append(reply, bson.E{Key: "atClusterTime", Value: o.at})
	}
	return rawDoc(reply), nil
}
