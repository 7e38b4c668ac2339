package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"

	"github.com/shardferry/shardferry"
)

// spanBytes is how many bytes of documents a span holds at most, but for a
// single document that is larger.
const spanBytes = 8 << 20

var byID = bson.D{{"_id", 1}}

// collection reads one collection of the source in the order of _id and hands
// it on in spans. Documents with the same _id, which different shards may have,
// stay in one span.
func (c *comparison) collection(ctx context.Context, pair Pair, spans chan<- span) error {
	opts := options.Find().SetHint(byID).SetSort(byID).SetBatchSize(int32(c.cfg.Batch))
	next := span{pair: pair}
	send := func(s span) error {
		select {
		case spans <- s:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	err := read(ctx, c.cfg.Source, pair.Source, c.cfg.SourceAfter, bson.D{}, opts, func(doc bson.Raw) error {
		full := len(next.docs) >= c.cfg.Batch || next.size >= spanBytes
		if full && !sameID(next.docs[len(next.docs)-1], doc) {
			next.hi = idOf(doc)
			if err := send(next); err != nil {
				return err
			}
			next = span{pair: pair, lo: next.hi}
		}
		next.docs = append(next.docs, doc)
		next.size += int64(len(doc))
		return nil
	})
	if err != nil {
		return fmt.Errorf("verify %s: %w", pair.Source, err)
	}
	return send(next)
}

// destination reads the destination between the bounds of a span.
func (c *comparison) destination(ctx context.Context, s span) ([]bson.Raw, error) {
	opts := options.Find().SetHint(byID).SetSort(byID).SetBatchSize(int32(c.cfg.Batch) + 1)
	if s.lo != nil {
		opts.SetMin(s.lo)
	}
	if s.hi != nil {
		opts.SetMax(s.hi)
	}
	docs := make([]bson.Raw, 0, len(s.docs))
	err := read(ctx, c.cfg.Destination, s.pair.Destination, c.cfg.DestinationAfter, bson.D{}, opts, func(doc bson.Raw) error {
		docs = append(docs, doc)
		return nil
	})
	return docs, err
}

// read calls f with a copy of each document that a majority has acknowledged,
// in a state no older than after.
func read(ctx context.Context, client *mongo.Client, ns shardferry.Namespace, after shardferry.ClusterTime, filter any,
	opts *options.FindOptionsBuilder, f func(bson.Raw) error,
) (err error) {
	sess, err := client.StartSession(options.Session().SetCausalConsistency(true))
	if err != nil {
		return fmt.Errorf("start a session: %w", err)
	}
	defer sess.EndSession(context.WithoutCancel(ctx))
	if !after.IsZero() {
		if err := sess.AdvanceOperationTime(&after); err != nil {
			return fmt.Errorf("read after %v: %w", after, err)
		}
	}
	sctx := mongo.NewSessionContext(ctx, sess)
	coll := client.Database(ns.DB).Collection(ns.Coll, options.Collection().SetReadConcern(readconcern.Majority()))
	cur, err := coll.Find(sctx, filter, opts)
	if err != nil {
		return fmt.Errorf("read %s: %w", ns, err)
	}
	defer func() { err = errors.Join(err, cur.Close(context.WithoutCancel(ctx))) }()
	for cur.Next(sctx) {
		if err := f(bytes.Clone(cur.Current)); err != nil {
			return err
		}
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("read %s: %w", ns, err)
	}
	return nil
}

// idOf returns {_id: ...} of a document.
func idOf(doc bson.Raw) bson.Raw {
	return mustMarshal(bson.D{{"_id", doc.Lookup("_id")}})
}

func sameID(a, b bson.Raw) bool {
	x, y := a.Lookup("_id"), b.Lookup("_id")
	return x.Type == y.Type && bytes.Equal(x.Value, y.Value)
}

// mustMarshal encodes a document built from BSON values, which cannot fail.
func mustMarshal(d bson.D) bson.Raw {
	b, err := bson.Marshal(d)
	if err != nil {
		panic(fmt.Sprintf("verify: encode %v: %v", d, err))
	}
	return b
}
