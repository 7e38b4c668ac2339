package mongos

import (
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func runAggregate(ctx context.Context, o *op) (bson.Raw, error) {
	body := o.req.Body
	v, _ := value.Get(body, "pipeline")
	if v.Type != bson.TypeArray {
		return nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field 'aggregate.pipeline' is the wrong type '%s', expected type 'array'", v.Type)
	}
	stages := docsOf(v)
	if has(body, "$_passthroughToShard") {
		return o.passThrough(ctx)
	}
	coll, _ := value.Get(body, "aggregate")
	if stageName(stages, 0) == "$changeStream" {
		return o.changeStream(ctx, stages)
	}
	size := getInt(getDoc(body, "cursor"), "batchSize", firstBatchSize)
	if coll.Type == bson.TypeString && stageName(stages, 0) == "$shardedDataDistribution" {
		return nil, notOnAdmin()
	}
	if coll.Type != bson.TypeString {
		return o.aggregateDatabase(ctx, stages, size)
	}
	ns := o.req.NS()
	if v, ok := o.r.catalog.resolve(ns); ok {
		if err := o.onView(ns, v); err != nil {
			return nil, err
		}
		return o.aggregate(ctx, ns, v.on, slices.Concat(v.pipeline, stages), size)
	}
	return o.aggregate(ctx, ns, ns, stages, size)
}

// passThrough runs the client's aggregate on the one shard it names.
func (o *op) passThrough(ctx context.Context) (bson.Raw, error) {
	id := getString(getDoc(o.req.Body, "$_passthroughToShard"), "shard")
	s, err := o.r.catalog.shard(id)
	if err != nil {
		return nil, err
	}
	return freshly(o, o.req.NS(), func() (bson.Raw, error) {
		c := o.forward()
		c.safe = true
		rt, err := o.place(o.req.NS())
		if err != nil {
			return nil, err
		}
		if rt.table != nil && stageName(getDocs(o.req.Body, "pipeline"), 0) != "$changeStream" {
			c.routed = rt.routed(s.ID)
		}
		m, err := o.open(ctx, s.ID, c)
		if err != nil {
			return nil, err
		}
		return o.start(ctx, m.ns, &passFeed{m: m}, -1, false, nil)
	})
}

// stageName returns the operator of a stage, "" if there is none.
func stageName(stages []bson.Raw, i int) string {
	if i >= len(stages) {
		return ""
	}
	e, err := stages[i].IndexErr(0)
	if err != nil {
		return ""
	}
	return e.Key()
}

// aggregate runs stages over the collection ns and answers under the name
// replyNS, which differs for views.
func (o *op) aggregate(ctx context.Context, replyNS, ns string, stages []bson.Raw, size int64) (bson.Raw, error) {
	f, use, err := o.openPipeline(ctx, ns, stages)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return emptyCursor(replyNS), nil
	}
	return o.start(ctx, replyNS, f, size, false, use)
}

// openPipeline opens the shards' parts of a pipeline. The lock of ns ends with
// it: what runs on the router may write to other collections, or to the same.
func (o *op) openPipeline(ctx context.Context, ns string, stages []bson.Raw) (feed, *rangeHold, error) {
	unlock, err := o.shared(ctx, ns)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	var f feed
	var use *rangeHold
	err = o.fresh(ns, func() error {
		f, use, err = o.openStages(ctx, ns, stages)
		return err
	})
	return f, use, err
}

