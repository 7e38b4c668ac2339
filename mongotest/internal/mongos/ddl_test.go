package mongos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// TestDDLEventsComeFromTheShardsTheyShould follows the table of server-facts
// 2.7: a merged stream shows each DDL once, but the index commands and collMod
// once per shard that owns chunks; the streams of single shards show whose.
func TestDDLEventsComeFromTheShardsTheyShould(t *testing.T) {
	c := newCluster(t)
	merged := c.watch()
	var single []*watcher
	for _, s := range shardNames {
		single = append(single, c.watch(bson.E{Key: "$_passthroughToShard", Value: bson.D{{"shard", s}}}))
	}
	expect := func(step string, all []string, per ...[]string) {
		t.Helper()
		assert.ElementsMatch(t, all, summary(merged.events()), "%s, merged", step)
		for i, w := range single {
			assert.Equal(t, per[i], summary(w.events()), "%s, %s", step, shardNames[i])
		}
	}
	none := []string{}
	c.sharded("c")
	born := []string{"create c", "createIndexes c", "shardCollection c"}
	expect("shardCollection and moves", born, born, none, none)
	c.insert("c", bson.D{{"_id", 1}, {"k", -1}}, bson.D{{"_id", 2}, {"k", 1}}, bson.D{{"_id", 3}, {"k", 100}})
	expect("insert", []string{`insert {"$numberInt":"1"}`, `insert {"$numberInt":"2"}`, `insert {"$numberInt":"3"}`},
		[]string{`insert {"$numberInt":"1"}`}, []string{`insert {"$numberInt":"2"}`}, []string{`insert {"$numberInt":"3"}`})
	c.must("db", bson.D{{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"x", 1}}}, {"name", "x_1"}}}}})
	one := []string{"createIndexes c"}
	expect("createIndexes", slices.Concat(one, one, one), one, one, one)
	c.must("db", bson.D{{"dropIndexes", "c"}, {"index", "x_1"}})
	one = []string{"dropIndexes c"}
	expect("dropIndexes", slices.Concat(one, one, one), one, one, one)
	c.must("db", bson.D{{"collMod", "c"}, {"validationLevel", "moderate"}})
	one = []string{"modify c"}
	expect("collMod", slices.Concat(one, one, one), one, one, one)
	c.must("admin", bson.D{{"moveChunk", "db.c"}, {"find", bson.D{{"k", -1}}}, {"to", "s1"}})
	c.must("db", bson.D{{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"x", 1}}}, {"name", "x_1"}}}}})
	one = []string{"createIndexes c"}
	expect("createIndexes, no chunks on the primary shard", slices.Concat(one, one), none, one, one)
	c.must("db", bson.D{{"collMod", "c"}, {"validationLevel", "strict"}})
	one = []string{"modify c"}
	expect("collMod, no chunks on the primary shard", slices.Concat(one, one, one), one, one, one)
	c.must("db", bson.D{{"collMod", "c"}, {"index", bson.D{{"name", "x_1"}, {"hidden", true}}}})
	expect("collMod of an index that the primary shard lacks", slices.Concat(one, one), none, one, one)
	c.must("admin", bson.D{{"renameCollection", "db.c"}, {"to", "db.d"}})
	expect("rename", []string{"rename c"}, []string{"rename c"}, none, none)
	c.must("db", bson.D{{"drop", "d"}})
	expect("drop", []string{"drop d"}, []string{"drop d"}, none, none)
	c.sharded("e")
	c.must("db", bson.D{{"create", "plain"}})
	merged.events()
	for _, w := range single {
		w.events()
	}
	c.must("db", bson.D{{"dropDatabase", 1}})
	gone := []string{"drop e", "drop plain", "dropDatabase "}
	expect("dropDatabase", gone, gone, none, none)
}

