package changestream

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// A Remote is one shard's stream, opened with Spec.NeedsMerge. A Merge calls
// Next from one goroutine at a time per remote.
type Remote interface {
	// Next returns events in the order of their tokens and the
	// postBatchResumeToken, which never goes backwards. Without events it waits
	// up to wait. closed means that nothing follows.
	Next(ctx context.Context, wait time.Duration) (docs []bson.Raw, pbrt bson.Raw, closed bool, err error)
}

// A remote is what a Merge has received from one Remote.
type remote struct {
	source  Remote
	docs    []bson.Raw // not merged yet
	keys    []string   // their tokens
	pbrt    bson.Raw
	promise string // pbrt: nothing earlier will come
	closed  bool
}

func newRemote(source Remote, start bson.Raw) *remote {
	return &remote{source: source, pbrt: start, promise: keyOf(start)}
}

// keyOf returns a token as a string that sorts as the token does.
func keyOf(token bson.Raw) string {
	data, typeBits := tokenParts(token)
	return data + "\x00" + string(typeBits)
}

// fetch asks the source for more.
func (r *remote) fetch(ctx context.Context, wait time.Duration) error {
	docs, pbrt, closed, err := r.source.Next(ctx, wait)
	if err != nil {
		return err
	}
	promise := keyOf(pbrt)
	if promise < r.promise {
		return mongoerr.New(mongoerr.InternalError, "a shard's postBatchResumeToken went backwards, from %s to %s", r.pbrt, pbrt)
	}
	keys := make([]string, len(docs))
	for i, doc := range docs {
		id, ok := doc.Lookup("_id").DocumentOK()
		if !ok {
			return mongoerr.New(mongoerr.InternalError, "a shard sent a change event without a resume token")
		}
		keys[i] = keyOf(id)
	}
	r.docs, r.keys = docs, keys
	r.pbrt, r.promise, r.closed = pbrt, promise, closed
	return nil
}

func (r *remote) pop() event {
	doc := r.docs[0]
	r.docs, r.keys = r.docs[1:], r.keys[1:]
	id, _ := doc.Lookup("_id").DocumentOK()
	kind, _ := doc.Lookup("operationType").StringValueOK()
	return event{doc: doc, id: id, invalidates: kind == typeInvalidate, expanded: !isClassicType(kind)}
}