// openStages opens a pipeline by what the router knows of ns.
func (o *op) openStages(ctx context.Context, ns string, stages []bson.Raw) (feed, *rangeHold, error) {
	var filter bson.Raw
	if stageName(stages, 0) == "$match" {
		filter = getDoc(stages[0], "$match")
	}
	by, err := o.comparing(ns, o.req.Body)
	if err != nil {
		return nil, nil, err
	}
	rt, err := o.route(ns, filter, by)
	if err != nil {
		return nil, nil, err
	}
	if len(rt.shards) == 0 {
		if len(stages) == 0 || stageName(stages, len(stages)-1) != "$out" {
			return nil, nil, nil
		}
		f, err := o.routerPart(&docsSource{}, nil, stages)
		return f, nil, err
	}
	if len(rt.shards) == 1 && o.runsOnShard(ns, stages) || has(o.req.Body, "explain") {
		c := o.forward()
		if ns != o.req.NS() || c.name != "aggregate" {
			c = o.pipelineCall(ns, stages)
		}
		c.routed, c.safe = rt.routed(rt.shards[0]), true
		m, err := o.open(ctx, rt.shards[0], c)
		if err != nil {
			return nil, nil, err
		}
		return &passFeed{m: m}, o.hold(rt), nil
	}
	return o.splitPipeline(ctx, rt, stages)
}

// pipelineCall is an aggregate of the router's own making.
func (o *op) pipelineCall(ns string, stages []bson.Raw) call {
	db, coll, _ := splitNS(ns)
	cmd := bson.D{{"aggregate", coll}, {"pipeline", arrayOf(stages)}, {"cursor", bson.D{}}}
	for _, name := range []string{"let", "collation", "allowDiskUse", "hint", "runtimeConstants", "isMapReduceCommand"} {
		if v, ok := value.Get(o.req.Body, name); ok {
			cmd = append(cmd, bson.E{Key: name, Value: v})
		}
	}
	return o.read(db, cmd)
}

// splitPipeline runs the first stages on every targeted shard and the others
// on the router.
func (o *op) splitPipeline(ctx context.Context, rt route, stages []bson.Raw) (feed, *rangeHold, error) {
	onShards, onRouter := aggregate.Split(stages)
	var compare func(a, b bson.Raw) int
	switch {
	case perShard(stages):
		onShards, onRouter = stages[:1], stages[1:]
	case stageName(stages, 0) == "$geoNear":
		onShards, onRouter, compare = nearPipeline(stages)
	}
	base := o.pipelineCall(rt.ns, onShards)
	remotes, err := o.openAll(ctx, rt.shards, func(shard string) call {
		c := base
		c.routed = rt.routed(shard)
		return c
	})
	if err != nil {
		return nil, nil, err
	}
	bound := &binding{op: o}
	sources := make([]aggregate.Source, len(remotes))
	for i, m := range remotes {
		sources[i] = &shardSource{bound: bound, m: m}
		if perShard(stages) {
			sources[i] = &mapSource{in: sources[i], f: func(doc bson.Raw) (bson.Raw, error) {
				return set(doc, bson.E{Key: "shard", Value: m.shard}), nil
			}}
		}
	}
	f, err := o.routerPart(together(sources, compare), bound, onRouter)
	if err != nil {
		for _, m := range remotes {
			m.close(ctx, o)
		}
		return nil, nil, err
	}
	f.remotes = remotes
	return f, o.hold(rt), nil
}

// perShard reports whether the pipeline starts with a stage that describes
// each shard's part of a collection.
func perShard(stages []bson.Raw) bool {
	return slices.Contains([]string{"$collStats", "$indexStats"}, stageName(stages, 0))
}

// routerPart runs stages on the router over what the shards gave.
func (o *op) routerPart(in aggregate.Source, bound *binding, stages []bson.Raw) (*sourceFeed, error) {
	if bound == nil {
		bound = &binding{op: o}
	}
	vars, err := o.vars()
	if err != nil {
		return nil, err
	}
	p, err := aggregate.CompilePipeline(stages, aggregate.Env{
		DB: o.req.DB, Vars: vars.WithScript(o.script(bound)), Reader: reader{bound}, Writer: writer{bound},
	})
	if err != nil {
		return nil, err
	}
	return &sourceFeed{bound: bound, src: p.Run(in)}, nil
}

