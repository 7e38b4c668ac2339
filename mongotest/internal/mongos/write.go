package mongos

import (
	"cmp"
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
		if stmts, err = w.underLock(ctx, stmts); err != nil {
			return nil, err
		}
		if len(stmts) == 0 || w.stopped() {
			break
		}
		// The next statement may change shard keys.
		rest := stmts[1:]
		if err = w.alone(ctx, stmts[0]); err != nil {
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

// underLock runs statements with the collection under a shared lock, until one has
// to be run alone, and returns that one and those behind it. The database is
// made before if need be, and so is a collection that an insert creates.
func (w *writeOp) underLock(ctx context.Context, stmts []statement) ([]statement, error) {
	if _, err := w.writablePrimary(ctx, w.req.DB); err != nil {
		return nil, err
	}
	unlock, err := w.shared(ctx, w.ns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return w.some(ctx, stmts)
}

// some runs statements by what the router knows, and those again that a shard
// has refused because it knows too little.
func (w *writeOp) some(ctx context.Context, stmts []statement) ([]statement, error) {
	for round := 0; ; {
		if err := w.locate(ctx); err != nil {
			return nil, err
		}
		left, alone, err := w.round(ctx, stmts)
		if err != nil || len(left) == 0 || w.stopped() {
			return alone, err
		}
		if len(left)+len(alone) < len(stmts) {
			round = 0
		} else if round++; round > staleRounds {
			w.noProgress(left)
			return nil, nil
		}
		w.r.known.forget(w.ns)
		stmts = slices.Concat(left, alone)
	}
}

// locate asks what the router knows of the collection.
func (w *writeOp) locate(ctx context.Context) error {
	if _, err := w.writablePrimary(ctx, w.req.DB); err != nil {
		return err
	}
	rt, err := w.place(w.ns)
	w.rt = rt
	return err
}

// noProgress fails the statements that no shard takes.
func (w *writeOp) noProgress(stmts []statement) {
	e := mongoerr.New(mongoerr.NoProgressMade, "no progress was made executing batch write op in %s after %d rounds (%d ops completed in %d rounds total)",
		w.ns, staleRounds, w.result.n, staleRounds+1)
	for _, s := range stmts {
		w.result.fail(s.index, e)
		if w.ordered {
			break
		}
	}
}

// stopped reports whether an ordered command ends here.
func (w *writeOp) stopped() bool { return w.ordered && len(w.result.errors) > 0 }

// round runs statements until one has to be run alone. It returns those that a
// shard has refused for the router's lack of knowledge, with those that had to
// wait for them, and the one to be run alone with those behind it.
func (w *writeOp) round(ctx context.Context, stmts []statement) (left, alone []statement, err error) {
	if w.rt.table == nil {
		err := w.batch(ctx, w.rt.shards[0], stmts)
		if isStale(err) {
			return stmts, nil, nil
		}
		return nil, nil, err
	}
	plans := make([]plan, 0, len(stmts))
	for i, s := range stmts {
		p := w.plan(s)
		if p.alone {
			alone = stmts[i:]
			break
		}
		plans = append(plans, p)
	}
	if w.ordered {
		left, err = w.inOrder(ctx, plans)
	} else {
		left, err = w.anyOrder(ctx, plans)
	}
	return left, alone, err
}

// inOrder runs neighbours for one shard together.
func (w *writeOp) inOrder(ctx context.Context, plans []plan) ([]statement, error) {
	for i := 0; i < len(plans) && !w.stopped(); {
		first, err := i, error(nil)
		if plans[i].single() {
			var group []statement
			shard := plans[i].shards[0]
			for ; i < len(plans) && plans[i].single() && plans[i].shards[0] == shard; i++ {
				group = append(group, plans[i].statement)
			}
			err = w.batch(ctx, shard, group)
		} else {
			err = w.spread(ctx, plans[i])
			i++
		}
		if isStale(err) {
			return statements(plans[first:]), nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// anyOrder runs what goes to one shard each in parallel, the rest one by one.
func (w *writeOp) anyOrder(ctx context.Context, plans []plan) ([]statement, error) {
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
	var left []statement
	leave := func(stmts []statement, err error) error {
		if !isStale(err) {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		left = append(left, stmts...)
		return nil
	}
	err := w.each(ctx, shards, func(ctx context.Context, _ int, shard string) error {
		return leave(groups[shard], w.batch(ctx, shard, groups[shard]))
	})
	for _, p := range plans {
		if err == nil && !p.single() {
			err = leave([]statement{p.statement}, w.spread(ctx, p))
		}
	}
	slices.SortFunc(left, func(a, b statement) int { return cmp.Compare(a.index, b.index) })
	return left, err
}

func statements(plans []plan) []statement {
	out := make([]statement, len(plans))
	for i, p := range plans {
		out[i] = p.statement
	}
	return out
}

// batch sends statements to one shard and keeps the outcome. If the shard knows
// better where they belong, that is the error, and nothing has been done.
func (w *writeOp) batch(ctx context.Context, shard string, stmts []statement) error {
	return w.batchAs(ctx, shard, stmts, w.rt.routed(shard))
}

func (w *writeOp) batchAs(ctx context.Context, shard string, stmts []statement, as *command.Routed) error {
	resp, err := w.sendWrite(ctx, shard, stmts, as)
	if err != nil {
		return w.failed(stmts, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.result.add(resp.Body, stmts)
}

// sendWrite sends statements to one shard.
func (w *writeOp) sendWrite(ctx context.Context, shard string, stmts []statement, as *command.Routed) (*command.Response, error) {
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
	c.routed = as
	return w.send(ctx, shard, c)
}

// failed turns the failure of a shard's whole command into the outcome of its
// statements. In a transaction, and when the command never had its own say, it
// stays the failure of the client's command.
func (w *writeOp) failed(stmts []statement, err error) error {
	if isStale(err) || w.txn != nil || !isServerError(err) || retriable(err) || len(stmts) == 0 {
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
