package mongos

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// uuidOf is the UUID that listCollections tells.
func (c *cluster) uuidOf(coll string) value.UUID {
	c.t.Helper()
	infos := c.all("db", bson.D{{"listCollections", 1}, {"filter", bson.D{{"name", coll}}}})
	require.Len(c.t, infos, 1)
	v, _ := value.Get(getDoc(infos[0], "info"), "uuid")
	id, ok := value.ParseUUID(v)
	require.True(c.t, ok)
	return id
}

func uuidIn(doc bson.Raw, field string) value.UUID {
	v, _ := value.Get(doc, field)
	id, _ := value.ParseUUID(v)
	return id
}

// documents returns what the collection holds, through the router.
func (c *cluster) documents(coll string) []int64 {
	c.t.Helper()
	return ids(c.all("db", bson.D{{"find", coll}}))
}

// held returns how many documents the shards hold together.
func (c *cluster) held(coll string) (n int) {
	c.t.Helper()
	for _, s := range shardNames {
		n += len(c.on(s, coll))
	}
	return n
}

func TestReshardingGivesANewCollectionAndOneEvent(t *testing.T) {
	c := spreadOut(t)
	c.move("c", 50, "s0") // leaves nothing behind: there is no delay here
	before, all := c.uuidOf("c"), c.documents("c")
	w, system := c.watch(), c.watchSystem()
	c.must("admin", bson.D{{"reshardCollection", "db.c"}, {"key", bson.D{{"x", 1}, {"_id", 1}}}, {"numInitialChunks", 4}})
	assert.Equal(t, all, c.documents("c"))
	assert.Equal(t, len(all), c.held("c"))
	tb := c.catalog.table("db.c")
	assert.Len(t, tb.chunks, 4)
	assert.Len(t, tb.shards(), 3)
	assert.NotEqual(t, before, c.uuidOf("c"))
	assert.Equal(t, tb.uuid, c.uuidOf("c"))
	c.insert("c", bson.D{{"_id", 1}, {"k", 1}, {"x", 7}})
	events := w.events()
	require.Equal(t, []string{"reshardCollection c", `insert {"$numberInt":"1"}`}, summary(events))
	assert.Equal(t, before, uuidIn(events[0], "collectionUUID"))
	d := getDoc(events[0], "operationDescription")
	assert.Equal(t, tb.uuid, uuidIn(d, "reshardUUID"))
	assert.Equal(t, rawDoc(bson.D{{"k", 1}}), getDoc(d, "oldShardKey"))
	assert.Equal(t, "reshardCollection", getString(d, "provenance"))
	assert.Equal(t, tb.uuid, uuidIn(events[1], "collectionUUID"))
	assert.Equal(t, rawDoc(bson.D{{"x", 7}, {"_id", 1}}), getDoc(events[1], "documentKey"))
	assert.Contains(t, summary(system.events()), `insert {"$numberInt":"-50"}`, "streams of system events show the copy")
	assert.Len(t, c.all("config", bson.D{{"find", "chunks"}}), 4)
}

// watchSystem is watch with showSystemEvents.
func (c *cluster) watchSystem() *watcher {
	c.t.Helper()
	cur := getDoc(c.must("admin", bson.D{{"aggregate", int32(1)}, {"cursor", bson.D{}}, {"pipeline", bson.A{
		bson.D{{"$changeStream", bson.D{{"allChangesForCluster", true}, {"showExpandedEvents", true}, {"showSystemEvents", true}}}},
	}}}), "cursor")
	return &watcher{c: c, id: getInt(cur, "id", 0), coll: "$cmd.aggregate"}
}