// vars are the variables of the client's command, its let evaluated.
func (o *op) vars() (aggregate.Vars, error) {
	by, err := o.comparing(o.req.NS(), o.req.Body)
	if err != nil {
		return aggregate.Vars{}, err
	}
	none := aggregate.NewVars(nil, time.Now(), o.r.cfg.Clock.Now()).Collated(by)
	var let bson.D
	for name, v := range value.Elements(getDoc(o.req.Body, "let")) {
		e, err := aggregate.CompileExpr(v)
		if err != nil {
			return aggregate.Vars{}, err
		}
		x, missing, err := e.Eval(rawDoc(bson.D{}), none)
		if err != nil {
			return aggregate.Vars{}, err
		}
		if !missing {
			let = append(let, bson.E{Key: name, Value: x})
		}
	}
	return aggregate.NewVars(rawDoc(let), time.Now(), o.r.cfg.Clock.Now()).Collated(by), nil
}

// exprHook evaluates $expr on the router.
func (o *op) exprHook() func(bson.RawValue, bson.Raw) (bool, error) {
	vars, err := o.vars()
	if err != nil {
		return func(bson.RawValue, bson.Raw) (bool, error) { return false, err }
	}
	return aggregate.ExprHook(vars)
}

// valueHook evaluates the expressions of a projection on the router.
func (o *op) valueHook() func(bson.RawValue, bson.Raw) (bson.RawValue, error) {
	vars, varsErr := o.vars()
	return func(expr bson.RawValue, doc bson.Raw) (bson.RawValue, error) {
		if varsErr != nil {
			return bson.RawValue{}, varsErr
		}
		e, err := aggregate.CompileExpr(expr)
		if err != nil {
			return bson.RawValue{}, err
		}
		v, missing, err := e.Eval(doc, vars)
		if missing {
			v = bson.RawValue{}
		}
		return v, err
	}
}

// aggregateDatabase runs an aggregate that reads no collection.
func (o *op) aggregateDatabase(ctx context.Context, stages []bson.Raw, size int64) (bson.Raw, error) {
	ns := o.req.DB + ".$cmd.aggregate"
	if stageName(stages, 0) == "$currentOp" {
		f, err := o.currentOp(ctx, stages)
		if err != nil {
			return nil, err
		}
		return o.start(ctx, ns, f, size, false, nil)
	}
	if stageName(stages, 0) == "$shardedDataDistribution" {
		f, err := o.dataDistribution(ctx, stages)
		if err != nil {
			return nil, err
		}
		return o.start(ctx, ns, f, size, false, nil)
	}
	if stageName(stages, 0) == "$documents" {
		f, err := o.routerPart(&docsSource{}, nil, stages)
		if err != nil {
			return nil, err
		}
		return o.start(ctx, ns, f, size, false, nil)
	}
	return freshly(o, ns, func() (bson.Raw, error) {
		rt, err := o.place(ns)
		if err != nil || len(rt.shards) == 0 {
			return emptyCursor(ns), err
		}
		c := o.forward()
		c.routed = rt.routed(rt.shards[0])
		m, err := o.open(ctx, rt.shards[0], c)
		if err != nil {
			return nil, err
		}
		return o.start(ctx, ns, &passFeed{m: m}, size, false, nil)
	})
}

// currentOp asks every shard what it does.
func (o *op) currentOp(ctx context.Context, stages []bson.Raw) (feed, error) {
	base := o.read(o.req.DB, bson.D{{"aggregate", int32(1)}, {"pipeline", arrayOf(stages[:1])}, {"cursor", bson.D{}}})
	remotes, err := o.openAll(ctx, o.r.catalog.shardIDs(), func(string) call { return base })
	if err != nil {
		return nil, err
	}
	bound := &binding{op: o}
	sources := make([]aggregate.Source, len(remotes))
	for i, m := range remotes {
		sources[i] = &mapSource{in: &shardSource{bound: bound, m: m}, f: func(doc bson.Raw) (bson.Raw, error) {
			return namedByShard(doc, m.shard), nil
		}}
	}
	f, err := o.routerPart(&chainSource{rest: sources}, bound, stages[1:])
	if err != nil {
		return nil, err
	}
	f.remotes = remotes
	return f, nil
}
