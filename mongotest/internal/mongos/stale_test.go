package mongos

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// another returns the cluster as clients of a further router see it.
func (c *cluster) another() *cluster {
	r, err := NewRouter(Config{Name: "other:27017", Catalog: c.catalog, Clock: oplog.NewClock(), Transport: c.transport})
	require.NoError(c.t, err)
	b := *c
	b.router = r
	return &b
}

// watched counts the commands that a shard refuses for their router's lack of
// knowledge.
func (c *cluster) watched() *int {
	n := new(int)
	var mu sync.Mutex
	send := c.router.cfg.Transport
	c.router.cfg.Transport = func(ctx context.Context, shard string, req *command.Request) (*command.Response, error) {
		resp, err := send(ctx, shard, req)
		if isStale(err) {
			mu.Lock()
			*n++
			mu.Unlock()
		}
		return resp, err
	}
	return n
}

func TestARouterLearnsOfAMoveFromTheShard(t *testing.T) {
	a := newCluster(t)
	a.sharded("c")
	a.insert("c", bson.D{{"_id", 1}, {"k", -1}}, bson.D{{"_id", 2}, {"k", 1}}, bson.D{{"_id", 3}, {"k", 101}})
	b := a.another()
	refused := b.watched()
	assert.Len(t, b.all("db", bson.D{{"find", "c"}}), 3)
	assert.Zero(t, *refused)

	a.move("c", 1, "s0")
	assert.Len(t, b.all("db", bson.D{{"find", "c"}, {"filter", bson.D{{"k", 101}}}}), 1)
	assert.Zero(t, *refused, "nothing has changed for that shard")
	assert.Len(t, b.all("db", bson.D{{"find", "c"}}), 3)
	assert.Positive(t, *refused)

	a.move("c", 1, "s2")
	*refused = 0
	b.insert("c", bson.D{{"_id", 4}, {"k", 2}})
	assert.Equal(t, 1, *refused)
	b.insert("c", bson.D{{"_id", 5}, {"k", 3}})
	assert.Equal(t, 1, *refused, "it knows now")
	assert.Equal(t, []int64{2, 3, 4, 5}, ids(a.on("s2", "c")))
}

func TestARouterLearnsOfAnotherPrimaryShard(t *testing.T) {
	a := newCluster(t)
	a.insert("u", bson.D{{"_id", 1}})
	b := a.another()
	refused := b.watched()
	assert.Len(t, b.all("db", bson.D{{"find", "u"}}), 1)
	a.must("admin", bson.D{{"movePrimary", "db"}, {"to", "s2"}})
	b.insert("u", bson.D{{"_id", 2}})
	assert.Equal(t, 1, *refused)
	assert.Equal(t, []int64{1, 2}, ids(a.on("s2", "u")))

	a.must("db", bson.D{{"dropDatabase", 1}})
	a.must("admin", bson.D{{"enableSharding", "db"}, {"primaryShard", "s1"}})
	b.insert("u", bson.D{{"_id", 3}})
	assert.Equal(t, []int64{3}, ids(a.on("s1", "u")))
	assert.Empty(t, a.on("s2", "u"))
}

