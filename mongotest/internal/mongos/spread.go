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
// a match. An upsert happens only when none had.
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
	if p.many || p.byID {
		err = w.each(ctx, p.shards, func(ctx context.Context, _ int, shard string) error {
			return w.batch(ctx, shard, []statement{s})
		})
	} else {
		for _, shard := range p.shards {
			if err = w.batch(ctx, shard, []statement{s}); err != nil || w.result.n > before || len(w.result.errors) > failures {
				break
			}
		}
	}
	w.oneError(p.index)
	if err != nil || !upsert || w.result.n > before || len(w.result.errors) > failures {
		return err
	}
	return w.upsert(ctx, p.statement)
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