// Two documents with one _id may live on two shards, but not on one: then a
// resharding fails, and leaves everything as it was.
func TestAReshardingThatFailsLeavesNothing(t *testing.T) {
	c := spreadOut(t)
	c.insert("c", bson.D{{"_id", 5}, {"k", -1}})
	c.insert("c", bson.D{{"_id", 5}, {"k", 1}})
	w := c.watch()
	c.fails(mongoerr.DuplicateKey, "admin", bson.D{{"reshardCollection", "db.c"}, {"key", bson.D{{"_id", 1}}}, {"numInitialChunks", 1}})
	assert.Empty(t, w.events())
	assert.Len(t, c.documents("c"), 22)
	assert.Len(t, c.all("db", bson.D{{"listCollections", 1}}), 1)
	c.must("admin", bson.D{{"reshardCollection", "db.c"}, {"key", bson.D{{"k", 1}}}})
	assert.Empty(t, w.events(), "the same key: nothing to do")
	c.fails(mongoerr.NamespaceNotSharded, "admin", bson.D{{"reshardCollection", "db.d"}, {"key", bson.D{{"k", 1}}}})
	c.fails(mongoerr.BadValue, "admin", bson.D{{"reshardCollection", "db.c"}, {"key", bson.D{{"x", 1}}}, {"unique", true}})
}

func TestReshardingByHashAndIntoZones(t *testing.T) {
	c := spreadOut(t)
	c.must("admin", bson.D{{"reshardCollection", "db.c"}, {"key", bson.D{{"_id", "hashed"}}}})
	assert.Len(t, c.documents("c"), 20)
	assert.Len(t, c.catalog.table("db.c").shards(), 3)
	c.must("admin", bson.D{{"addShardToZone", "s2"}, {"zone", "high"}})
	c.must("admin", bson.D{{"reshardCollection", "db.c"}, {"key", bson.D{{"k", 1}}}, {"numInitialChunks", 1}, {"zones", bson.A{
		bson.D{{"zone", "high"}, {"min", bson.D{{"k", 100}}}, {"max", bson.D{{"k", bson.MaxKey{}}}}},
	}}})
	assert.Equal(t, []int64{100, 110, 120, 130, 140}, ids(c.on("s2", "c")))
	assert.Len(t, c.all("config", bson.D{{"find", "tags"}}), 1)
	assert.Len(t, c.documents("c"), 20)
}

func TestUnshardingMovingAndShardingAgain(t *testing.T) {
	c := spreadOut(t)
	all := c.documents("c")
	w := c.watch()
	c.must("admin", bson.D{{"unshardCollection", "db.c"}, {"toShard", "s2"}})
	assert.Equal(t, all, ids(c.on("s2", "c")))
	assert.Equal(t, all, c.documents("c"))
	row := c.all("config", bson.D{{"find", "collections"}})[0]
	assert.True(t, getBool(row, "unsplittable", false))
	c.fails(mongoerr.NamespaceNotSharded, "admin", bson.D{{"split", "db.c"}, {"middle", bson.D{{"_id", 1}}}})
	c.must("db", bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{{"k", 50}}}, {"u", bson.D{{"$set", bson.D{{"y", 1}}}}}}}}})
	c.must("db", bson.D{{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"x", 1}, {"k", 1}}}, {"name", "xk"}, {"unique", true}}}}})
	c.must("admin", bson.D{{"moveCollection", "db.c"}, {"toShard", "s1"}})
	assert.Empty(t, c.on("s2", "c"))
	c.must("db", bson.D{{"dropIndexes", "c"}, {"index", "xk"}})
	c.must("admin", bson.D{{"shardCollection", "db.c"}, {"key", bson.D{{"k", 1}}}})
	assert.Equal(t, all, ids(c.on("s1", "c")))
	assert.False(t, has(c.all("config", bson.D{{"find", "collections"}})[0], "unsplittable"))
	c.move("c", 1, "s0")
	c.must("db", bson.D{{"drop", "c"}})
	assert.Equal(t, []string{
		"reshardCollection c", `update {"$numberInt":"50"}`, "createIndexes c", "reshardCollection c",
		"dropIndexes c", "shardCollection c", "drop c",
	}, summary(w.events()))
	assert.Zero(t, c.held("c"))
}