// A router whose knowledge is held back is refused by the shards, and then
// refuses its clients; nothing is written in a wrong place. Read concern
// available asks no shard for its opinion.
func TestARouterThatDoesNotLearn(t *testing.T) {
	a := newClusterWith(t, 0)
	a.sharded("c")
	a.insert("c", bson.D{{"_id", 1}, {"k", 1}})
	b := a.another()
	b.router.HoldRouting()
	a.move("c", 1, "s2")
	a.insert("c", bson.D{{"_id", 2}, {"k", 2}})

	b.fails(mongoerr.StaleConfig, "db", bson.D{{"find", "c"}, {"filter", bson.D{{"k", 1}}}})
	b.fails(mongoerr.StaleConfig, "db", bson.D{{"aggregate", "c"}, {"pipeline", bson.A{}}, {"cursor", bson.D{}}})
	b.fails(mongoerr.StaleConfig, "db", bson.D{{"findAndModify", "c"}, {"query", bson.D{{"k", 1}}}, {"remove", true}})
	available := bson.D{{"find", "c"}, {"filter", bson.D{{"k", bson.D{{"$gte", 1}, {"$lt", 50}}}}}, {"readConcern", bson.D{{"level", "available"}}}}
	assert.Equal(t, []int64{1}, ids(b.all("db", available)), "the orphan, and not what came since")
	body, err := b.run("db", bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 3}, {"k", 3}}, bson.D{{"_id", 4}, {"k", -4}}}}, {"ordered", false}})
	require.NoError(t, err)
	errs := getDocs(body, "writeErrors")
	require.Len(t, errs, 1)
	assert.Equal(t, int64(mongoerr.NoProgressMade), getInt(errs[0], "code", 0))
	assert.Equal(t, int64(1), getInt(body, "n", 0))
	assert.Equal(t, []int64{1, 4}, ids(slices.Concat(a.on("s1", "c"), a.on("s0", "c"))))

	b.must("admin", bson.D{{"flushRouterConfig", 1}})
	b.fails(mongoerr.StaleConfig, "db", bson.D{{"count", "c"}, {"query", bson.D{{"k", 1}}}})
	b.router.ReleaseRouting()
	assert.Equal(t, []int64{1, 2, 4}, ids(b.all("db", bson.D{{"find", "c"}})))
}

// Whoever talks to a shard himself says nothing of versions, and may write what
// the shard does not own: an orphan.
func TestADirectWriteMayMakeAnOrphan(t *testing.T) {
	c := newCluster(t)
	c.sharded("c")
	_, err := c.nodes["s0"].Handle(t.Context(), c.direct("db", bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 1}, {"k", 50}}}}}))
	require.NoError(t, err)
	assert.Equal(t, []int64{1}, ids(c.on("s0", "c")))
	assert.Empty(t, c.all("db", bson.D{{"find", "c"}}))
}

// A transaction cannot see what came to a shard after its snapshot there.
func TestATransactionConflictsWithAMoveSinceItBegan(t *testing.T) {
	a := newCluster(t)
	a.sharded("c")
	a.insert("c", bson.D{{"_id", 1}, {"k", 1}})
	a.insert("u", bson.D{{"_id", 1}})
	in := bson.D{{"lsid", bson.D{{"id", value.NewUUID().Binary()}}}, {"txnNumber", int64(1)}, {"autocommit", false}}
	b := a.another()
	b.must("db", slices.Concat(bson.D{{"find", "u"}, {"startTransaction", true}}, in))
	a.move("c", 1, "s0")
	b.fails(mongoerr.MigrationConflict, "db", slices.Concat(bson.D{{"find", "c"}}, in))
}

// actors are several routers, and what must be there whichever is asked.
type actors struct {
	t       *rapid.T
	routers []*cluster
	docs    map[int32]int32 // k*1000+v by _id
	fields  []string        // of the shard key
	sharded bool
}

// Whatever the routers know: no write is lost, and none happens twice.
func TestStaleRoutersLoseNoWrite(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := newClusterWith(t, 0)
		a := &actors{t: r, routers: []*cluster{c, c.another(), c.another()}}
		a.create()
		for range rapid.IntRange(1, 50).Draw(r, "steps") {
			a.step()
		}
		for _, b := range a.routers {
			a.check(b)
		}
	})
}

func (a *actors) router() *cluster {
	return a.routers[rapid.IntRange(0, len(a.routers)-1).Draw(a.t, "router")]
}

func (a *actors) create() {
	a.docs, a.fields = map[int32]int32{}, []string{"k"}
	if a.sharded = rapid.Bool().Draw(a.t, "sharded"); a.sharded {
		a.router().sharded("c")
		return
	}
	a.router().must("db", bson.D{{"create", "c"}})
}

