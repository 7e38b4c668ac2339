package main

import (
	"context"
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
