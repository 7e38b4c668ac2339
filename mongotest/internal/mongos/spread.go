package mongos

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/update"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// spread runs a statement that several shards may have to answer: all of them
// if it may change a document on each, else one after the other until one had
// a match. An upsert happens only when none had. It fails with what isStale
// tells of only if no shard has done anything.
func (w *writeOp) spread(ctx context.Context, p plan) error {
	if refusal := p.err; refusal != nil { // the outcome of the statement, not of the command
		w.result.fail(p.index, refusal)
		return nil
	}
	upsert := getBool(p.doc, "upsert", false)
	s := p.statement
	if upsert {
		s.doc = set(s.doc, bson.E{Key: "upsert", Value: false})
	}
	before, failures := w.result.n, len(w.result.errors)
	var err error
	if p.many && len(p.shards) > 1 && w.txn == nil {
		err = w.everywhere(ctx, s)
	} else {
		err = w.oneByOne(ctx, p, s)
	}
	w.oneError(p.index)
	if err != nil || !upsert || w.result.n > before || len(w.result.errors) > failures {
		return err
	}
	return w.upsert(ctx, p.statement)
}

// everywhere sends a statement to all shards. Each changes what it owns,
// whatever the router knows of that, so that it happens once for each document.
func (w *writeOp) everywhere(ctx context.Context, s statement) error {
	as, shards := w.rt.routedToAll(), w.r.catalog.shardIDs()
	if has(w.req.Body, "collectionUUID") { // a shard without a part has another idea of that
		shards = w.rt.table.shards()
	}
	return w.each(ctx, shards, func(ctx context.Context, _ int, shard string) error {
		return w.batchAs(ctx, shard, []statement{s}, as)
	})
}

// oneByOne asks the shards of a plan in turn; if only one document is meant, and
// its _id may be on each of them, until one had a match. What a shard has done
// is done: one that refuses the router's knowledge makes it look again for those
// that are left.
func (w *writeOp) oneByOne(ctx context.Context, p plan, s statement) error {
	before, failures := w.result.n, len(w.result.errors)
	asked := map[string]bool{}
	for round := 0; ; round++ {
		err := error(nil)
		for _, shard := range p.shards {
			if asked[shard] {
				continue
			}
			if err = w.batch(ctx, shard, []statement{s}); err != nil {
				break
			}
			asked[shard] = true
			if !p.many && !p.byID && w.result.n > before || len(w.result.errors) > failures {
				return nil
			}
		}
		switch {
		case !isStale(err) || len(asked) == 0:
			return err
		case round == staleRounds:
			w.noProgress([]statement{p.statement})
			return nil
		}
		w.r.known.forget(w.ns)
		if err := w.locate(ctx); err != nil {
			return err
		}
		if w.rt.table == nil {
			p.shards = w.rt.shards
			continue
		}
		if p = w.plan(p.statement); p.err != nil {
			return w.spread(ctx, p) // it has an outcome now
		}
	}
}

// oneError keeps a single error of a statement that failed on several shards.
func (w *writeOp) oneError(index int) {
	seen := false
	kept := w.result.errors[:0]
	for _, e := range w.result.errors {
		if e.index == index && seen {
			continue
		}
		seen = seen || e.index == index
		kept = append(kept, e)
	}
	w.result.errors = kept
}

// upsert sends an upsert that matched nothing to the shard that will own the
// new document. If its _id decides which, the router chooses it.
func (w *writeOp) upsert(ctx context.Context, s statement) error {
	doc, err := w.applied(s.doc, nil, -1)
	if err != nil {
		w.result.fail(s.index, err)
		return nil
	}
	shard, err := w.rt.table.shardOf(doc)
	if err != nil {
		w.result.fail(s.index, err)
		return nil
	}
	q := getDoc(s.doc, "q")
	if w.rt.table.key.hasID() && !fixesID(q) {
		s.doc = withID(s.doc, doc)
	}
	return w.batch(ctx, shard, []statement{s})
}

// filterOf is a statement's filter; the shard refuses a statement without one.
func filterOf(stmt bson.Raw) bson.Raw {
	if q := getDoc(stmt, "q"); q != nil {
		return q
	}
	return rawDoc(nil)
}

// withID narrows a statement's filter to the _id of doc.
func withID(stmt, doc bson.Raw) bson.Raw {
	id, _ := value.Get(doc, "_id")
	return set(stmt, bson.E{Key: "q", Value: bson.D{{"$and", bson.A{filterOf(stmt), bson.D{{"_id", bson.D{{"$eq", id}}}}}}}})
}

// applied returns what an update statement makes of doc, nil standing for an
// upsert.
func (w *writeOp) applied(stmt, doc bson.Raw, arrayIdx int) (bson.Raw, error) {
	u, _ := value.Get(stmt, "u")
	by, err := w.comparing(w.ns, stmt)
	if err != nil {
		return nil, err
	}
	return w.apply(u, getDoc(stmt, "q"), getDocs(stmt, "arrayFilters"), by, doc, arrayIdx)
}

func (o *op) apply(u bson.RawValue, q bson.Raw, filters []bson.Raw, by *collation.Collation, doc bson.Raw, arrayIdx int) (bson.Raw, error) {
	c, err := update.Compile(u, update.Options{
		ArrayFilters: filters, Upsert: doc == nil, Query: q, Let: getDoc(o.req.Body, "let"), Collation: by, Now: time.Now,
		Timestamp: o.r.cfg.Clock.Now, KeepEmptyTimestamps: getBool(o.req.Body, "bypassEmptyTsReplacement", false),
	})
	if err != nil {
		return nil, err
	}
	return c.Apply(doc, arrayIdx)
}
