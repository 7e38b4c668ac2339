package mongos

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// during calls f once, when a migration sends its first clone to a shard.
func (c *cluster) during(to string, f func()) {
	fired := false
	c.lose = func(shard string, req *command.Request) error {
		if shard == to && req.Name == "insert" && req.Routed != nil && req.Routed.FromMigrate && !fired {
			fired = true
			f()
		}
		return nil
	}
}

// rangeDeletions returns what a shard says it still has to delete.
func (c *cluster) rangeDeletions(shard string) []bson.Raw {
	c.t.Helper()
	resp, err := c.nodes[shard].Handle(c.t.Context(), &command.Request{
		Name: "find", DB: "config", Client: c.client, Body: rawDoc(bson.D{{"find", "rangeDeletions"}}),
	})
	require.NoError(c.t, err)
	return getDocs(getDoc(resp.Body, "cursor"), "firstBatch")
}

func TestWritesDuringACloneArrive(t *testing.T) {
	c := spreadOut(t)
	w := c.watch()
	c.during("s2", func() {
		c.insert("c", bson.D{{"_id", 55}, {"k", 55}})
		c.must("db", bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{{"_id", 10}}}, {"u", bson.D{{"$set", bson.D{{"x", 99}}}}}}}}})
		c.must("db", bson.D{{"delete", "c"}, {"deletes", bson.A{bson.D{{"q", bson.D{{"_id", 20}}}, {"limit", 1}}}}})
	})
	c.move("c", 50, "s2")
	assert.Equal(t, []int64{0, 10, 30, 40, 50, 55, 60, 70, 80, 90, 100, 110, 120, 130, 140}, ids(c.on("s2", "c")))
	assert.Len(t, c.all("db", bson.D{{"find", "c"}, {"filter", bson.D{{"_id", 10}, {"x", 99}}}}), 1)
	assert.Len(t, w.events(), 3, "the move itself is in no stream")
}

// An index that is made while documents are cloned would be missing on their
// new shard, so the migration fails and leaves nothing there.
func TestDDLDuringACloneAbortsIt(t *testing.T) {
	for name, ddl := range map[string]bson.D{
		"createIndexes": {{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"x", 1}}}, {"name", "x_1"}}}}},
		"drop":          {{"drop", "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := spreadOut(t)
			c.during("s2", func() { c.must("db", ddl) })
			_, err := c.run("admin", bson.D{{"moveChunk", "db.c"}, {"find", bson.D{{"k", 50}}}, {"to", "s2"}})
			require.Error(t, err)
			assert.NotContains(t, ids(c.on("s2", "c")), int64(50))
			assert.Empty(t, c.rangeDeletions("s1"))
			assert.Empty(t, c.rangeDeletions("s2"))
		})
	}
}

func TestAShardTakesPartInOneMigrationAtATime(t *testing.T) {
	c := spreadOut(t)
	c.during("s2", func() {
		c.fails(mongoerr.ConflictingOperationInProgress, "admin", bson.D{{"moveChunk", "db.c"}, {"find", bson.D{{"k", -5}}}, {"to", "s1"}})
	})
	c.move("c", 50, "s2")
}

// For a while, those who read a shard directly see what it no longer owns; it
// can not have it back before that is gone.
func TestOrphansStayForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, 0)
		c.sharded("c")
		c.insert("c", bson.D{{"_id", 1}, {"k", 1}})
		w := c.watch()
		c.move("c", 1, "s2")
		assert.Equal(t, []int64{1}, ids(c.on("s1", "c")))
		tasks := c.rangeDeletions("s1")
		require.NotEmpty(t, tasks)
		assert.Equal(t, "delayed", getString(tasks[0], "whenToClean"))
		assert.False(t, has(tasks[0], "pending"))
		assert.Empty(t, c.rangeDeletions("s2"))
		assert.Len(t, c.all("db", bson.D{{"find", "c"}}), 1)
		c.fails(mongoerr.ConflictingOperationInProgress, "admin", bson.D{{"moveChunk", "db.c"}, {"find", bson.D{{"k", 1}}}, {"to", "s1"}})
		time.Sleep(orphanCleanupDelay)
		c.router.deleteOrphans(t.Context())
		assert.Empty(t, c.on("s1", "c"))
		assert.Empty(t, c.rangeDeletions("s1"))
		assert.Empty(t, w.events())
		c.must("admin", bson.D{{"moveChunk", "db.c"}, {"find", bson.D{{"k", 1}}}, {"to", "s1"}, {"_waitForDelete", true}})
		assert.Empty(t, c.on("s2", "c"))
	})
}

// Orphans do not expire: their documents do, where they live.
func TestOrphansDoNotExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, time.Hour)
		c.sharded("c")
		c.must("db", bson.D{{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"at", 1}}}, {"name", "at_1"}, {"expireAfterSeconds", 60}}}}})
		c.insert("c", bson.D{{"_id", 1}, {"k", 1}, {"at", time.Now()}})
		c.move("c", 1, "s2")
		w := c.watch()
		c.runNodes(3 * time.Minute)
		assert.Equal(t, []string{`delete {"$numberInt":"1"}`}, summary(w.events()))
		assert.Equal(t, []int64{1}, ids(c.on("s1", "c")))
	})
}

