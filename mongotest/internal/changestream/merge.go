package changestream

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A Remote is one shard's stream, opened with Spec.NeedsMerge. A Merge calls
// Next from one goroutine at a time per remote.
type Remote interface {
	// Next returns events in the order of their tokens and the
	// postBatchResumeToken, which never goes backwards. Without events it waits
	// up to wait. closed means that nothing follows.
	Next(ctx context.Context, wait time.Duration) (docs []bson.Raw, pbrt bson.Raw, closed bool, err error)
}

// A Merge is a change stream over several shards: a cursor of a mongos, used by
// one goroutine at a time.
type Merge struct{}

// NewMerge validates the user's stages and returns the merged stream. The spec
// must have its Start (see Spec.StartingAt) and be the one that the remotes
// were opened with, but for NeedsMerge.
func NewMerge(remotes []Remote, spec Spec, userStages []bson.Raw, version string) (*Merge, error) {
	return &Merge{}, nil
}

// Next is Stream.Next for the merged stream. The error of any remote is the
// error of the merged stream.
func (m *Merge) Next(ctx context.Context, maxDocs, maxBytes int, wait time.Duration) (docs []bson.Raw, pbrt bson.Raw, closed bool, err error) {
	return nil, nil, false, nil
}

// PBRT returns the postBatchResumeToken without reading further.
func (m *Merge) PBRT() bson.Raw { return nil }

// Add adds the stream of a shard that joined the cluster. It must start at the
// time it joined. Call it between two calls of Next.
func (m *Merge) Add(r Remote) {}
