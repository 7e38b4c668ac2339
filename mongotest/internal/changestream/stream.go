package changestream

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Catalog is what a Stream asks the data for. It is called from Next, on the
// caller's goroutine, never while a lock is held.
type Catalog interface {
	// ShardKey returns the shard key pattern of a collection, nil if it is
	// unsharded or unknown.
	ShardKey(uuid value.UUID) bson.Raw
	// LookupDoc returns the current document with this documentKey, for
	// fullDocument: "updateLookup". False if it or the collection is gone.
	LookupDoc(uuid value.UUID, documentKey bson.Raw) (bson.Raw, bool)
}

// A Stream is a change stream over one replica set's oplog: a cursor, used by
// one goroutine at a time.
type Stream struct{}

// Open validates the user's stages and returns a stream. It reads nothing yet:
// a resume point that is gone is reported by the first Next. version is the
// simulated server's, such as "8.0.4".
func Open(log *oplog.Log, cat Catalog, spec Spec, userStages []bson.Raw, version string) (*Stream, error) {
	return &Stream{}, nil
}

// Next returns the next events, at most maxDocs (0: no limit) and about
// maxBytes (0: 16 MiB) of them, and the postBatchResumeToken. Without any it waits
// up to wait for the first. closed means the stream is invalidated and ends
// with this batch. After an error the stream is unusable.
func (s *Stream) Next(ctx context.Context, maxDocs, maxBytes int, wait time.Duration) (docs []bson.Raw, pbrt bson.Raw, closed bool, err error) {
	return nil, nil, false, nil
}

// PBRT returns the postBatchResumeToken without reading further: the reply to
// an aggregate with batchSize 0 carries it.
func (s *Stream) PBRT() bson.Raw { return nil }