func TestCatalogDocumentsHaveTheRealLayout(t *testing.T) {
	c := newCluster(t)
	c.sharded("c")
	row := func(coll string, filter bson.D) bson.Raw {
		t.Helper()
		docs := c.all("config", bson.D{{"find", coll}, {"filter", filter}, {"sort", bson.D{{"min", 1}}}})
		require.NotEmpty(t, docs, coll)
		return docs[0]
	}
	assert.Equal(t, "s0", getString(row("databases", bson.D{{"_id", "db"}}), "primary"))
	coll := row("collections", bson.D{{"_id", "db.c"}})
	id, _ := value.Get(coll, "uuid")
	uuid, ok := value.ParseUUID(id)
	require.True(t, ok)
	assert.Equal(t, int64(1), getInt(getDoc(coll, "key"), "k", 0))
	chunks := c.all("config", bson.D{{"find", "chunks"}, {"filter", bson.D{{"uuid", uuid.Binary()}}}, {"sort", bson.D{{"min", 1}}}})
	require.Len(t, chunks, 3)
	for i, s := range shardNames {
		assert.Equal(t, s, getString(chunks[i], "shard"))
	}
	assert.Equal(t, bson.TypeMinKey, getDoc(chunks[0], "min").Lookup("k").Type)
	assert.Equal(t, bson.TypeMaxKey, getDoc(chunks[2], "max").Lookup("k").Type)
	assert.Len(t, c.all("config", bson.D{{"find", "shards"}}), 3)
	assert.NotEmpty(t, c.all("config", bson.D{{"find", "changelog"}}))
	infos := c.all("db", bson.D{{"listCollections", 1}})
	require.Len(t, infos, 1)
	for _, s := range shardNames {
		o := &op{r: c.router, req: c.router.internal()}
		there, err := o.collections(t.Context(), s, "db.c")
		require.NoError(t, err)
		require.Len(t, there, 1)
		assert.Equal(t, getDoc(infos[0], "info").String(), getDoc(there[0], "info").String(), "one UUID on every shard")
	}
	c.must("db", bson.D{{"drop", "c"}})
	for _, name := range []string{"collections", "chunks"} {
		assert.Empty(t, c.all("config", bson.D{{"find", name}}), name)
	}
}

func TestAHashedCollectionStartsDivided(t *testing.T) {
	c := newCluster(t)
	c.must("admin", bson.D{{"shardCollection", "db.h"}, {"key", bson.D{{"_id", "hashed"}}}})
	var docs []bson.D
	for i := range 300 {
		docs = append(docs, bson.D{{"_id", i}})
	}
	c.insert("h", docs...)
	total := 0
	for _, s := range shardNames {
		n := len(c.on(s, "h"))
		assert.Greater(t, n, 50, s)
		total += n
	}
	assert.Equal(t, 300, total)
	for i := range 300 {
		assert.Equal(t, []int64{int64(i)}, ids(c.all("db", bson.D{{"find", "h"}, {"filter", bson.D{{"_id", i}}}})))
	}
	c.must("db", bson.D{{"update", "h"}, {"updates", bson.A{bson.D{{"q", bson.D{{"name", "new"}}}, {"u", bson.D{{"$set", bson.D{{"y", 1}}}}}, {"upsert", true}}}}})
	made := c.all("db", bson.D{{"find", "h"}, {"filter", bson.D{{"name", "new"}}}})
	require.Len(t, made, 1)
	id, _ := value.Get(made[0], "_id")
	assert.Len(t, c.all("db", bson.D{{"find", "h"}, {"filter", bson.D{{"_id", id}}}}), 1, "an upsert lands where its generated _id belongs")
}