func (a *actors) step() {
	b := a.router()
	id := int32(rapid.IntRange(1, 9).Draw(a.t, "id"))
	k := id*40 - 150 // over all three chunks
	inc := bson.D{{"$inc", bson.D{{"v", 1}}}}
	update := func(q bson.D, many bool) int32 {
		body := b.must("db", bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", q}, {"u", inc}, {"multi", many}}}}})
		return int32(getInt(body, "nModified", 0))
	}
	_, there := a.docs[id]
	switch rapid.IntRange(0, 12).Draw(a.t, "do") {
	case 0, 1:
		if a.sharded {
			find := bson.D{{"k", k}, {"w", nil}}[:len(a.fields)]
			_, err := b.run("admin", bson.D{{"moveChunk", "db.c"}, {"find", find}, {"to", rapid.SampledFrom(shardNames).Draw(a.t, "to")}})
			require.True(a.t, err == nil || mongoerr.Is(err, mongoerr.ConflictingOperationInProgress), "%v", err) // orphans there
		}
	case 2:
		b.must("admin", bson.D{{"movePrimary", "db"}, {"to", rapid.SampledFrom(shardNames).Draw(a.t, "primary")}})
	case 3:
		b.must("db", bson.D{{"drop", "c"}})
		a.create()
	case 4:
		if a.sharded && len(a.fields) == 1 {
			b.must("db", bson.D{{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"k", 1}, {"w", 1}}}, {"name", "kw"}}}}})
			b.must("admin", bson.D{{"refineCollectionShardKey", "db.c"}, {"key", bson.D{{"k", 1}, {"w", 1}}}})
			a.fields = append(a.fields, "w")
		}
	case 5:
		require.Equal(a.t, int32(len(a.docs)), update(bson.D{}, true))
		for id := range a.docs {
			a.docs[id]++
		}
	case 6:
		n := update(bson.D{{"_id", id}}, false)
		require.Equal(a.t, there, n == 1)
		if there {
			a.docs[id]++
		}
	case 7:
		n := update(bson.D{{"k", k}}, false)
		require.Equal(a.t, there, n == 1)
		if there {
			a.docs[id]++
		}
	case 8:
		body := b.must("db", bson.D{{"findAndModify", "c"}, {"query", bson.D{{"k", k}}}, {"update", inc}})
		require.Equal(a.t, there, getDoc(body, "value") != nil)
		if there {
			a.docs[id]++
		}
	case 9:
		body := b.must("db", bson.D{{"delete", "c"}, {"deletes", bson.A{bson.D{{"q", bson.D{{"_id", id}}}, {"limit", 0}}}}})
		require.Equal(a.t, there, getInt(body, "n", 0) == 1)
		delete(a.docs, id)
	case 10:
		a.check(b)
	default:
		var docs []bson.D
		for i := range int32(9) {
			if _, ok := a.docs[i+1]; !ok {
				docs = append(docs, bson.D{{"_id", i + 1}, {"k", (i+1)*40 - 150}, {"v", int32(0)}})
				a.docs[i+1] = 0
			}
		}
		if len(docs) > 0 {
			b.must("db", bson.D{{"insert", "c"}, {"documents", docs}, {"ordered", rapid.Bool().Draw(a.t, "ordered")}})
		}
	}
}

// check reads everything through one router.
func (a *actors) check(b *cluster) {
	got := map[int32]int32{}
	for _, d := range b.all("db", bson.D{{"find", "c"}}) {
		id := int32(getInt(d, "_id", -1))
		require.NotContains(a.t, got, id)
		got[id] = int32(getInt(d, "v", -1))
	}
	require.Equal(a.t, a.docs, got)
	require.Equal(a.t, int64(len(a.docs)), getInt(b.must("db", bson.D{{"count", "c"}, {"query", bson.D{{"_id", bson.D{{"$gt", 0}}}}}}), "n", -1))
}

