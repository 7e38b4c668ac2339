package mongos

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A statement is one document of a write command: of documents, updates or
// deletes.
type statement struct {
	index int // in the client's command
	stmt  int32
	doc   bson.Raw
}

// A writeOp is an insert, update or delete under way.
type writeOp struct {
	*op
	rt      route // of the collection, its shards unset
	ns      string
	base    call // the client's command without its statements
	ordered bool
	result  writeResult
}

// runWrite carries out insert, update and delete. The statements stay under a
// shared lock of the collection, so that its chunks stay where they are, until
// one needs the collection for itself.
func runWrite(ctx context.Context, o *op) (bson.Raw, error) {
	w, stmts, err := o.newWrite()
	if err != nil {
		return nil, err
	}
	for len(stmts) > 0 {
		if stmts, err = w.underLock(ctx, stmts, (*writeOp).some); err != nil {
			return nil, err
		}
		if len(stmts) == 0 || w.stopped() {
			break
		}
		// The next statement may change shard keys.
		rest := stmts[1:]
		if _, err = w.alone(ctx, stmts[0]); err != nil {
			return nil, err
		}
		if stmts = rest; w.stopped() {
			break
		}
	}
	return w.result.reply(o.req.Name), nil
}

func (o *op) newWrite() (*writeOp, []statement, error) {
	coll, err := collectionName(o.req)
	if err != nil {
		return nil, nil, err
	}
	id := sequenceOf[o.req.Name]
	docs, err := o.req.Docs(id)
	if err != nil {
		return nil, nil, err
	}
	if len(docs) == 0 || len(docs) > 100000 {
		return nil, nil, mongoerr.New(mongoerr.InvalidLength, "Write batch sizes must be between 1 and 100000. Got %d operations.", len(docs))
	}
	w := &writeOp{op: o, ns: o.req.DB + "." + coll, ordered: getBool(o.req.Body, "ordered", true)}
	w.base = o.forward(id)
	w.base.safe = has(o.req.Body, "txnNumber")
	stmts := make([]statement, len(docs))
	numbers := stmtIDs(o.req.Body)
	for i, d := range docs {
		stmts[i] = statement{index: i, stmt: numbers(i), doc: d}
	}
	return w, stmts, nil
}

// stmtIDs returns the statement numbers of a retryable write: given one by
// one, counted from a first one, or the indexes.
func stmtIDs(body bson.Raw) func(i int) int32 {
	if v, ok := value.Get(body, "stmtIds"); ok && v.Type == bson.TypeArray {
		var ids []int32
		for _, e := range value.Elements(bson.Raw(v.Array())) {
			n, _ := value.AsInt64(e)
			ids = append(ids, int32(n))
		}
		return func(i int) int32 {
			if i < len(ids) {
				return ids[i]
			}
			return int32(i)
		}
	}
	first := int32(max(getInt(body, "stmtId", 0), 0))
	return func(i int) int32 { return first + int32(i) }
}