func TestAMigrationLeavesItsRecords(t *testing.T) {
	c := spreadOut(t)
	before := c.catalog.table("db.c").version()
	c.must("admin", bson.D{{"moveRange", "db.c"}, {"min", bson.D{{"k", 20}}}, {"max", bson.D{{"k", 40}}}, {"toShard", "s2"}})
	tb := c.catalog.table("db.c")
	require.Len(t, tb.chunks, 5)
	for i, want := range []struct {
		shard   string
		version bson.Timestamp
	}{1: {"s1", bson.Timestamp{T: before.T + 1, I: 1}}, 2: {"s2", bson.Timestamp{T: before.T + 1}}, 3: {"s1", bson.Timestamp{T: before.T + 1, I: 2}}} {
		if i > 0 {
			assert.Equal(t, want.shard, tb.chunks[i].shard)
			assert.Equal(t, want.version, tb.chunks[i].version)
		}
	}
	var whats []string
	for _, e := range c.all("config", bson.D{{"find", "changelog"}, {"filter", bson.D{{"details.to", "s2"}, {"details.min", bson.D{{"k", 20}}}}}}) {
		whats = append(whats, getString(e, "what"))
	}
	assert.Equal(t, []string{"moveChunk.start", "moveChunk.commit", "moveChunk.from", "moveChunk.to"}, whats)
	c.move("c", -50, "s1")
	moved := c.catalog.table("db.c")
	assert.Equal(t, moved.version().T, tb.version().T+1)
	assert.NotContains(t, moved.shards(), "s0")
}

func TestMergingAllChunksOfAShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, -1)
		c.sharded("c")
		for _, at := range []int{10, 20, 30} {
			c.must("admin", bson.D{{"split", "db.c"}, {"middle", bson.D{{"k", at}}}})
		}
		merge := bson.D{{"mergeAllChunksOnShard", "db.c"}, {"shard", "s1"}}
		c.must("admin", merge)
		assert.Len(t, c.catalog.table("db.c").chunks, 6, "they came here just now")
		time.Sleep(historyWindow + time.Second)
		c.must("admin", merge)
		assert.Len(t, c.catalog.table("db.c").chunks, 3)
	})
}

// A document whose new shard key belongs to a shard that still has its orphan
// cannot go there.
func TestAnOrphanIsInTheWayOfItsDocument(t *testing.T) {
	c := newClusterWith(t, time.Hour)
	c.sharded("c")
	c.insert("c", bson.D{{"_id", 1}, {"k", 1}})
	c.move("c", 1, "s2")
	c.must("admin", bson.D{{"split", "db.c"}, {"middle", bson.D{{"k", 50}}}})
	c.must("admin", bson.D{{"moveRange", "db.c"}, {"min", bson.D{{"k", -10}}}, {"max", bson.D{{"k", 0}}}, {"toShard", "s1"}})
	body, err := c.run("db", bson.D{{"update", "c"}, {"lsid", session()}, {"txnNumber", int64(1)}, {"updates", bson.A{
		bson.D{{"q", bson.D{{"_id", 1}, {"k", 1}}}, {"u", bson.D{{"$set", bson.D{{"k", -5}}}}}},
	}}})
	require.NoError(t, err)
	errs := getDocs(body, "writeErrors")
	require.Len(t, errs, 1)
	assert.Equal(t, int64(mongoerr.DuplicateKey), getInt(errs[0], "code", 0))
	assert.Contains(t, getString(errs[0], "errmsg"), "There is either an orphan for this document")
}

// What a unique index of the recipient refuses is not lost: the migration fails,
// unless the document that was in the way has changed meanwhile.
func TestADocumentThatIsRefusedStaysWithTheDonor(t *testing.T) {
	for name, frees := range map[string]bool{"for good": false, "for a moment": true} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.sharded("c")
			c.insert("c", bson.D{{"_id", 1}, {"k", 150}}, bson.D{{"_id", 2}, {"k", 5}}, bson.D{{"_id", 3}, {"k", 6}, {"u", 1}})
			c.must("db", bson.D{{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"u", 1}}}, {"name", "u_1"}}}}})
			c.must("db", bson.D{{"collMod", "c"}, {"index", bson.D{{"name", "u_1"}, {"prepareUnique", true}}}})
			if frees {
				c.during("s2", func() {
					c.must("db", bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{{"_id", 1}}}, {"u", bson.D{{"$set", bson.D{{"u", 2}}}}}}}}})
				})
				c.move("c", 5, "s2")
			} else {
				c.fails(mongoerr.DuplicateKey, "admin", bson.D{{"moveChunk", "db.c"}, {"find", bson.D{{"k", 5}}}, {"to", "s2"}})
			}
			assert.Len(t, c.all("db", bson.D{{"find", "c"}}), 3)
		})
	}
}