func TestShardCollectionIsRefusedWhereTheServerRefuses(t *testing.T) {
	c := newCluster(t)
	c.insert("full", bson.D{{"_id", 1}, {"k", 1}})
	c.fails(mongoerr.InvalidOptions, "admin", bson.D{{"shardCollection", "db.full"}, {"key", bson.D{{"k", 1}}}})
	c.must("db", bson.D{{"createIndexes", "full"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"k", 1}, {"z", 1}}}, {"name", "kz"}}}}})
	c.must("admin", bson.D{{"shardCollection", "db.full"}, {"key", bson.D{{"k", 1}}}})
	c.must("admin", bson.D{{"shardCollection", "db.full"}, {"key", bson.D{{"k", 1}}}})
	c.fails(mongoerr.AlreadyInitialized, "admin", bson.D{{"shardCollection", "db.full"}, {"key", bson.D{{"z", 1}}}})
	c.fails(mongoerr.CannotCreateIndex, "db", bson.D{{"createIndexes", "full"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"u", 1}}}, {"name", "u"}, {"unique", true}}}}})
	c.fails(mongoerr.CommandNotFound, "admin", bson.D{{"atlasVersion", 1}})
}

func TestZonesDecideTheFirstChunks(t *testing.T) {
	c := newCluster(t)
	c.fails(mongoerr.ZoneNotFound, "admin", bson.D{{"updateZoneKeyRange", "db.z"}, {"min", bson.D{{"k", 0}}}, {"max", bson.D{{"k", 10}}}, {"zone", "hot"}})
	c.must("admin", bson.D{{"addShardToZone", "s2"}, {"zone", "hot"}})
	c.must("admin", bson.D{{"updateZoneKeyRange", "db.z"}, {"min", bson.D{{"k", 0}}}, {"max", bson.D{{"k", 10}}}, {"zone", "hot"}})
	c.fails(mongoerr.RangeOverlapConflict, "admin", bson.D{{"updateZoneKeyRange", "db.z"}, {"min", bson.D{{"k", 5}}}, {"max", bson.D{{"k", 15}}}, {"zone", "hot"}})
	c.must("admin", bson.D{{"shardCollection", "db.z"}, {"key", bson.D{{"k", 1}}}})
	c.insert("z", bson.D{{"_id", 1}, {"k", 5}}, bson.D{{"_id", 2}, {"k", 10}})
	assert.Equal(t, []int64{1}, ids(c.on("s2", "z")))
	assert.Equal(t, []int64{2}, ids(c.on("s0", "z")))
	tags := c.all("config", bson.D{{"find", "tags"}})
	require.Len(t, tags, 1)
	assert.Equal(t, "hot", getString(tags[0], "tag"))
	shards := getDocs(c.must("admin", bson.D{{"listShards", 1}}), "shards")
	assert.True(t, has(shards[2], "tags"))
	c.must("admin", bson.D{{"updateZoneKeyRange", "db.z"}, {"min", bson.D{{"k", 0}}}, {"max", bson.D{{"k", 10}}}, {"zone", nil}})
	assert.Empty(t, c.all("config", bson.D{{"find", "tags"}}))
}

func TestAViewOfAShardedCollectionShowsAllShards(t *testing.T) {
	c := spreadOut(t)
	c.must("db", bson.D{{"create", "v"}, {"viewOn", "c"}, {"pipeline", bson.A{bson.D{{"$match", bson.D{{"k", bson.D{{"$gte", 50}}}}}}}}})
	assert.Len(t, c.all("db", bson.D{{"find", "v"}}), 10)
	assert.Equal(t, []int64{50, 60}, ids(c.all("db", bson.D{{"find", "v"}, {"sort", bson.D{{"k", 1}}}, {"limit", 2}})))
	assert.Equal(t, int64(10), getInt(c.must("db", bson.D{{"count", "v"}}), "n", 0))
}