func TestMovingAnUntrackedCollection(t *testing.T) {
	c := newCluster(t)
	c.insert("plain", bson.D{{"_id", 1}}, bson.D{{"_id", 2}})
	c.must("admin", bson.D{{"moveCollection", "db.plain"}, {"toShard", "s1"}})
	c.insert("plain", bson.D{{"_id", 3}})
	assert.Equal(t, []int64{1, 2, 3}, ids(c.on("s1", "plain")))
	assert.Empty(t, c.on("s0", "plain"))
	c.must("db", bson.D{{"update", "plain"}, {"updates", bson.A{bson.D{{"q", bson.D{{"a", 9}}}, {"u", bson.D{{"$set", bson.D{{"b", 1}}}}}, {"upsert", true}}}}})
	c.must("db", bson.D{{"findAndModify", "plain"}, {"query", bson.D{{"a", 9}}}, {"remove", true}})
	c.must("admin", bson.D{{"movePrimary", "db"}, {"to", "s2"}})
	assert.Equal(t, []int64{1, 2, 3}, ids(c.on("s1", "plain")), "it has a place of its own")
	c.must("admin", bson.D{{"renameCollection", "db.plain"}, {"to", "db.other"}})
	assert.Equal(t, []int64{1, 2, 3}, c.documents("other"))
	c.sharded("c")
	c.fails(mongoerr.NamespaceNotFound, "admin", bson.D{{"moveCollection", "db.c"}, {"toShard", "s1"}})
	c.fails(mongoerr.NamespaceNotFound, "admin", bson.D{{"moveCollection", "db.none"}, {"toShard", "s1"}})
	c.fails(mongoerr.NamespaceNotSharded, "admin", bson.D{{"unshardCollection", "db.other"}})
}

func TestRefiningAShardKey(t *testing.T) {
	c := spreadOut(t)
	refine := func(key bson.D) bson.D { return bson.D{{"refineCollectionShardKey", "db.c"}, {"key", key}} }
	c.fails(mongoerr.InvalidOptions, "admin", refine(bson.D{{"x", 1}, {"k", 1}}))
	c.fails(mongoerr.InvalidOptions, "admin", refine(bson.D{{"k", 1}, {"x", 1}}))
	c.must("db", bson.D{{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"k", 1}, {"x", 1}}}, {"name", "kx"}}}}})
	w, before := c.watch(), c.catalog.table("db.c")
	c.must("admin", refine(bson.D{{"k", 1}, {"x", 1}}))
	c.insert("c", bson.D{{"_id", 1}, {"k", 101}, {"x", 7}})
	after := c.catalog.table("db.c")
	assert.Equal(t, before.uuid, after.uuid)
	assert.NotEqual(t, before.epoch, after.epoch)
	assert.Equal(t, rawDoc(bson.D{{"k", 100}, {"x", bson.MinKey{}}}), after.chunks[2].min)
	assert.Equal(t, rawDoc(bson.D{{"k", bson.MaxKey{}}, {"x", bson.MaxKey{}}}), after.chunks[2].max)
	events := w.events()
	require.Equal(t, []string{"refineCollectionShardKey c", `insert {"$numberInt":"1"}`}, summary(events))
	assert.Equal(t, rawDoc(bson.D{{"shardKey", bson.D{{"k", 1}, {"x", 1}}}, {"oldShardKey", bson.D{{"k", 1}}}}), getDoc(events[0], "operationDescription"))
	assert.Equal(t, rawDoc(bson.D{{"k", 101}, {"x", 7}, {"_id", 1}}), getDoc(events[1], "documentKey"))
	c.must("admin", bson.D{{"split", "db.c"}, {"middle", bson.D{{"k", 50}, {"x", 1}}}})
	assert.Len(t, c.documents("c"), 21)
}
