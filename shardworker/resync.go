package shardworker

import (
	"bytes"
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/keyhash"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// A resyncer makes ranges equal that the destination may hold already, as they
// were at some time: the changes since then are gone from the source's oplog. It
// writes nothing itself. What the destination lacks is copied like anything else;
// what it has otherwise, or has alone, is repaired in the lane of its key. There a
// repair is right at any moment, so it does no harm to repair too much.
type resyncer struct {
	from  finder // the destination
	note  func(ctx context.Context) (shardferry.ClusterTime, error)
	again mongoconn.Retrier
	// since is a time of the destination after everything that earlier workers have
	// written there.
	since shardferry.ClusterTime
}

func newResyncer(dest *mongo.Client, again mongoconn.Retrier) *resyncer {
	return &resyncer{
		from: clientFinder{client: dest}, again: again,
		note: func(ctx context.Context) (shardferry.ClusterTime, error) { return mongoconn.Note(ctx, dest, "resync") },
	}
}

// begin takes the destination's time at the start of a task: the sessions of
// earlier workers have ended.
func (r *resyncer) begin(ctx context.Context) error {
	return r.again.Do(ctx, "read the destination's time", func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		r.since, err = r.note(ctx)
		return err
	})
}

// compare reads the part of the destination that a batch covers. It leaves in the
// batch what the destination lacks, and has repair make right what differs and
// what is only there.
func (r *resyncer) compare(ctx context.Context, b *batch, size int, repair func(context.Context, []keyed) error) error {
	if b.upper != nil && !b.end {
		upper := keyhash.Key(b.upper)
		b.docs = slices.DeleteFunc(b.docs, func(d bson.Raw) bool {
			return keyhash.Key(keyhash.ExtractKey(d, b.index)) == upper // the next batch has it again
		})
	}
	missing := make(map[string]bson.Raw, len(b.docs))
	for _, d := range b.docs {
		missing[string(documentKey(b.index, d))] = d
	}
	err := r.again.Do(ctx, "read "+b.coll.Destination.String()+" on the destination", func(ctx context.Context) error {
		return r.scan(ctx, b, size, func(docs []bson.Raw) error {
			var wrong []keyed
			for _, d := range docs {
				key := documentKey(b.index, d)
				want, ok := missing[string(key)]
				delete(missing, string(key))
				switch {
				case !ok:
					wrong = append(wrong, keyed{key: key, doc: d}) // only there, or seen before
				case !bytes.Equal(want, d):
					wrong = append(wrong, keyed{key: key, doc: want})
				}
			}
			return repair(ctx, wrong)
		})
	})
	if err != nil {
		return err
	}
	b.docs = slices.DeleteFunc(b.docs, func(d bson.Raw) bool {
		_, lacking := missing[string(documentKey(b.index, d))]
		return !lacking
	})
	return nil
}

// scan gives the documents of the destination from the key at which the batch
// begins up to the one at which the next will begin.
func (r *resyncer) scan(ctx context.Context, b *batch, size int, each func([]bson.Raw) error) error {
	cmd := build(func(dst []byte) []byte {
		dst = bsoncore.AppendStringElement(dst, "find", b.coll.Destination.Coll)
		if len(b.from) > 0 {
			dst = bsoncore.AppendDocumentElement(dst, "min", b.from)
		}
		if !toTheEnd(b.upper) {
			dst = bsoncore.AppendDocumentElement(dst, "max", b.upper)
		}
		dst = bsoncore.AppendDocumentElement(dst, "hint", b.index)
		if b.coll.Collated && !onlyID(b.index) {
			dst = appendSimpleCollation(dst)
		}
		dst = bsoncore.AppendInt64Element(dst, "batchSize", int64(size))
		return appendReadConcern(dst, r.since)
	})
	attempt, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	cur, err := r.from.find(attempt, b.coll.Destination.DB, cmd, size)
	if err != nil {
		return err
	}
	defer cur.close(ctx)
	for {
		docs, err := nextBatch(ctx, cur, readTimeout)
		if err != nil {
			return err
		}
		if len(docs) == 0 {
			return nil
		}
		if err := each(docs); err != nil {
			return err
		}
		if cur.exhausted() {
			return nil
		}
	}
}

// A keyed is a document to repair.
type keyed struct {
	key bson.Raw // its documentKey
	doc bson.Raw // as it is on one of the sides
}