func TestOutAndMergeWorkFromAShardedCollection(t *testing.T) {
	c := spreadOut(t)
	c.all("db", bson.D{{"aggregate", "c"}, {"cursor", bson.D{}}, {"pipeline", bson.A{bson.D{{"$match", bson.D{{"k", bson.D{{"$lt", 20}}}}}}, bson.D{{"$out", "o"}}}}})
	assert.Len(t, c.all("db", bson.D{{"find", "o"}}), 7)
	c.all("db", bson.D{{"aggregate", "o"}, {"cursor", bson.D{}}, {"pipeline", bson.A{bson.D{{"$set", bson.D{{"z", 1}}}}, bson.D{{"$merge", bson.D{{"into", "c"}, {"on", bson.A{"_id", "k"}}}}}}}})
	assert.Len(t, c.all("db", bson.D{{"find", "c"}, {"filter", bson.D{{"z", 1}}}}), 7)
	joined := c.all("db", bson.D{{"aggregate", "o"}, {"cursor", bson.D{}}, {"pipeline", bson.A{
		bson.D{{"$match", bson.D{{"_id", -50}}}},
		bson.D{{"$lookup", bson.D{{"from", "c"}, {"localField", "x"}, {"foreignField", "x"}, {"as", "same"}}}},
	}}})
	require.Len(t, joined, 1)
	assert.Len(t, getDocs(joined[0], "same"), 2)
}

// The index of a clustered collection comes with its options; the others are made anew.
func TestOutReplacesAClusteredCollection(t *testing.T) {
	c := spreadOut(t)
	c.must("db", bson.D{{"create", "o"}, {"clusteredIndex", bson.D{{"key", bson.D{{"_id", 1}}}, {"unique", true}, {"name", "by id"}}}})
	c.must("db", bson.D{{"createIndexes", "o"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"x", 1}}}, {"name", "x"}}}}})
	before := c.all("db", bson.D{{"listIndexes", "o"}})
	c.all("db", bson.D{{"aggregate", "c"}, {"cursor", bson.D{}}, {"pipeline", bson.A{bson.D{{"$match", bson.D{{"k", bson.D{{"$lt", 20}}}}}}, bson.D{{"$out", "o"}}}}})
	assert.Len(t, c.all("db", bson.D{{"find", "o"}}), 7)
	assert.ElementsMatch(t, before, c.all("db", bson.D{{"listIndexes", "o"}}))
}

func TestCommandsOnWhatShardsDo(t *testing.T) {
	c := newCluster(t)
	c.sharded("c")
	c.insert("u", bson.D{{"_id", 1}})
	c.must("db", bson.D{{"convertToCapped", "u"}, {"size", 4096}})
	info := c.all("db", bson.D{{"listCollections", 1}, {"filter", bson.D{{"name", "u"}}}})
	require.Len(t, info, 1)
	assert.True(t, getBool(getDoc(info[0], "options"), "capped", false))
	c.fails(mongoerr.IllegalOperation, "db", bson.D{{"convertToCapped", "c"}, {"size", 4096}})
	c.fails(mongoerr.NoSuchReshardCollection, "admin", bson.D{{"abortReshardCollection", "db.c"}})

	ops := c.all("admin", bson.D{{"aggregate", 1}, {"pipeline", bson.A{bson.D{{"$currentOp", bson.D{}}}}}, {"cursor", bson.D{}}})
	require.NotEmpty(t, ops)
	name := getString(ops[0], "opid")
	shard, number, _ := strings.Cut(name, ":")
	assert.Equal(t, getString(ops[0], "shard"), shard)
	body := c.must("admin", bson.D{{"killOp", 1}, {"op", name}})
	assert.Equal(t, shard+":"+number, fmt.Sprintf("%s:%d", getString(body, "shard"), getInt(body, "shardid", -1)))
	c.fails(28625, "admin", bson.D{{"killOp", 1}, {"op", "s0"}})
	c.fails(50760, "admin", bson.D{{"killOp", 1}, {"op", true}})
	c.fails(mongoerr.ShardNotFound, "admin", bson.D{{"killOp", 1}, {"op", "s9:1"}})
}