// Whatever moves: a read of the past shows what was there, whichever router is
// asked.
func TestReadsOfThePastThroughRouters(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := newClusterWith(t, 0)
		routers := []*cluster{c, c.another(), c.another()}
		c.sharded("c")
		seen := c.router.latest()
		on := func(b *cluster, db string, cmd bson.D) bson.Raw {
			cmd = append(cmd, bson.E{Key: "$clusterTime", Value: bson.D{{"clusterTime", seen}}})
			resp, err := b.router.Handle(t.Context(), &command.Request{Name: cmd[0].Key, DB: db, Body: rawDoc(cmd), Client: b.client})
			if mongoerr.Is(err, mongoerr.ConflictingOperationInProgress) {
				return nil // the shard has orphans of the range
			}
			require.NoError(r, err, "%v", cmd)
			seen = later(seen, resp.ClusterTime)
			return resp.Body
		}
		model := map[int64]int64{}
		var times []bson.Timestamp
		var history []map[int64]int64
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			b := routers[rapid.IntRange(0, 2).Draw(r, "router")]
			id := int64(rapid.IntRange(1, 9).Draw(r, "id"))
			k := id*40 - 150
			switch rapid.IntRange(0, 4).Draw(r, "do") {
			case 0:
				on(b, "admin", bson.D{{"moveChunk", "db.c"}, {"find", bson.D{{"k", k}}}, {"to", rapid.SampledFrom(shardNames).Draw(r, "to")}})
			case 1:
				on(b, "db", bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{}}, {"u", bson.D{{"$inc", bson.D{{"v", 1}}}}}, {"multi", true}}}}})
				for id := range model {
					model[id]++
				}
			default:
				on(b, "db", bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{{"_id", id}, {"k", k}}}, {"u", bson.D{{"$inc", bson.D{{"v", 1}}}}}, {"upsert", true}}}}})
				model[id]++
			}
			times, history = append(times, seen), append(history, maps.Clone(model))
		}
		for range 8 {
			i := rapid.IntRange(0, len(times)-1).Draw(r, "time")
			b := routers[rapid.IntRange(0, 2).Draw(r, "router")]
			body := on(b, "db", bson.D{{"find", "c"}, {"readConcern", bson.D{{"level", "snapshot"}, {"atClusterTime", times[i]}}}})
			got := map[int64]int64{}
			for _, d := range getDocs(getDoc(body, "cursor"), "firstBatch") {
				got[getInt(d, "_id", 0)] = getInt(d, "v", 0)
			}
			require.Equal(r, history[i], got, "at %v", times[i])
			require.Equal(r, times[i], getTime(getDoc(body, "cursor"), "atClusterTime"))
		}
	})
}

// What changed as a whole since a time cannot be read as of that time.
func TestThePastBehindAChangeOfTheCatalog(t *testing.T) {
	c := newCluster(t)
	c.insert("u", bson.D{{"_id", 1}})
	at := func(coll string, ts bson.Timestamp) bson.D {
		return bson.D{{"find", coll}, {"readConcern", bson.D{{"level", "snapshot"}, {"atClusterTime", ts}}}}
	}
	c.sharded("c")
	c.insert("c", bson.D{{"_id", 1}, {"k", 1}})
	now := c.router.latest()
	c.must("db", bson.D{{"drop", "c"}})
	c.fails(mongoerr.SnapshotUnavailable, "db", at("c", now))
	c.sharded("c")
	c.fails(mongoerr.StaleChunkHistory, "db", at("c", now))
	assert.Len(t, c.all("db", at("u", now)), 1)
	c.must("admin", bson.D{{"movePrimary", "db"}, {"to", "s2"}})
	c.fails(mongoerr.MigrationConflict, "db", at("u", now))
	assert.Len(t, c.all("db", bson.D{{"find", "u"}, {"readConcern", bson.D{{"level", "snapshot"}}}}), 1)
}

