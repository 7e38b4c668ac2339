package mongos

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
)

// A binding is the command on whose behalf the sources of a cursor read now.
// Each getMore sets it anew; a cursor serves one command at a time.
type binding struct {
	op    *op
	reads map[*feedSource]bool // what stages have opened and not read to its end
	// ctx is that of the command: scripts of expressions are evaluated without one.
	ctx context.Context //nolint:containedctx // see above
}

func (b *binding) keep(s *feedSource) {
	if b.reads == nil {
		b.reads = map[*feedSource]bool{}
	}
	b.reads[s] = true
}

// A shardSource reads one cursor on a shard.
type shardSource struct {
	bound *binding
	m     *remote
}

// Next implements aggregate.Source.
func (s *shardSource) Next(ctx context.Context) (bson.Raw, error) { return s.m.next(ctx, s.bound.op) }

// A chainSource reads its sources one after the other.
type chainSource struct{ rest []aggregate.Source }

// Next implements aggregate.Source.
func (s *chainSource) Next(ctx context.Context) (bson.Raw, error) {
	for len(s.rest) > 0 {
		d, err := s.rest[0].Next(ctx)
		if d != nil || err != nil {
			return d, err
		}
		s.rest = s.rest[1:]
	}
	return nil, nil
}

// A sortedSource merges sources that are each sorted by compare.
type sortedSource struct {
	compare func(a, b bson.Raw) int
	rest    []aggregate.Source
	heads   []bson.Raw // of the same index in rest; nil once exhausted
	started bool
}

// Next implements aggregate.Source.
func (s *sortedSource) Next(ctx context.Context) (bson.Raw, error) {
	if !s.started {
		s.heads = make([]bson.Raw, len(s.rest))
		for i := range s.rest {
			if err := s.advance(ctx, i); err != nil {
				return nil, err
			}
		}
		s.started = true
	}
	least := -1
	for i, d := range s.heads {
		if d != nil && (least < 0 || s.compare(d, s.heads[least]) < 0) {
			least = i
		}
	}
	if least < 0 {
		return nil, nil
	}
	d := s.heads[least]
	return d, s.advance(ctx, least)
}

func (s *sortedSource) advance(ctx context.Context, i int) (err error) {
	s.heads[i], err = s.rest[i].Next(ctx)
	return err
}

// A windowSource leaves out the first skip documents and ends after limit, 0
// meaning without end.
type windowSource struct {
	in          aggregate.Source
	skip, limit int64
	given       int64
}

// Next implements aggregate.Source.
func (s *windowSource) Next(ctx context.Context) (bson.Raw, error) {
	for ; s.skip > 0; s.skip-- {
		if d, err := s.in.Next(ctx); d == nil || err != nil {
			return nil, err
		}
	}
	if s.limit > 0 && s.given >= s.limit {
		return nil, nil
	}
	s.given++
	return s.in.Next(ctx)
}

// A mapSource changes each document.
type mapSource struct {
	in aggregate.Source
	f  func(bson.Raw) (bson.Raw, error)
}

// Next implements aggregate.Source.
func (s *mapSource) Next(ctx context.Context) (bson.Raw, error) {
	d, err := s.in.Next(ctx)
	if d == nil || err != nil {
		return nil, err
	}
	return s.f(d)
}

// docsSource gives documents that are there already.
type docsSource struct{ docs []bson.Raw }

// Next implements aggregate.Source.
func (s *docsSource) Next(context.Context) (bson.Raw, error) {
	if len(s.docs) == 0 {
		return nil, nil
	}
	d := s.docs[0]
	s.docs = s.docs[1:]
	return d, nil
}
