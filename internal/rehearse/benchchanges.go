package rehearse

import (
	"context"
	"fmt"
	"math/rand/v2"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"
)

// changeBatch is how many changes one command of the writer makes.
const changeBatch = 200

// A changer changes one collection, in rounds of one kind of change each.
type changer struct {
	w       *benchWriter
	t       benchTable
	r       *rand.Rand
	docs    int // that the collection was filled with
	fresh   int // number of the next document to insert
	removed int // number of the next document to delete
}

// changes writes about events changes: 40 % updates of two fields, 10 % of
// several, 35 % inserts, 15 % deletes. It returns how many took place, each of
// which is a change event. It may be called for phase 0 and for phase 1: they
// insert and delete different documents.
func (w *benchWriter) changes(ctx context.Context, docs, events, phase int) (int64, error) {
	g, ctx := errgroup.WithContext(ctx)
	var counts [3]int64
	for n, t := range benchTables() {
		g.Go(func() error {
			loaded := t.count(docs)
			c := changer{
				w: w, t: t, docs: loaded, fresh: (1 + phase) << 30, removed: loaded/2 + phase*loaded/4,
				r: rand.New(rand.NewPCG(w.seed+1000, uint64(10*phase+n))),
			}
			for left := t.count(events); left > 0; left -= changeBatch {
				done, err := c.round(ctx, min(left, changeBatch))
				if err != nil {
					return err
				}
				counts[n] += done
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	return counts[0] + counts[1] + counts[2], nil
}

// round makes count changes of one kind with one command.
func (c *changer) round(ctx context.Context, count int) (int64, error) {
	switch p := c.r.IntN(100); {
	case p < 40:
		return c.update(ctx, count, bson.D{{"$inc", bson.D{{"version", 1}}}, {"$set", bson.D{{"status", fmt.Sprintf("s%d", c.r.IntN(1e9))}}}})
	case p < 50:
		return c.update(ctx, count, bson.D{
			{"$inc", bson.D{{"version", 1}, {"amount", 1.5}}},
			{"$set", bson.D{{"owner.country", countries[c.r.IntN(len(countries))]}, {"items.0.qty", int32(c.r.IntN(100))}}},
		})
	case p < 85:
		return c.insert(ctx, count)
	}
	return c.remove(ctx, count)
}

// update changes documents of the first half, which is never deleted.
func (c *changer) update(ctx context.Context, count int, u bson.D) (int64, error) {
	updates := make(bson.A, 0, count)
	for range count {
		updates = append(updates, bson.D{{"q", c.t.key(c.r.IntN(max(c.docs/2, 1)))}, {"u", u}})
	}
	return c.w.command(ctx, bson.D{{"update", c.t.coll}, {"ordered", false}, {"updates", updates}})
}

func (c *changer) insert(ctx context.Context, count int) (int64, error) {
	docs := make(bson.A, 0, count)
	for range count {
		docs = append(docs, c.w.document(c.r, c.t, c.fresh))
		c.fresh++
	}
	return c.w.command(ctx, bson.D{{"insert", c.t.coll}, {"ordered", false}, {"documents", docs}})
}

func (c *changer) remove(ctx context.Context, count int) (int64, error) {
	deletes := make(bson.A, 0, count)
	for range count {
		deletes = append(deletes, bson.D{{"q", c.t.key(c.removed)}, {"limit", 1}})
		c.removed++
	}
	return c.w.command(ctx, bson.D{{"delete", c.t.coll}, {"ordered", false}, {"deletes", deletes}})
}
