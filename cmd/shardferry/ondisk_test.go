package main

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/api"
)

// restart kills a sandbox and starts it again as it was. Clients of it stay
// connected.
func (c *cluster) restart(t *testing.T) {
	t.Helper()
	c.process.kill()
	c.process = serve(t, c.args).process
}

// catalog is what config says of the chunks and the balancer.
func (c *cluster) catalog(t *testing.T) map[string][]bson.D {
	t.Helper()
	out := map[string][]bson.D{}
	for _, name := range []string{"version", "shards", "databases", "collections", "chunks", "settings"} {
		cur, err := c.client.Database("config").Collection(name).Find(t.Context(), bson.D{})
		require.NoError(t, err)
		var docs []bson.D
		require.NoError(t, cur.All(t.Context(), &docs))
		out[name] = docs
	}
	return out
}

// TestKilledSandboxKeepsWhatItAcknowledged kills a sharded cluster on the disk
// under writers.
func TestKilledSandboxKeepsWhatItAcknowledged(t *testing.T) {
	src := sandbox(t, 3, "--db-path", filepath.Join(t.TempDir(), "db"))
	src.load(t, 5_000)
	before, docs := src.catalog(t), src.documents(t)
	coll := src.client.Database("probe").Collection("writes")
	next := int32(0)
	for range 3 {
		var acknowledged atomic.Int32
		acknowledged.Store(next - 1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for i := next; ; i++ {
				if _, err := coll.InsertOne(ctx, bson.D{{"_id", i}}); err != nil && !mongo.IsDuplicateKeyError(err) {
					return // one that was retried against the next process may be a duplicate
				}
				acknowledged.Store(i)
			}
		}()
		until(t, "writes", func() bool { return acknowledged.Load() > next+100 })
		src.process.kill()
		cancel()
		<-ended
		src.process = serve(t, src.args).process
		cur, err := coll.Find(t.Context(), bson.D{})
		require.NoError(t, err)
		have := map[int32]bool{}
		for cur.Next(t.Context()) {
			id := cur.Current.Lookup("_id").Int32()
			assert.False(t, have[id])
			have[id] = true
		}
		require.NoError(t, cur.Err())
		last := acknowledged.Load()
		for i := range last + 1 {
			assert.True(t, have[i], "%d of %d", i, last)
		}
		assert.LessOrEqual(t, len(have), int(last)+2, "only one more was on its way")
		next = last + 1
	}
	require.NoError(t, coll.Database().Drop(t.Context()))
	after := src.catalog(t)
	assert.Equal(t, before["chunks"], after["chunks"])
	assert.Equal(t, before, after)
	assert.Equal(t, docs, src.documents(t))
}

// TestSyncBetweenSandboxesOnDisk moves a cluster to another while both are
// killed: in the copy and in the stream.
func TestSyncBetweenSandboxesOnDisk(t *testing.T) {
	dir := t.TempDir()
	m := &move{
		src: sandbox(t, 3, "--name", "source", "--db-path", filepath.Join(dir, "source")),
		dst: sandbox(t, 2, "--name", "destination", "--db-path", filepath.Join(dir, "destination")),
		dir: filepath.Join(dir, "data"), addr: "127.0.0.1:" + strconv.Itoa(freePort(t, 1)),
	}
	m.docs = m.src.load(t, 10_000)
	p := m.sync(t, "--commit")
	m.reach(t, p, "the copy", func(pr api.Progress) bool { return pr.Detail.DocumentsCopied > 0 })
	m.dst.restart(t)
	m.src.restart(t)
	_, stop := m.write(t, 100)
	done := p.await("committed")
	assert.Equal(t, 0, p.wait(), p.complaints())
	writes, _ := stop()
	assert.Equal(t, true, done["verified"])
	m.src.restart(t)
	m.dst.restart(t)
	checked := m.equal(t)
	assert.Positive(t, checked.Documents)
	t.Logf("%d documents, %d writes", checked.Documents, writes)
}

// TestKilledInMigrations kills a cluster again and again while it splits and
// moves chunks and makes and drops collections. Every document stays, and once.
func TestKilledInMigrations(t *testing.T) {
	seed := uint64(envInt(t, "SHARDFERRY_TEST_SEED", 1))
	r := rand.New(rand.NewPCG(seed, 1))
	c := sandbox(t, 3, "--db-path", filepath.Join(t.TempDir(), "db"))
	const docs = 300
	run := func(ctx context.Context, cmd bson.D) error {
		return c.client.Database("admin").RunCommand(ctx, cmd).Err()
	}
	require.NoError(t, run(t.Context(), bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"_id", 1}}}}))
	list := make([]any, docs)
	for i := range list {
		list[i] = bson.D{{"_id", i}}
	}
	_, err := c.client.Database("d").Collection("c").InsertMany(t.Context(), list)
	require.NoError(t, err)
	for round := range envInt(t, "SHARDFERRY_TEST_KILLS", 10) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		random := rand.New(rand.NewPCG(r.Uint64(), 2))
		var did atomic.Int32
		go func() {
			defer close(ended)
			for ctx.Err() == nil {
				lower := random.IntN(docs)
				_ = run(ctx, bson.D{ // some are refused, and the last one is cut off
					{"moveRange", "d.c"},
					{"min", bson.D{{"_id", lower}}},
					{"max", bson.D{{"_id", lower + 1 + random.IntN(40)}}},
					{"toShard", c.shards[random.IntN(len(c.shards))]},
					{"waitForDelete", random.IntN(2) == 0},
				})
				_ = run(ctx, bson.D{{"split", "d.c"}, {"middle", bson.D{{"_id", random.IntN(docs)}}}})
				_ = run(ctx, bson.D{{"mergeAllChunksOnShard", "d.c"}, {"shard", c.shards[random.IntN(len(c.shards))]}})
				did.Add(1)
			}
		}()
		least := int32(r.IntN(20)) // the other source of numbers is the goroutine's
		until(t, "migrations", func() bool { return did.Load() > least })
		c.process.kill()
		cancel()
		<-ended
		c.process = serve(t, c.args).process
		cur, err := c.client.Database("d").Collection("c").Find(t.Context(), bson.D{})
		require.NoError(t, err, "seed %d, round %d", seed, round)
		have := map[int32]int{}
		for cur.Next(t.Context()) {
			have[cur.Current.Lookup("_id").Int32()]++
		}
		require.NoError(t, cur.Err())
		for i := range int32(docs) {
			require.Equal(t, 1, have[i], "document %d, seed %d, round %d", i, seed, round)
		}
	}
	n, err := c.client.Database("config").Collection("changelog").CountDocuments(t.Context(), bson.D{{"what", "moveChunk.commit"}})
	require.NoError(t, err)
	t.Logf("%d migrations, seed %d", n, seed)
	require.Positive(t, n)
}
