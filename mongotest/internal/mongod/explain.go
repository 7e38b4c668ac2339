package mongod

import (
	"context"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/planning"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// explained is a command whose plan is asked for.
type explained struct {
	op     *operation // as the command itself would be one
	coll   string
	wanted wanted
	// projection, skip and limit are of find; stages of what aggregate does
	// after the query that it begins with.
	projection bson.Raw
	skip       int64
	limit      int64
	stages     []bson.Raw
	verbosity  string
	collation  collationArg
	by         *collation.Collation // as it is on the collection
}

// executes reports whether the explained command is run, too.
func (e *explained) executes() bool { return e.verbosity != "queryPlanner" }

// runExplain tells the plan of a find, count, distinct, aggregate, update,
// delete or findAndModify, and, unless only that is asked for, what it does.
// Nothing is written.
func runExplain(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	inner, verbosity := a.doc("explain"), a.string("verbosity")
	if a.err != nil {
		return nil, a.err
	}
	if verbosity == "" {
		verbosity = "allPlansExecution"
	}
	name := firstStage([]bson.Raw{inner})
	if op.node.table[name] == nil {
		return nil, mongoerr.New(mongoerr.CommandNotFound, "Explain failed due to unknown command: %s", name)
	}
	if !slices.Contains([]string{"find", "count", "distinct", "aggregate", "update", "delete", "findAndModify", "findandmodify"}, name) {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "command cannot be explained: %s", name)
	}
	return op.explain(ctx, inner, verbosity)
}

// explain answers for one command.
func (op *operation) explain(ctx context.Context, inner bson.Raw, verbosity string) (bson.Raw, error) {
	sub := *op
	sub.req = &command.Request{Name: firstStage([]bson.Raw{inner}), DB: op.req.DB, Body: inner, Client: op.req.Client, Routed: op.req.Routed}
	e, err := sub.readExplained(verbosity)
	if err != nil {
		return nil, err
	}
	if e.by, err = sub.collationOn(e.coll, e.collation); err != nil {
		return nil, err
	}
	var reply bson.Raw
	err = op.view(func(tx *storage.Tx) error {
		reply, err = e.answer(ctx, tx)
		return err
	})
	return reply, err
}

// readExplained reads what the explained command looks for.
func (op *operation) readExplained(verbosity string) (*explained, error) {
	e := &explained{op: op, verbosity: verbosity}
	a := op.args()
	if op.req.Name == "aggregate" && op.req.Body.Lookup("aggregate").Type != bson.TypeString {
		e.coll = noCollection
	} else {
		var err error
		if e.coll, err = op.collName(); err != nil {
			return nil, err
		}
	}
	e.collation = a.collation()
	e.wanted = wanted{hint: a.lookup("hint"), sort: a.doc("sort")}
	switch op.req.Name {
	case "find":
		e.wanted.filter, e.wanted.min, e.wanted.max = a.doc("filter"), nonEmpty(a.doc("min")), nonEmpty(a.doc("max"))
		e.projection, e.skip, e.limit = a.doc("projection"), a.count("skip", 0), a.count("limit", 0)
	case "count":
		e.wanted.filter, e.skip, e.limit = a.doc("query"), a.count("skip", 0), max(a.int64("limit", 0), -a.int64("limit", 0))
	case "distinct", "findAndModify", "findandmodify":
		e.wanted.filter = a.doc("query")
		if op.req.Name != "distinct" {
			e.limit = 1
		}
	case "aggregate":
		e.stages = a.docs("pipeline")
	case "update", "delete":
		statements := a.docs(op.req.Name + "s")
		if len(statements) != 1 {
			return nil, mongoerr.New(mongoerr.InvalidLength, "explained write batches must be of size 1")
		}
		st := &args{name: op.req.Name, body: statements[0]}
		e.wanted.filter, e.wanted.hint, e.collation = st.doc("q"), st.lookup("hint"), st.collation()
		if st.err != nil {
			return nil, st.err
		}
		if op.req.Name == "delete" {
			e.limit = st.int64("limit", 0)
		} else if !st.bool("multi", false) {
			e.limit = 1
		}
	}
	return e, a.err
}