// underLock runs f with the collection's routing in w.rt. The database is made
// before if need be, and so is a collection that an insert creates.
func (w *writeOp) underLock(ctx context.Context, stmts []statement, f func(*writeOp, context.Context, []statement) ([]statement, error)) ([]statement, error) {
	if _, err := w.writablePrimary(ctx, w.req.DB); err != nil {
		return nil, err
	}
	unlock, err := w.shared(ctx, w.ns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	w.rt = route{ns: w.ns, table: w.r.catalog.table(w.ns)}
	return f(w, ctx, stmts)
}

// stopped reports whether an ordered command ends here.
func (w *writeOp) stopped() bool { return w.ordered && len(w.result.errors) > 0 }

// some runs statements until one has to be run alone, and returns that one and
// those behind it.
func (w *writeOp) some(ctx context.Context, stmts []statement) ([]statement, error) {
	if w.rt.table == nil {
		p, _ := w.r.primaryOf(w.req.DB)
		return nil, w.batch(ctx, p, stmts)
	}
	plans := make([]plan, 0, len(stmts))
	var rest []statement
	for i, s := range stmts {
		p := w.plan(s)
		if p.alone {
			rest = stmts[i:]
			break
		}
		plans = append(plans, p)
	}
	if w.ordered {
		return rest, w.inOrder(ctx, plans)
	}
	return rest, w.anyOrder(ctx, plans)
}

// inOrder runs neighbours for one shard together.
func (w *writeOp) inOrder(ctx context.Context, plans []plan) error {
	for i := 0; i < len(plans) && !w.stopped(); {
		if !plans[i].single() {
			if err := w.spread(ctx, plans[i]); err != nil {
				return err
			}
			i++
			continue
		}
		var group []statement
		shard := plans[i].shards[0]
		for ; i < len(plans) && plans[i].single() && plans[i].shards[0] == shard; i++ {
			group = append(group, plans[i].statement)
		}
		if err := w.batch(ctx, shard, group); err != nil {
			return err
		}
	}
	return nil
}

// anyOrder runs what goes to one shard each in parallel, the rest one by one.
func (w *writeOp) anyOrder(ctx context.Context, plans []plan) error {
	groups := map[string][]statement{}
	var shards []string
	for _, p := range plans {
		if !p.single() {
			continue
		}
		s := p.shards[0]
		if groups[s] == nil {
			shards = append(shards, s)
		}
		groups[s] = append(groups[s], p.statement)
	}
	err := w.each(ctx, shards, func(ctx context.Context, _ int, shard string) error {
		return w.batch(ctx, shard, groups[shard])
	})
	for _, p := range plans {
		if err == nil && !p.single() {
			err = w.spread(ctx, p)
		}
	}
	return err
}

// batch sends statements to one shard and keeps the outcome.
func (w *writeOp) batch(ctx context.Context, shard string, stmts []statement) error {
	resp, err := w.sendWrite(ctx, shard, stmts)
	if err != nil {
		return w.failed(stmts, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.result.add(resp.Body, stmts)
}

// sendWrite sends statements to one shard.
func (w *writeOp) sendWrite(ctx context.Context, shard string, stmts []statement) (*command.Response, error) {
	c := w.base
	docs := make([]bson.Raw, len(stmts))
	ids := make([]int32, len(stmts))
	for i, s := range stmts {
		docs[i], ids[i] = s.doc, s.stmt
	}
	c.seqs = []command.Sequence{{ID: sequenceOf[c.name], Docs: docs}}
	if w.txn != nil || has(w.req.Body, "txnNumber") {
		c.body = edit(c.body, nil, bson.E{Key: "stmtIds", Value: ids})
	}
	c.routed = w.rt.routed(shard)
	return w.send(ctx, shard, c)
}

// failed turns the failure of a shard's whole command into the outcome of its
// statements. In a transaction, and when the command never had its own say, it
// stays the failure of the client's command.
func (w *writeOp) failed(stmts []statement, err error) error {
	if w.txn != nil || !isServerError(err) || retriable(err) || len(stmts) == 0 {
		return err
	}
	e := mongoerr.From(err)
	if slices.Contains(wholeCommand, e.Code) {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range stmts {
		w.result.fail(s.index, e)
		if w.ordered {
			break
		}
	}
	return nil
}

// wholeCommand are the failures that no single statement is to blame for.
var wholeCommand = []mongoerr.Code{
	mongoerr.MaxTimeMSExpired, mongoerr.Interrupted, mongoerr.CursorKilled, mongoerr.TransactionTooOld,
	mongoerr.NotARetryableWriteCommand, mongoerr.IncompleteTransactionHistory, mongoerr.Unauthorized,
	mongoerr.FailedToParse, mongoerr.TypeMismatch, mongoerr.IDLUnknownField, mongoerr.InvalidOptions, mongoerr.CommandNotSupported,
}