// The statements of a transaction with read concern snapshot see one time on all
// shards, also on those that it comes to later, and wherever the documents were
// then. It cannot change what has moved since.
func TestATransactionReadsOneTimeOnAllShards(t *testing.T) {
	a := newCluster(t)
	a.sharded("c")
	a.insert("c", bson.D{{"_id", 1}, {"k", -1}}, bson.D{{"_id", 2}, {"k", 1}}, bson.D{{"_id", 3}, {"k", 101}})
	a.insert("u", bson.D{{"_id", 1}})
	b := a.another()
	b.router.cfg.Clock.Advance(a.router.cfg.Clock.Now()) // as a driver would have it do
	in := bson.D{{"lsid", bson.D{{"id", value.NewUUID().Binary()}}}, {"txnNumber", int64(1)}, {"autocommit", false}}
	b.must("db", slices.Concat(bson.D{{"find", "u"}, {"startTransaction", true}, {"readConcern", bson.D{{"level", "snapshot"}}}}, in))
	a.move("c", 101, "s0")
	a.must("db", bson.D{{"delete", "c"}, {"deletes", bson.A{bson.D{{"q", bson.D{}}, {"limit", 0}}}}})

	assert.Equal(t, []int64{1, 2, 3}, ids(b.all("db", append(bson.D{{"find", "c"}}, in...))))
	assert.Empty(t, b.all("db", bson.D{{"find", "c"}}))
	b.fails(mongoerr.MigrationConflict, "db", slices.Concat(bson.D{{"findAndModify", "c"}, {"query", bson.D{{"k", 101}}}, {"remove", true}}, in))
}

// A router that has to ask again halfway through a statement does not ask those
// shards again that have carried it out.
func TestAStatementForSeveralShardsHappensOnceOnEach(t *testing.T) {
	a := newCluster(t)
	a.sharded("c")
	a.insert("c", bson.D{{"_id", 1}, {"k", -1}, {"v", 0}})
	b := a.another()
	refused := b.watched()
	assert.Len(t, b.all("db", bson.D{{"find", "c"}}), 1)
	a.move("c", 1, "s2")
	b.must("db", bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{{"_id", 1}}}, {"u", bson.D{{"$inc", bson.D{{"v", 1}}}}}}}}})
	assert.Positive(t, *refused)
	assert.Equal(t, int64(1), getInt(b.all("db", bson.D{{"find", "c"}})[0], "v", 0))
}

func TestVersionsAreToldByRoutersAndShards(t *testing.T) {
	c := newCluster(t)
	c.sharded("c")
	direct := func(shard string, cmd bson.D) bson.Raw {
		resp, err := c.nodes[shard].Handle(t.Context(), c.direct("admin", cmd))
		require.NoError(t, err)
		return resp.Body
	}
	global := func(shard string) bson.Timestamp {
		return getTime(direct(shard, bson.D{{"getShardVersion", "db.c"}}), "global")
	}
	before := global("s1")
	c.move("c", 1, "s0")
	assert.Zero(t, global("s1"))
	assert.Greater(t, global("s0").T, before.T)

	of := func(shard string) bson.Raw {
		return getDoc(direct(shard, bson.D{{"getDatabaseVersion", "db"}}), "dbVersion")
	}
	assert.Equal(t, getDoc(c.must("admin", bson.D{{"getDatabaseVersion", "db"}}), "dbVersion"), of("s0"))
	assert.Empty(t, elementsOf(of("s1")))
	c.must("admin", bson.D{{"movePrimary", "db"}, {"to", "s1"}})
	assert.Equal(t, int64(2), getInt(of("s1"), "lastMod", 0))
	c.fails(mongoerr.NamespaceNotFound, "admin", bson.D{{"getDatabaseVersion", "nope"}})
}