// answer makes the reply: of a query alone, or with the stages that follow it.
func (e *explained) answer(ctx context.Context, tx *storage.Tx) (bson.Raw, error) {
	op := e.op
	lang, err := op.language(op.args().doc("let"), e.by)
	if err != nil {
		return nil, err
	}
	var compiled *aggregate.Pipeline
	ns := op.req.DB + "." + e.coll
	if c := tx.Collection(ns); op.req.Name == "aggregate" || c != nil && c.IsView() {
		if compiled, err = e.splitPipeline(tx, lang); err != nil {
			return nil, err
		}
	}
	if e.wanted.filter == nil {
		e.wanted.filter = emptyDoc()
	}
	if e.wanted.matcher, err = lang.filter(e.wanted.filter); err != nil {
		return nil, err
	}
	q, err := e.explainQuery(ctx, tx)
	if err != nil {
		return nil, err
	}
	pairs := []any{"explainVersion", "1"}
	if compiled == nil || len(e.stages) == 0 {
		pairs = append(pairs, q...)
	} else {
		stages, err := e.explainStages(ctx, q, compiled, tx)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, "stages", stages)
	}
	if name := op.req.Name; name == "find" || name == "distinct" || name == "aggregate" {
		pairs = append(pairs, "queryShapeHash", planning.ShapeHash(planning.Merge(op.req.Body, value.D("$db", op.req.DB))))
	}
	host, port, _ := strings.Cut(op.node.cfg.Name, ":")
	return value.D(append(pairs, "command", planning.Merge(op.req.Body, value.D("$db", op.req.DB)),
		"serverInfo", value.D("host", host, "port", portNumber(port), "version", op.node.cfg.Version.String(), "gitVersion", strings.Repeat("0", 40)),
		"serverParameters", value.D("internalQueryMaxBlockingSortMemoryUsageBytes", op.node.params.get("internalQueryMaxBlockingSortMemoryUsageBytes")),
	)...), nil
}

func portNumber(s string) int32 {
	n := int32(0)
	for _, c := range s {
		n = n*10 + c - '0'
	}
	return n
}

// splitPipeline takes the query that a pipeline begins with off its stages, as
// the pipeline itself does, and compiles the rest.
func (e *explained) splitPipeline(tx *storage.Tx, lang *language) (*aggregate.Pipeline, error) {
	base, stages, err := resolveView(tx, e.op.req.DB, e.coll)
	if err != nil {
		return nil, err
	}
	if e.op.req.Name != "aggregate" {
		stages = append(stages, e.asStages()...)
	} else {
		stages = append(slices.Clip(stages), e.stages...)
	}
	e.coll, e.stages = base, stages
	whole := stages
	if len(stages) > 0 {
		if m, ok := stages[0].Lookup("$match").DocumentOK(); ok {
			e.wanted.filter, e.stages = m, stages[1:]
		}
	}
	if len(e.stages) > 0 {
		if s, ok := e.stages[0].Lookup("$sort").DocumentOK(); ok && isPlainSort(s) {
			e.wanted.sort, e.stages = s, e.stages[1:]
		}
	}
	e.absorbBounds()
	if len(whole) > 0 {
		if _, isState := stateStages()[firstStage(whole)]; isState || firstStage(whole) == "$changeStream" {
			return nil, nil
		}
	}
	env := aggregate.Env{DB: e.op.req.DB, Vars: lang.vars, Reader: reader{op: e.op, coll: e.by}, Writer: writer{op: e.op, coll: e.by}}
	if _, err := aggregate.CompilePipeline(whole, env); err != nil {
		return nil, err
	}
	run := e.stages
	if len(run) > 0 { // what would be written is left out
		if last := firstStage(run[len(run)-1:]); last == "$out" || last == "$merge" {
			run = run[:len(run)-1]
		}
	}
	return aggregate.CompilePipeline(run, env)
}