// What a schema change has begun on some shards it ends on all of them, though
// the answer of any shard is lost, and though the client has left.
func TestASchemaChangeIsBroughtToItsEnd(t *testing.T) {
	options := func(c *cluster, coll string) bson.Raw {
		return getDoc(c.all("db", bson.D{{"listCollections", 1}, {"filter", bson.D{{"name", coll}}}})[0], "options")
	}
	for name, change := range map[string]struct {
		db    string
		cmd   bson.D
		check func(t *testing.T, c *cluster)
	}{
		"drop": {"db", bson.D{{"drop", "c"}}, func(t *testing.T, c *cluster) {
			for _, s := range shardNames {
				assert.Empty(t, c.on(s, "c"), s)
			}
		}},
		"dropDatabase": {"db", bson.D{{"dropDatabase", 1}}, func(t *testing.T, c *cluster) {
			for _, s := range shardNames {
				assert.Empty(t, append(c.on(s, "c"), c.on(s, "d")...), s)
			}
		}},
		"renameCollection": {"admin", bson.D{{"renameCollection", "db.c"}, {"to", "db.d"}, {"dropTarget", true}}, func(t *testing.T, c *cluster) {
			assert.Equal(t, []int64{1, 2, 3}, ids(c.all("db", bson.D{{"find", "d"}, {"sort", bson.D{{"_id", 1}}}})))
			assert.Empty(t, c.all("db", bson.D{{"find", "c"}}))
		}},
		"collMod": {"db", bson.D{{"collMod", "c"}, {"validationLevel", "off"}}, func(t *testing.T, c *cluster) {
			for _, s := range shardNames {
				resp, err := c.transport(t.Context(), s, c.direct("db", bson.D{{"listCollections", 1}, {"filter", bson.D{{"name", "c"}}}}))
				require.NoError(t, err)
				info := getDocs(getDoc(resp.Body, "cursor"), "firstBatch")[0]
				assert.Equal(t, "off", getString(getDoc(info, "options"), "validationLevel"), s)
			}
			assert.Equal(t, "off", getString(options(c, "c"), "validationLevel"))
		}},
	} {
		for _, shard := range append(shardNames, ConfigShard) {
			t.Run(name+", "+shard, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newCluster(t)
					c.sharded("c")
					c.sharded("d")
					c.insert("c", bson.D{{"_id", 1}, {"k", -1}}, bson.D{{"_id", 2}, {"k", 1}}, bson.D{{"_id", 3}, {"k", 100}})
					c.insert("d", bson.D{{"_id", 4}, {"k", -1}}, bson.D{{"_id", 5}, {"k", 1}}, bson.D{{"_id", 6}, {"k", 100}})
					ctx, leave := context.WithCancel(t.Context())
					met := map[string]bool{}
					var mu sync.Mutex
					c.lose = func(at string, req *command.Request) error {
						mu.Lock()
						defer mu.Unlock()
						if at != shard || req.Name == "serverStatus" || req.Name == "listCollections" || met[req.Name] {
							return nil
						}
						met[req.Name] = true
						leave()
						_, err := c.nodes[at].Handle(ctx, req)
						return firstOf(mongoerr.New(mongoerr.HostUnreachable, "the answer is lost"), err)
					}
					cmd := change.cmd
					_, _ = c.router.Handle(ctx, &command.Request{Name: cmd[0].Key, DB: change.db, Body: rawDoc(cmd), Client: c.client})
					c.lose = nil
					change.check(t, c)
				})
			})
		}
	}
}

// While user writes are blocked a schema change is refused before it has done
// anything.
func TestASchemaChangeUnderAWriteBlockDoesNothing(t *testing.T) {
	c := newCluster(t)
	c.sharded("c")
	c.insert("c", bson.D{{"_id", 1}, {"k", -1}}, bson.D{{"_id", 2}, {"k", 1}}, bson.D{{"_id", 3}, {"k", 100}})
	c.must("admin", bson.D{{"setUserWriteBlockMode", 1}, {"global", true}})
	for _, cmd := range []bson.D{
		{{"drop", "c"}},
		{{"dropDatabase", 1}},
		{{"renameCollection", "db.c"}, {"to", "db.d"}},
		{{"reshardCollection", "db.c"}, {"key", bson.D{{"_id", "hashed"}}}},
		{{"movePrimary", "db"}, {"to", "s1"}},
	} {
		db := "db"
		if strings.Contains(cmd[0].Key, "Collection") || cmd[0].Key == "movePrimary" {
			db = "admin"
		}
		c.fails(mongoerr.UserWritesBlocked, db, cmd)
	}
	assert.Len(t, c.all("db", bson.D{{"find", "c"}}), 3)
	c.must("admin", bson.D{{"setUserWriteBlockMode", 1}, {"global", false}})
	c.must("db", bson.D{{"drop", "c"}})
}

