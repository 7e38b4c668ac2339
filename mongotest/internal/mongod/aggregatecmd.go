package mongod

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// noCollection is the collection part of the cursors of {aggregate: 1}.
const noCollection = "$cmd.aggregate"

// aggregateCommand is a parsed aggregate command.
type aggregateCommand struct {
	coll      string // noCollection for {aggregate: 1}
	stages    []bson.Raw
	let       bson.Raw
	hint      bson.RawValue
	batchSize int64
	natural   naturalScan
	bypass    bool
	explain   bool
	collation collationArg
	mapReduce bool // it is what a mapReduce has become
}

// pipelineOf returns the stages of an aggregate command.
func pipelineOf(req *command.Request) ([]bson.Raw, error) {
	a := &args{name: req.Name, body: req.Body}
	stages := a.docs("pipeline")
	return stages, a.err
}

func parseAggregate(op *operation) (aggregateCommand, error) {
	c := aggregateCommand{coll: noCollection}
	if target := op.req.Body.Lookup("aggregate"); target.Type == bson.TypeString {
		name, err := op.collName()
		if err != nil {
			return c, err
		}
		c.coll = name
	} else if i, ok := value.AsInt64(target); !ok || i != 1 {
		if ok {
			return c, mongoerr.New(mongoerr.BadValue, "Invalid command format: the 'aggregate' field must specify a collection name or 1")
		}
		return c, mongoerr.New(mongoerr.InvalidNamespace, "Invalid command format: the 'aggregate' field must be a string or 1, not %s", value.TypeName(target.Type))
	}
	a := op.args()
	c.collation = a.collation()
	if !a.has("pipeline") {
		return c, missingField("aggregate", "pipeline")
	}
	c.stages = a.docs("pipeline")
	c.let, c.hint, c.natural = a.doc("let"), a.lookup("hint"), a.naturalScan()
	c.bypass = a.bool("bypassDocumentValidation", false)
	if c.mapReduce = op.req.Routed != nil && a.bool("isMapReduceCommand", false); c.mapReduce {
		op.mapReduceScope(a.doc("runtimeConstants").Lookup("jsScope"))
	}
	c.batchSize = firstBatch
	c.explain = a.bool("explain", false)
	cur := a.doc("cursor")
	if cur == nil && !c.explain {
		a.fail(mongoerr.FailedToParse, "The 'cursor' option is required, except for aggregate with the explain argument")
	} else {
		sub := &args{name: "cursor", body: cur}
		if sub.has("batchSize") {
			c.batchSize = sub.count("batchSize", 0)
		}
		if a.err == nil {
			a.err = sub.err
		}
	}
	return c, a.err
}

func runAggregate(ctx context.Context, op *operation) (bson.Raw, error) {
	a, err := parseAggregate(op)
	if err != nil {
		return nil, err
	}
	if a.explain {
		return op.explain(ctx, op.req.Body, "queryPlanner")
	}
	c, err := op.openAggregate(a)
	if err != nil {
		return nil, err
	}
	return op.firstReply(ctx, c, a.batchSize, false)
}

func (op *operation) openAggregate(a aggregateCommand) (*cursor, error) {
	if len(a.stages) > 0 && a.stages[0].Lookup("$changeStream").Type != 0 {
		return op.openStream(a)
	}
	return op.openPipeline(a)
}

// openPipeline makes the cursor of a pipeline that is no change stream.
func (op *operation) openPipeline(a aggregateCommand) (*cursor, error) {
	coll, err := op.collationOn(a.coll, a.collation)
	if err != nil {
		return nil, err
	}
	lang, err := op.language(a.let, coll)
	if err != nil {
		return nil, err
	}
	feed := &docFeed{left: -1, script: lang.script}
	c := &cursor{ns: op.req.DB + "." + a.coll, number: noNumber, feed: feed}
	err = op.view(func(tx *storage.Tx) error {
		if a.coll != noCollection {
			if err := op.checkUUID(tx, a.coll); err != nil {
				return err
			}
		}
		return op.planPipeline(tx, a, lang, feed)
	})
	return c, err
}

// planPipeline gives feed the results of the pipeline.
func (op *operation) planPipeline(tx *storage.Tx, a aggregateCommand, lang *language, feed *docFeed) error {
	base, stages, err := op.base(tx, a)
	if err != nil {
		return err
	}
	stages = append(slices.Clip(stages), a.stages...)
	for _, st := range stages {
		lang.script.expect(st)
	}
	src, rest, err := op.initialSource(tx, base, stages, feed, lang, a)
	if err != nil {
		return err
	}
	env := aggregate.Env{DB: op.req.DB, Vars: lang.vars, Reader: reader{op: op, coll: lang.vars.Collation()}, Writer: writer{op: op, bypass: a.bypass, coll: lang.vars.Collation()}}
	if a.mapReduce {
		env.Where = lang.script.where
	}
	if op.txn != nil {
		env.Writer = nil
	}
	p, err := aggregate.CompilePipeline(rest, env)
	if err != nil {
		return err
	}
	feed.src = p.Run(src)
	return nil
}