// absorbBounds takes a $skip and a $limit after the query into it.
func (e *explained) absorbBounds() {
	if len(e.stages) > 0 {
		if n, ok := value.AsInt64(e.stages[0].Lookup("$skip")); ok && n > 0 {
			e.skip, e.stages = n, e.stages[1:]
		}
	}
	if len(e.stages) > 0 {
		if n, ok := value.AsInt64(e.stages[0].Lookup("$limit")); ok && n > 0 {
			e.limit, e.stages = n, e.stages[1:]
		}
	}
}

// asStages are the stages that a query on a view amounts to.
func (e *explained) asStages() []bson.Raw {
	var stages []bson.Raw
	if !isEmpty(e.wanted.filter) {
		stages = append(stages, value.D("$match", e.wanted.filter))
	}
	if !isEmpty(e.wanted.sort) {
		stages = append(stages, value.D("$sort", e.wanted.sort))
	}
	if e.skip > 0 {
		stages = append(stages, value.D("$skip", e.skip))
	}
	if e.limit > 0 {
		stages = append(stages, value.D("$limit", e.limit))
	}
	if !isEmpty(e.projection) {
		stages = append(stages, value.D("$project", e.projection))
	}
	e.wanted, e.skip, e.limit, e.projection = wanted{hint: e.wanted.hint}, 0, 0, nil
	return stages
}

// explainStages renders the stages after the query, which runs first.
func (e *explained) explainStages(ctx context.Context, q []any, p *aggregate.Pipeline, tx *storage.Tx) ([]bson.Raw, error) {
	out := []bson.Raw{value.D("$cursor", value.D(q...))}
	var counts []int64
	if e.executes() {
		docs, _, err := e.results(ctx, tx)
		if err != nil {
			return nil, err
		}
		src, counters := p.RunCounted(&sliceSource{docs: docs})
		if _, err := drain(ctx, src); err != nil {
			return nil, err
		}
		counts = counters()
		out[0] = appendFields(out[0], "nReturned", int64(len(docs)), "executionTimeMillisEstimate", int64(0))
	}
	for i, s := range e.stages {
		if e.executes() && i < len(counts) {
			s = appendFields(s, "nReturned", counts[i], "executionTimeMillisEstimate", int64(0))
		}
		out = append(out, s)
	}
	return out, nil
}

// results runs the query and returns what it yields, in order.
func (e *explained) results(ctx context.Context, tx *storage.Tx) ([]bson.Raw, plan, error) {
	w := e.wanted
	c := tx.Collection(e.op.req.DB + "." + e.coll)
	if c == nil {
		return nil, plan{}, nil
	}
	if err := bindText(c, &w); err != nil {
		return nil, plan{}, err
	}
	p, err := makePlan(c, w)
	if err != nil {
		return nil, p, err
	}
	scan := newScanSource(func(fn func(*storage.Tx) error) error { return fn(tx) }, c, p, w.matcher, e.op.owned)
	var docs []bson.Raw
	stopAt := int64(-1)
	if p.sorted && e.limit > 0 {
		stopAt = e.skip + e.limit
	}
	for stopAt < 0 || int64(len(docs)) < stopAt {
		d, err := scan.Next(ctx)
		if err != nil {
			return nil, p, err
		}
		if d == nil {
			break
		}
		docs = append(docs, d)
	}
	p.examined = scan.examined
	if stopAt >= 0 { // what was read ahead is nothing a server would have looked at
		p.examined -= int64(len(scan.ahead))
	}
	if !p.sorted {
		s, err := query.CompileSort(w.sort, e.by)
		if err != nil {
			return nil, p, err
		}
		slices.SortStableFunc(docs, s.Compare)
	}
	docs = docs[min(int(e.skip), len(docs)):]
	if e.limit > 0 && int64(len(docs)) > e.limit {
		docs = docs[:e.limit]
	}
	p.matched = int64(len(docs))
	return docs, p, nil
}
