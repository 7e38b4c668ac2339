package mongod

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/changestream"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// arrayOverhead is what a document costs in a batch beside its bytes.
const arrayOverhead = 16

// A batch is one reply of a cursor in the making.
type batch struct {
	docs  []bson.Raw
	limit int // number of documents, 0 for no limit
	bytes int
	wait  time.Duration // how long an empty batch may wait for its first document
	token bson.Raw      // postBatchResumeToken
}

// add appends doc unless it does not fit. The first document always does.
func (b *batch) add(doc bson.Raw) bool {
	size := len(doc) + arrayOverhead
	if len(b.docs) > 0 && b.bytes+size > maxBSONObjectSize {
		return false
	}
	b.docs = append(b.docs, doc)
	b.bytes += size
	return true
}

func (b *batch) full() bool {
	return b.limit > 0 && len(b.docs) >= b.limit || b.bytes >= maxBSONObjectSize
}

// docFeed makes batches of a source's documents.
type docFeed struct {
	src     aggregate.Source
	scans   []*scanSource // those below src, to rest between batches
	pending bson.Raw      // did not fit into the last batch
	left    int64         // documents still to return, negative for all
	token   func() bson.Raw
	script  *script // nil: its documents come without one
}

// fill implements feed.
func (f *docFeed) fill(ctx context.Context, b *batch) (bool, error) {
	defer f.rest()
	if f.script != nil {
		defer f.script.serve(ctx)()
	}
	for !b.full() && f.left != 0 {
		before := f.resumeToken()
		doc, err := f.next(ctx)
		if err != nil {
			return false, err
		}
		if doc == nil {
			b.token = f.resumeToken()
			return true, nil
		}
		if !b.add(doc) {
			f.pending, b.token = doc, before
			return false, nil
		}
		if f.left > 0 {
			f.left--
		}
	}
	b.token = f.resumeToken()
	return f.left == 0, nil
}

// next returns the document left over from the last batch, or a new one.
func (f *docFeed) next(ctx context.Context) (bson.Raw, error) {
	if doc := f.pending; doc != nil {
		f.pending = nil
		return doc, nil
	}
	return f.src.Next(ctx)
}

func (f *docFeed) rest() {
	for _, s := range f.scans {
		s.rest()
	}
}

func (f *docFeed) resumeToken() bson.Raw {
	if f.token == nil {
		return nil
	}
	return f.token()
}

// tailFeed makes the batches of a tailable cursor: its source may yield more
// after it has come to its end.
type tailFeed struct {
	docs *docFeed
	node *Node
	more func() // lets the source look again
}

// fill implements feed.
func (f *tailFeed) fill(ctx context.Context, b *batch) (bool, error) {
	deadline := time.Now().Add(b.wait)
	for {
		last := f.node.applied()
		f.more()
		_, err := f.docs.fill(ctx, b)
		if err != nil || len(b.docs) > 0 || !time.Now().Before(deadline) {
			return false, err
		}
		if err := f.waitAfter(ctx, last, deadline); err != nil {
			return false, err
		}
	}
}

// waitAfter waits until something is logged after last, or the deadline.
func (f *tailFeed) waitAfter(ctx context.Context, last bson.Timestamp, deadline time.Time) error {
	waiting, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if err := (nodeLog{f.node}).Wait(waiting, last); err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return nil
}

// streamFeed makes the batches of a change stream.
type streamFeed struct{ stream *changestream.Stream }

// fill implements feed.
func (f streamFeed) fill(ctx context.Context, b *batch) (bool, error) {
	docs, token, closed, err := f.stream.Next(ctx, b.limit, 0, b.wait)
	if err != nil {
		return false, err
	}
	b.docs, b.token = docs, token
	return closed, nil
}

// reply renders the batch as the cursor document of a reply, in one buffer: it
// may be large.
func (b *batch) reply(field, ns string, id int64, at bson.Timestamp) bson.Raw {
	const rest = 256 // everything but the documents
	dst := make([]byte, 0, b.bytes+len(b.docs)*4+len(b.token)+len(ns)+rest)
	outer, dst := bsoncore.AppendDocumentStart(dst)
	inner, dst := bsoncore.AppendDocumentElementStart(dst, "cursor")
	array, dst := bsoncore.AppendArrayElementStart(dst, field)
	for i, d := range b.docs {
		dst = bsoncore.AppendDocumentElement(dst, value.IndexName(i), bsoncore.Document(d))
	}
	dst = endDoc(dst, array)
	if b.token != nil {
		dst = bsoncore.AppendDocumentElement(dst, "postBatchResumeToken", bsoncore.Document(b.token))
	}
	if !at.IsZero() {
		dst = bsoncore.AppendTimestampElement(dst, "atClusterTime", at.T, at.I)
	}
	dst = bsoncore.AppendInt64Element(dst, "id", id)
	dst = bsoncore.AppendStringElement(dst, "ns", ns)
	return endDoc(endDoc(dst, inner), outer)
}
