package histories_test

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/mongotest"
)

// chunks splits, merges or moves chunks, the last while documents are written.
func (w *world) chunks() {
	c := w.pick((*collection).sharded)
	if c == nil {
		return
	}
	i := w.rnd.IntN(len(c.chunks))
	ch := c.chunks[i]
	switch w.rnd.IntN(5) {
	case 0:
		k := 1 + w.rnd.IntN(9)
		if ch.min < k && k < ch.max {
			w.admin(bson.D{{"split", c.ns}, {"middle", bson.D{{"k", int32(k)}}}})
			c.chunks = slices.Insert(c.chunks, i+1, chunk{k, ch.max, ch.owners})
			c.chunks[i].max = k
		}
	case 1:
		if i > 0 && c.chunks[i-1].owners[0] == ch.owners[0] {
			w.admin(bson.D{{"mergeChunks", c.ns}, {"bounds", bson.A{bson.D{{"k", bound(c.chunks[i-1].min)}}, bson.D{{"k", bound(ch.max)}}}}})
			c.chunks[i-1].max = ch.max
			c.chunks = slices.Delete(c.chunks, i, i+1)
		}
	default:
		w.move(c, &c.chunks[i])
	}
}

func (w *world) move(c *collection, ch *chunk) {
	to := one(w.rnd, w.shards)
	if to == ch.owners[0] {
		return
	}
	bounds := bson.A{bson.D{{"k", bound(ch.min)}}, bson.D{{"k", bound(ch.max)}}}
	cmd := bson.D{{"moveChunk", c.ns}, {"bounds", bounds}, {"to", to}, {"_waitForDelete", w.chance(20)}}
	if w.chance(40) {
		cmd = bson.D{{"moveRange", c.ns}, {"min", bounds[0]}, {"max", bounds[1]}, {"toShard", to}}
	}
	c.moving = true
	defer func() { c.moving = false }()
	for id := range c.docs {
		c.haunted[id] = w.orphans
	}
	done := make(chan error, 1)
	go func() { done <- w.cl.Database("admin").RunCommand(w.ctx, cmd).Err() }()
	if w.chance(60) {
		ch.owners = []string{ch.owners[0], to}
		for range w.rnd.IntN(5) {
			w.crud()
		}
	}
	if err := <-done; err != nil {
		var e mongo.CommandError // documents of an earlier move may still be there
		require.ErrorAs(w.t, err, &e)
		require.Equal(w.t, int32(117), e.Code, "%v", err)
		to = ch.owners[0]
	}
	ch.owners = []string{to}
}

// movePrimary moves the unsharded collections of a database, which nobody sees.
func (w *world) movePrimary() {
	db := one(w.rnd, []string{"a", "b"})
	to := one(w.rnd, w.shards)
	w.admin(bson.D{{"movePrimary", db}, {"to", to}})
	for _, c := range w.existing() {
		if c.db() == db && !c.sharded() && to != w.primaries[db] {
			w.born++ // its copy is another collection, with another UUID
			c.incarnation = w.born
		}
	}
	w.primaries[db] = to
}

// election makes another member the primary of a shard, or the same one again.
func (w *world) election() {
	shard := one(w.rnd, w.shards)
	if w.members == 3 && w.chance(50) {
		w.rollBack(shard)
		return
	}
	require.NoError(w.t, w.c.StepDown(w.ctx, shard, time.Second))
	w.awaitPrimary(shard)
}

func (w *world) awaitPrimary(shard string) {
	if w.members == 1 {
		rest(1100 * time.Millisecond) // the same one again
		return
	}
	for range 1000 {
		if _, err := w.c.Addr(shard); err == nil {
			rest(100 * time.Millisecond) // for the routers and drivers to see it
			return
		} else if !errors.Is(err, mongotest.ErrNoPrimary) {
			require.NoError(w.t, err)
		}
		rest(100 * time.Millisecond)
	}
	require.Fail(w.t, "no primary", shard)
}

// rollBack loses a primary with writes that no majority has: it is as if they had
// never been, for streams as for the documents.
func (w *world) rollBack(shard string) {
	primary, err := w.c.Addr(shard)
	require.NoError(w.t, err)
	addrs, err := w.c.Members(shard)
	require.NoError(w.t, err)
	secondaries := slices.DeleteFunc(addrs, func(a string) bool { return a == primary })
	for _, a := range secondaries {
		require.NoError(w.t, w.c.StopReplication(a))
	}
	w.lost(shard)
	w.follow()
	require.NoError(w.t, w.c.Isolate(w.ctx, primary))
	w.awaitPrimary(shard)
	for _, a := range secondaries {
		require.NoError(w.t, w.c.ResumeReplication(a))
	}
	require.NoError(w.t, w.c.Rejoin(primary))
	rest(time.Second)
}

// frozen keeps a shard's majority commit point where it is while documents are
// written, there and on other shards. A stream tells nothing later before it
// tells what was written there.
func (w *world) frozen() {
	id, err := w.c.Disturb(w.ctx, mongotest.FrozenMajority{Shard: one(w.rnd, w.shards)}, 0)
	require.NoError(w.t, err)
	w.hasty = true
	for range 1 + w.rnd.IntN(5) {
		if c := w.pick(nil); c != nil {
			one(w.rnd, []func(*collection){w.insert, w.update, w.replace, w.delete})(c)
		}
		if w.chance(70) {
			w.follow()
		}
	}
	w.hasty = false
	require.NoError(w.t, w.c.EndDisturbance(w.ctx, id))
}

// lost writes documents of a shard that will be rolled back.
func (w *world) lost(shard string) {
	c := w.pick(func(c *collection) bool { return slices.Contains(w.owners(c), shard) })
	if c == nil {
		return
	}
	k := int32(0)
	for _, ch := range c.chunks {
		if ch.owners[0] == shard {
			k = int32(max(ch.min, 0))
			if ch.min == math.MinInt && ch.max <= 0 {
				return
			}
		}
	}
	w.hasty = true
	defer func() { w.hasty = false }()
	coll := w.coll(c)
	for range 1 + w.rnd.IntN(3) {
		_, err := coll.InsertOne(w.ctx, set(w.newDoc(bson.D{{"lost", w.next()}}), "k", k))
		require.NoError(w.t, err)
	}
	for _, id := range c.ids() {
		d := c.docs[id]
		if slices.Contains(w.ownersOf(c, get(d, "k").(int32)), shard) && w.chance(50) {
			_, err := coll.UpdateOne(w.ctx, filter(d), bson.D{{"$set", bson.D{{"lost", w.next()}}}})
			require.NoError(w.t, err)
		}
	}
}
