package mongos

import (
	"bytes"
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// internal is the command of a client of the cluster's own, for what a shard
// must not refuse on account of the real client's rights.
func (r *Router) internal() *command.Request {
	return &command.Request{Name: "internal", DB: "admin", Body: rawDoc(nil), Client: internalClient()}
}

// own is an op of the cluster itself.
func (r *Router) own() *op { return &op{r: r, req: r.internal()} }

func moveChunk(ctx context.Context, o *op) (bson.Raw, error) {
	began := time.Now()
	t, unlock, err := o.shardedTable(ctx, lockShared)
	if err != nil {
		return nil, err
	}
	i, err := t.chosenChunk(o.req.Body)
	unlock() // a migration lets statements pass until its last moment
	if err != nil {
		return nil, err
	}
	if err := o.migrate(ctx, t, t.chunks[i], getString(o.req.Body, "to")); err != nil {
		return nil, err
	}
	return rawDoc(bson.D{{"millis", time.Since(began).Milliseconds()}}), nil
}

// moveRange moves a range, which is split off its chunk if it is not the whole.
func moveRange(ctx context.Context, o *op) (bson.Raw, error) {
	t, unlock, err := o.shardedTable(ctx, lockShared)
	if err != nil {
		return nil, err
	}
	part, err := t.part(getDoc(o.req.Body, "min"), getDoc(o.req.Body, "max"))
	unlock()
	if err != nil {
		return nil, err
	}
	return rawDoc(bson.D{}), o.migrate(ctx, t, part, getString(o.req.Body, "toShard"))
}

// part returns the range between two bounds as a chunk of its own. Of one that
// is missing the chunk's own bound takes the place.
func (t *table) part(lower, upper bson.Raw) (chunk, error) {
	var lo, hi []byte
	var err error
	if lower == nil && upper == nil {
		return chunk{}, mongoerr.New(mongoerr.InvalidOptions, "moveRange requires either the 'min' or the 'max' bound")
	}
	if lower != nil {
		if lower, lo, err = t.key.bound(lower); err != nil {
			return chunk{}, err
		}
	}
	if upper != nil {
		if upper, hi, err = t.key.bound(upper); err != nil {
			return chunk{}, err
		}
	}
	c := t.chunks[t.chunkAt(lo)]
	if lower == nil {
		c = t.chunks[t.chunkBefore(hi)]
	} else {
		c.min, c.lo = lower, lo
	}
	if upper != nil {
		if bytes.Compare(hi, c.lo) <= 0 || bytes.Compare(hi, c.hi) > 0 {
			return chunk{}, mongoerr.New(mongoerr.InvalidOptions, "the range %s -> %s is not within one chunk", c.min, upper)
		}
		c.max, c.hi = upper, hi
	}
	return c, nil
}

// chunkBefore returns the index of the chunk that reaches up to the position or
// holds it.
func (t *table) chunkBefore(pos []byte) int {
	i := t.chunkAt(pos)
	if i > 0 && bytes.Equal(t.chunks[i].lo, pos) {
		i--
	}
	return i
}