// The primary shard says how a collection is that is not sharded, also if its
// documents are elsewhere: collMod reaches both.
func TestCollModOfACollectionThatWasMoved(t *testing.T) {
	c := newCluster(t)
	c.sharded("c")
	c.must("admin", bson.D{{"unshardCollection", "db.c"}, {"toShard", "s2"}})
	c.must("db", bson.D{{"collMod", "c"}, {"changeStreamPreAndPostImages", bson.D{{"enabled", true}}}})
	info := c.all("db", bson.D{{"listCollections", 1}, {"filter", bson.D{{"name", "c"}}}})[0]
	assert.True(t, getBool(getDoc(getDoc(info, "options"), "changeStreamPreAndPostImages"), "enabled", false))
}

// The last index that supports a shard key of ranges can be neither dropped nor
// hidden. Another one may take its place.
func TestTheIndexOfAShardKeyStays(t *testing.T) {
	c := newCluster(t)
	c.sharded("c")
	c.fails(mongoerr.CannotDropShardKeyIndex, "db", bson.D{{"dropIndexes", "c"}, {"index", "k_1"}})
	c.fails(mongoerr.InvalidOptions, "db", bson.D{{"collMod", "c"}, {"index", bson.D{{"name", "k_1"}, {"hidden", true}}}})
	build := func(name string, key bson.D, opts ...bson.E) {
		spec := append(bson.D{{"key", key}, {"name", name}}, opts...)
		c.must("db", bson.D{{"createIndexes", "c"}, {"indexes", bson.A{spec}}})
	}
	build("other", bson.D{{"x", 1}, {"k", 1}})
	build("down", bson.D{{"k", -1}})
	build("sparse", bson.D{{"k", 1}, {"s", 1}}, bson.E{Key: "sparse", Value: true})
	build("partial", bson.D{{"k", 1}, {"p", 1}}, bson.E{Key: "partialFilterExpression", Value: bson.D{{"k", bson.D{{"$gt", 0}}}}})
	build("hidden", bson.D{{"k", 1}, {"h", 1}}, bson.E{Key: "hidden", Value: true})
	c.fails(mongoerr.CannotDropShardKeyIndex, "db", bson.D{{"dropIndexes", "c"}, {"index", "k_1"}})
	c.must("db", bson.D{{"dropIndexes", "c"}, {"index", "*"}})
	var names []string
	for _, ix := range c.all("db", bson.D{{"listIndexes", "c"}}) {
		names = append(names, getString(ix, "name"))
	}
	assert.Equal(t, []string{"_id_", "k_1"}, names)
	build("longer", bson.D{{"k", 1}, {"x", 1}})
	c.must("db", bson.D{{"collMod", "c"}, {"index", bson.D{{"name", "k_1"}, {"hidden", true}}}})
	c.must("db", bson.D{{"dropIndexes", "c"}, {"index", "k_1"}})
	c.fails(mongoerr.CannotDropShardKeyIndex, "db", bson.D{{"dropIndexes", "c"}, {"index", "longer"}})

	c.must("admin", bson.D{{"shardCollection", "db.h"}, {"key", bson.D{{"k", "hashed"}}}})
	c.must("db", bson.D{{"dropIndexes", "h"}, {"index", "k_hashed"}})
}
