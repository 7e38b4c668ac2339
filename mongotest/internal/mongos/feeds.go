package mongos

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
)

const (
	firstBatchSize = 101      // when the client names no batchSize
	maxReplyBytes  = 16 << 20 // of documents in one batch
)

// A batch is what one find or getMore returns.
type batch struct {
	docs  []bson.Raw
	extra bson.D // further fields of the reply's cursor document
	done  bool   // nothing will follow
}

// A demand is what the client asked of a batch.
type demand struct {
	size   int64 // documents at most, -1 for as many as fit
	waitMS int64 // maxTimeMS of a getMore, -1 if absent
}

// A feed gives a cursor its batches, one at a time.
type feed interface {
	batch(ctx context.Context, o *op, d demand) (batch, error)
	close(ctx context.Context, o *op)
}

// passFeed hands on the batches of a single shard unchanged.
type passFeed struct {
	m       *remote
	started bool
}

func (f *passFeed) batch(ctx context.Context, o *op, d demand) (batch, error) {
	if f.started {
		var fields []bson.E
		if d.size >= 0 {
			fields = append(fields, bson.E{Key: "batchSize", Value: d.size})
		}
		if d.waitMS >= 0 {
			fields = append(fields, bson.E{Key: "maxTimeMS", Value: d.waitMS})
		}
		if err := f.m.more(ctx, o, fields...); err != nil {
			return batch{}, err
		}
	}
	f.started = true
	return batch{docs: f.m.buf, extra: f.m.extra, done: f.m.id == 0}, nil
}

func (f *passFeed) close(ctx context.Context, o *op) { f.m.close(ctx, o) }

// sourceFeed fills batches from a source that runs on the router.
type sourceFeed struct {
	bound   *binding
	src     aggregate.Source
	remotes []*remote
	pending bson.Raw // read, but did not fit the last batch
}

func (f *sourceFeed) batch(ctx context.Context, o *op, d demand) (batch, error) {
	f.bound.op, f.bound.ctx = o, ctx
	var b batch
	bytes := 0
	for d.size < 0 || int64(len(b.docs)) < d.size {
		doc := f.pending
		f.pending = nil
		if doc == nil {
			var err error
			if doc, err = f.src.Next(ctx); err != nil {
				return batch{}, err
			}
		}
		if doc == nil {
			b.done = true
			break
		}
		if bytes += len(doc) + 8; bytes > maxReplyBytes && len(b.docs) > 0 {
			f.pending = doc
			break
		}
		b.docs = append(b.docs, doc)
	}
	return b, nil
}

func (f *sourceFeed) close(ctx context.Context, o *op) {
	for _, m := range f.remotes {
		m.close(ctx, o)
	}
	if f.bound != nil {
		for s := range f.bound.reads {
			s.close(ctx)
		}
	}
}
