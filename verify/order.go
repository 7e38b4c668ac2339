package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

// order compares in which order a capped collection gives its documents on both
// sides. A difference counts if it lasts, as with documents.
func (c *comparison) order(ctx context.Context, pair Pair) error {
	var seen sighting
	for attempt := range c.cfg.Rechecks {
		if attempt > 0 {
			if err := mongoconn.Sleep(ctx, c.cfg.Pause); err != nil {
				return err
			}
		}
		d, err := c.orderOnce(ctx, pair)
		switch {
		case mongoconn.IsCode(err, mongoconn.CodeCappedPositionLost) && !c.cfg.Still:
			seen = sighting{} // it was overwritten while it was read
			continue
		case err != nil:
			return fmt.Errorf("verify the order of %s: %w", pair.Source, err)
		case d == nil:
			return nil
		}
		seen = seen.next(sha256.Sum256([]byte(d.ID + d.Detail)))
		if attempt == c.cfg.Rechecks-1 && seen.times > c.cfg.Rechecks/2 {
			c.out.differ(*d)
			return nil
		}
	}
	c.out.changing(1)
	return nil
}

// errFound ends the readers once the outcome is known.
var errFound = errors.New("what was looked for is found")

// orderOnce reads both sides in natural order and returns the first place where
// they differ, or nil. Documents that only one side has are passed over: they are
// differences of their own, or were just written.
func (c *comparison) orderOnce(ctx context.Context, pair Pair) (found *Difference, err error) {
	g, ctx := errgroup.WithContext(ctx)
	here, there := c.queue(pair, false), c.queue(pair, true)
	for _, q := range []*idQueue{here, there} {
		g.Go(func() error { return q.read(ctx) })
	}
	g.Go(func() error {
		for {
			a, ok, err := here.head(ctx)
			if err != nil {
				return err
			}
			if !ok {
				return errFound
			}
			b, ok, err := there.head(ctx)
			if err != nil {
				return err
			}
			if !ok {
				return errFound
			}
			if idKey(a) == idKey(b) {
				here.ids, there.ids = here.ids[1:], there.ids[1:]
				continue
			}
			if !here.shared || !there.shared {
				if err := errors.Join(here.keepShared(ctx), there.keepShared(ctx)); err != nil {
					return err
				}
				continue
			}
			found = &Difference{Kind: Order, NS: pair.Source, ID: a.String(), Detail: "the source has it next, the destination has " + b.String()}
			return errFound
		}
	})
	if err := g.Wait(); !errors.Is(err, errFound) {
		return nil, err
	}
	return found, nil
}

// An idQueue has the _ids of one side of a capped collection in natural order.
type idQueue struct {
	*comparison
	pair        Pair
	destination bool

	batches chan []bson.RawValue // unbuffered: the reader is one batch ahead
	ids     []bson.RawValue
	shared  bool // of ids all are on the other side too
}

func (c *comparison) queue(pair Pair, destination bool) *idQueue {
	return &idQueue{comparison: c, pair: pair, destination: destination, batches: make(chan []bson.RawValue)}
}

// read fills the queue, and closes it if all of it was read.
func (q *idQueue) read(ctx context.Context) error {
	client, ns, after := q.side(q.pair, q.destination)
	opts := options.Find().SetHint(bson.D{{"$natural", 1}}).SetProjection(byID).SetBatchSize(int32(q.cfg.Batch))
	var batch []bson.RawValue
	send := func() error {
		select {
		case q.batches <- batch:
			batch = nil
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	err := mongoconn.ReadAfter(ctx, client, ns, after, bson.D{}, opts, func(doc bson.Raw) error {
		batch = append(batch, doc.Lookup("_id"))
		if len(batch) < q.cfg.Batch {
			return nil
		}
		return send()
	})
	if err == nil && len(batch) > 0 {
		err = send()
	}
	if err == nil {
		close(q.batches)
	}
	return err
}

// head returns the next _id. It is not ok if there is none.
func (q *idQueue) head(ctx context.Context) (id bson.RawValue, ok bool, err error) {
	for len(q.ids) == 0 {
		select {
		case q.ids, ok = <-q.batches:
			if q.shared = false; !ok {
				return id, false, nil
			}
		case <-ctx.Done():
			return id, false, context.Cause(ctx)
		}
	}
	return q.ids[0], true, nil
}

// keepShared leaves only those _ids that the other side has too.
func (q *idQueue) keepShared(ctx context.Context) error {
	if q.shared {
		return nil
	}
	has := map[string]bool{}
	for ids := range slices.Chunk(q.ids, recheckAtOnce) {
		docs, err := q.byIDs(ctx, q.pair, ids, !q.destination)
		if err != nil {
			return err
		}
		for _, d := range docs {
			has[idKey(d.Lookup("_id"))] = true
		}
	}
	q.ids = slices.DeleteFunc(q.ids, func(id bson.RawValue) bool { return !has[idKey(id)] })
	q.shared = true
	return nil
}
