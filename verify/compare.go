package verify

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"
)

// A comparison compares all pairs: one goroutine reads the source of one
// collection after the other and cuts it into ranges, Parallel others read the
// same ranges of the destination.
type comparison struct {
	cfg    Config
	out    collector
	capped []Pair // whose order counts; known once the metadata is read
}

// A span is a run of the source's documents in the order of _id, and the bounds
// between which the destination must hold the same.
type span struct {
	pair Pair
	lo   bson.Raw // {_id: first}, inclusive; nil: from the start
	hi   bson.Raw // {_id: first of the next}, exclusive; nil: to the end
	docs []bson.Raw
	size int64
}

func newComparison(cfg Config) *comparison {
	return &comparison{cfg: cfg, out: collector{listed: cfg.Listed}}
}

func (c *comparison) run(ctx context.Context) (Report, error) {
	if err := c.metadata(ctx); err != nil {
		return Report{}, err
	}
	g, ctx := errgroup.WithContext(ctx)
	spans := make(chan span) // unbuffered: what is read ahead is held by the readers
	g.Go(func() error {
		defer close(spans)
		readers, rctx := errgroup.WithContext(ctx)
		readers.SetLimit(max(c.cfg.Parallel/2, 1))
		for _, pair := range c.cfg.Pairs {
			readers.Go(func() error { return c.collection(rctx, pair, spans) })
		}
		return readers.Wait()
	})
	for range c.cfg.Parallel {
		g.Go(func() error {
			for s := range spans {
				if err := c.compareSpan(ctx, s); err != nil {
					return fmt.Errorf("verify %s: %w", s.pair.Source, err)
				}
			}
			return nil
		})
	}
	g.Go(func() error { // one after the other: most have few documents
		for _, pair := range c.capped {
			if err := c.order(ctx, pair); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return Report{}, err
	}
	return c.out.result(len(c.cfg.Pairs)), nil
}

// compareSpan compares one span with the destination, and reads again what
// differs. Where the destination holds much more between the bounds than the
// source, it goes on piece by piece, so that memory stays bounded.
func (c *comparison) compareSpan(ctx context.Context, s span) error {
	c.out.compared(int64(len(s.docs)), s.size)
	for {
		there, next, err := c.between(ctx, s.pair, true, s.lo, s.hi)
		if err != nil {
			return err
		}
		if next != nil {
			if s.docs, err = c.sourceUpTo(ctx, s.pair, s.lo, next); err != nil {
				return err
			}
		}
		if err := c.compareDocuments(ctx, s.pair, s.docs, there); err != nil || next == nil {
			return err
		}
		s.lo = next
		if s.docs, err = c.sourceUpTo(ctx, s.pair, s.lo, s.hi); err != nil {
			return err
		}
	}
}

func (c *comparison) compareDocuments(ctx context.Context, pair Pair, here, there []bson.Raw) error {
	if identical(here, there) {
		return nil
	}
	suspects := unequal(here, there)
	if len(suspects) == 0 {
		return nil
	}
	return c.recheck(ctx, pair, suspects)
}