// base returns what a pipeline reads, and the stages before its own. The stages
// about a collection as a whole see a time-series collection as it is.
func (op *operation) base(tx *storage.Tx, a aggregateCommand) (string, []bson.Raw, error) {
	if first := firstStage(a.stages); first == "$collStats" || first == "$indexStats" {
		if c := tx.Collection(op.req.DB + "." + a.coll); c != nil && c.IsTimeseries() {
			return a.coll, nil, nil
		}
	}
	return resolveView(tx, op.req.DB, a.coll)
}

// initialSource makes the source of a pipeline's first stages, and returns the
// stages that remain.
func (op *operation) initialSource(tx *storage.Tx, coll string, stages []bson.Raw, feed *docFeed, lang *language, a aggregateCommand) (aggregate.Source, []bson.Raw, error) {
	if len(stages) > 0 {
		src, ok, err := op.stageSource(tx, coll, stages[0])
		if err != nil || ok {
			return src, stages[1:], err
		}
	}
	if near := stages0(stages, "$geoNear"); near.Type != 0 && coll != noCollection {
		src, err := op.geoNearSource(tx, coll, near, feed, lang, a)
		return src, stages[1:], err
	}
	if coll == noCollection {
		if len(stages) > 0 && stages[0].Lookup("$documents").Type != 0 {
			return &sliceSource{docs: []bson.Raw{emptyDoc()}}, stages, nil
		}
		if name := firstStage(stages); name != "" && !aggregate.Knows(name) {
			return nil, nil, mongoerr.New(40324, "Unrecognized pipeline stage name: '%s'", name)
		}
		return nil, nil, mongoerr.New(mongoerr.InvalidNamespace, "{aggregate: 1} is not valid for '%s'; a collection is required.", firstStage(stages))
	}
	f := findCommand{coll: coll, wanted: wanted{hint: a.hint}, natural: a.natural}
	rest := stages
	if len(rest) > 0 {
		if m, ok := rest[0].Lookup("$match").DocumentOK(); ok {
			f.wanted.filter, rest = m, rest[1:]
		}
	}
	if len(rest) > 0 {
		if s, ok := rest[0].Lookup("$sort").DocumentOK(); ok && isPlainSort(s) {
			f.wanted.sort = s
		}
	}
	if err := f.natural.check(f.wanted); err != nil {
		return nil, nil, err
	}
	var err error
	if f.wanted.matcher, err = lang.stageFilter(f.wanted.filter, a.mapReduce); err != nil {
		return nil, nil, err
	}
	if err := op.restrict(coll, &f.wanted, nil); err != nil {
		return nil, nil, err
	}
	c := &cursor{ns: op.req.DB + "." + coll}
	if err := bindText(tx.Collection(c.ns), &f.wanted); err != nil {
		return nil, nil, err
	}
	src, sorted, err := op.findSource(tx, tx.Collection(c.ns), f, c, feed)
	if sorted && f.wanted.sort != nil {
		rest = rest[1:] // the scan is in the order of the $sort
	}
	return src, rest, err
}

// stages0 returns the argument of the first stage if it is of that name.
func stages0(stages []bson.Raw, name string) bson.RawValue {
	if len(stages) == 0 || fieldCount(stages[0]) != 1 {
		return bson.RawValue{}
	}
	return stages[0].Lookup(name)
}

func firstStage(stages []bson.Raw) string {
	if len(stages) == 0 {
		return ""
	}
	e, err := stages[0].IndexErr(0)
	if err != nil {
		return ""
	}
	return e.Key()
}

// isPlainSort reports whether an index might serve the sort.
func isPlainSort(s bson.Raw) bool {
	for name, v := range value.Elements(s) {
		if _, ok := value.AsInt64(v); !ok || name == "" || name[0] == '$' {
			return false
		}
	}
	return !isEmpty(s)
}

// reader opens the other collections of a pipeline.
type reader struct {
	op   *operation
	coll *collation.Collation
}

// Open implements aggregate.Reader.
func (r reader) Open(_ context.Context, db, coll string) (aggregate.Source, error) {
	var src aggregate.Source
	view := r.op.cursorView()
	err := view(func(tx *storage.Tx) error {
		if err := sameCollation(tx.Collection(db+"."+coll), r.coll); err != nil {
			return err
		}
		base, stages, err := resolveView(tx, db, coll)
		if err != nil {
			return err
		}
		src = &sliceSource{}
		if c := tx.Collection(db + "." + base); c != nil {
			scan := newScanSource(view, c, collectionScan(false), nil, nil)
			scan.undecided = r.op.preparedReads()
			src = scan
		}
		if len(stages) == 0 {
			return nil
		}
		lang, err := r.op.language(nil, r.coll)
		if err != nil {
			return err
		}
		p, err := aggregate.CompilePipeline(stages, aggregate.Env{DB: db, Vars: lang.vars, Reader: r})
		if err != nil {
			return err
		}
		src = p.Run(src)
		return nil
	})
	return src, err
}
