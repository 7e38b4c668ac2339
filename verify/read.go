package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
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
	err := mongoconn.ReadAfter(ctx, c.cfg.Source, pair.Source, c.cfg.SourceAfter, pair.query(nil, false), opts, func(doc bson.Raw) error {
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

var errEnough = errors.New("as much was read as may be held")

// between reads one side between two bounds. It stops when it has read about
// twice what a span holds, and then returns the bound from which to go on.
func (c *comparison) between(ctx context.Context, pair Pair, destination bool, lo, hi bson.Raw) (docs []bson.Raw, next bson.Raw, err error) {
	client, ns, after := c.side(pair, destination)
	opts := options.Find().SetHint(byID).SetSort(byID).SetBatchSize(int32(c.cfg.Batch) + 1)
	if lo != nil {
		opts.SetMin(lo)
	}
	if hi != nil {
		opts.SetMax(hi)
	}
	size := 0
	err = mongoconn.ReadAfter(ctx, client, ns, after, pair.query(nil, destination), opts, func(doc bson.Raw) error {
		full := len(docs) >= 2*c.cfg.Batch || size >= 2*spanBytes
		if full && !sameID(docs[len(docs)-1], doc) {
			// Of _ids that a collation holds for equal a bound cuts off all or none:
			// with the same bound as before it would go on where it began.
			if next = idOf(doc); !bytes.Equal(next, lo) {
				return errEnough
			}
			next = nil
		}
		docs = append(docs, doc)
		size += len(doc)
		return nil
	})
	if errors.Is(err, errEnough) || mongoconn.IsCode(err, mongoconn.CodeEmptyBounds) {
		err = nil // between two bounds that a collation holds for equal there is nothing
	}
	return docs, next, err
}

// sourceUpTo reads again what is in a span, or what has come into it since.
func (c *comparison) sourceUpTo(ctx context.Context, pair Pair, lo, hi bson.Raw) (docs []bson.Raw, err error) {
	for {
		more, next, err := c.between(ctx, pair, false, lo, hi)
		docs = append(docs, more...)
		if err != nil || next == nil {
			return docs, err
		}
		lo = next
	}
}

// side returns where one side of a pair is, and how new its reads must be.
func (c *comparison) side(pair Pair, destination bool) (*mongo.Client, shardferry.Namespace, shardferry.ClusterTime) {
	if destination {
		return c.cfg.Destination, pair.Destination, c.cfg.DestinationAfter
	}
	return c.cfg.Source, pair.Source, c.cfg.SourceAfter
}

// query asks a side of a pair for the documents that count, of those that another
// query finds; nil: of all. The destination has nothing that does not count.
func (p Pair) query(which bson.D, destination bool) bson.D {
	switch {
	case destination || p.Filter == nil:
		return append(bson.D{}, which...)
	case which == nil:
		return bson.D{{"$and", bson.A{p.Filter}}}
	}
	return bson.D{{"$and", bson.A{which, p.Filter}}}
}

// idOf returns {_id: ...} of a document.
func idOf(doc bson.Raw) bson.Raw {
	return mustMarshal(bson.D{{"_id", doc.Lookup("_id")}})
}

// sameID reports whether no bound can come between two documents: their _id is
// the same, or both are numbers that compare equal.
func sameID(a, b bson.Raw) bool {
	x, y := a.Lookup("_id"), b.Lookup("_id")
	if n, ok := x.AsFloat64OK(); ok {
		if m, ok := y.AsFloat64OK(); ok {
			return n == m
		}
	}
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
