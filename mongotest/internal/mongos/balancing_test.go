package mongos

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// balanced runs story with a router at work, so the balancer is too if it is on.
func balanced(t *testing.T, story func(c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { assert.NoError(t, c.router.Run(ctx)) })
		defer running.Wait()
		defer cancel()
		story(c)
	})
}

// big inserts a document of about 100 kB for each key.
func (c *cluster) big(keys ...int) {
	c.t.Helper()
	fill := strings.Repeat("x", 100_000)
	for _, k := range keys {
		c.insert("c", bson.D{{"_id", k}, {"k", k}, {"fill", fill}})
	}
}

func upTo(n int) []int {
	keys := make([]int, n)
	for i := range keys {
		keys[i] = i
	}
	return keys
}

// rows returns how many chunks each shard has.
func (c *cluster) rows(ns string) map[string]int {
	n := map[string]int{}
	for _, ch := range c.catalog.table(ns).chunks {
		n[ch.shard]++
	}
	return n
}

func (c *cluster) compliance(ns string) string {
	c.t.Helper()
	return getString(c.must("admin", bson.D{{"balancerCollectionStatus", ns}}), "firstComplianceViolation")
}

func TestTheBalancerEvensOutSizes(t *testing.T) {
	balanced(t, func(c *cluster) {
		c.must("admin", bson.D{{"shardCollection", "db.c"}, {"key", bson.D{{"k", 1}}}})
		c.big(upTo(90)...)
		assert.Empty(t, c.compliance("db.c"), "9 MB are little for chunks of 128 MB")
		c.must("admin", bson.D{{"configureCollectionBalancing", "db.c"}, {"chunkSize", 1}})
		assert.Equal(t, "chunksImbalance", c.compliance("db.c"))
		time.Sleep(time.Minute)
		assert.Len(t, c.rows("db.c"), 1, "it is off")
		w := c.watch()
		c.must("admin", bson.D{{"balancerStart", 1}})
		time.Sleep(5 * time.Minute)
		status := c.must("admin", bson.D{{"balancerStatus", 1}})
		assert.Equal(t, "full", getString(status, "mode"))
		assert.Positive(t, getInt(status, "numBalancerRounds", 0))
		assert.Empty(t, c.compliance("db.c"))
		for _, s := range shardNames {
			assert.Greater(t, len(c.on(s, "c")), 10, s)
		}
		assert.Len(t, c.all("db", bson.D{{"find", "c"}}), 90)
		assert.Empty(t, w.events())
	})
}

func TestTheBalancerLeavesAloneWhatItMay(t *testing.T) {
	for name, forbid := range map[string]func(c *cluster){
		"noBalance": func(c *cluster) {
			c.must("config", bson.D{{"update", "collections"}, {"updates", bson.A{bson.D{{"q", bson.D{{"_id", "db.c"}}}, {"u", bson.D{{"$set", bson.D{{"noBalance", true}}}}}}}}})
			c.must("admin", bson.D{{"split", "db.c"}, {"middle", bson.D{{"k", -5}}}}) // a change of the row keeps what the client set
		},
		"allowMigrations": func(c *cluster) {
			c.must("admin", bson.D{{"setAllowMigrations", "db.c"}, {"allowMigrations", false}})
		},
		"stopped": func(c *cluster) { c.must("admin", bson.D{{"balancerStop", 1}}) },
	} {
		t.Run(name, func(t *testing.T) {
			balanced(t, func(c *cluster) {
				c.must("admin", bson.D{{"shardCollection", "db.c"}, {"key", bson.D{{"k", 1}}}})
				c.big(upTo(40)...)
				c.must("config", bson.D{{"update", "settings"}, {"updates", bson.A{bson.D{{"q", bson.D{{"_id", "chunksize"}}}, {"u", bson.D{{"$set", bson.D{{"value", 1}}}}}, {"upsert", true}}}}})
				c.must("admin", bson.D{{"balancerStart", 1}})
				forbid(c)
				time.Sleep(time.Minute)
				assert.Len(t, c.rows("db.c"), 1)
			})
		})
	}
}

func TestTheBalancerObeysZones(t *testing.T) {
	balanced(t, func(c *cluster) {
		c.must("admin", bson.D{{"shardCollection", "db.c"}, {"key", bson.D{{"k", 1}}}})
		for k := range 30 {
			c.insert("c", bson.D{{"_id", k}, {"k", k}})
		}
		c.must("admin", bson.D{{"addShardToZone", "s1"}, {"zone", "low"}})
		c.must("admin", bson.D{{"addShardToZone", "s2"}, {"zone", "mid"}})
		c.must("admin", bson.D{{"updateZoneKeyRange", "db.c"}, {"min", bson.D{{"k", bson.MinKey{}}}}, {"max", bson.D{{"k", 10}}}, {"zone", "low"}})
		c.must("admin", bson.D{{"updateZoneKeyRange", "db.c"}, {"min", bson.D{{"k", 10}}}, {"max", bson.D{{"k", 20}}}, {"zone", "mid"}})
		assert.Equal(t, "zoneViolation", c.compliance("db.c"))
		c.must("admin", bson.D{{"balancerStart", 1}})
		time.Sleep(time.Minute)
		assert.Len(t, c.on("s0", "c"), 10)
		assert.Equal(t, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, ids(c.on("s1", "c")))
		assert.Equal(t, []int64{10, 11, 12, 13, 14, 15, 16, 17, 18, 19}, ids(c.on("s2", "c")))
		assert.Empty(t, c.compliance("db.c"))
	})
}

func TestAShardIsDrainedAndRemoved(t *testing.T) {
	balanced(t, func(c *cluster) {
		c.sharded("c")
		for k := range 30 {
			c.insert("c", bson.D{{"_id", k}, {"k", k}})
		}
		c.must("admin", bson.D{{"enableSharding", "d1"}, {"primaryShard", "s1"}})
		state := func() string { return getString(c.must("admin", bson.D{{"removeShard", "s1"}}), "state") }
		w := c.watch()
		assert.Equal(t, "started", state())
		assert.Equal(t, "draining", c.compliance("db.c"))
		reply := c.must("admin", bson.D{{"removeShard", "s1"}})
		assert.Equal(t, int64(1), getInt(getDoc(reply, "remaining"), "chunks", 0))
		c.must("admin", bson.D{{"balancerStart", 1}})
		time.Sleep(time.Minute)
		assert.Equal(t, "ongoing", state(), "a database is left")
		c.must("admin", bson.D{{"movePrimary", "d1"}, {"to", "s2"}})
		assert.Equal(t, "completed", state())
		assert.Len(t, c.all("config", bson.D{{"find", "shards"}}), 2)
		assert.Len(t, getDocs(c.must("admin", bson.D{{"listShards", 1}}), "shards"), 2)
		assert.Len(t, c.all("db", bson.D{{"find", "c"}}), 30)
		c.fails(mongoerr.ShardNotFound, "admin", bson.D{{"removeShard", "s1"}})
		c.must("admin", bson.D{{"removeShard", "s2"}})
		c.fails(mongoerr.IllegalOperation, "admin", bson.D{{"removeShard", "s0"}})
		assert.Empty(t, w.events())
	})
}

func TestMetadataConsistency(t *testing.T) {
	c := spreadOut(t)
	check := bson.D{{"checkMetadataConsistency", 1}}
	assert.Empty(t, c.all("db", check))
	resp := c.all("admin", check)
	assert.Empty(t, resp)
	_, err := c.nodes["s2"].Handle(t.Context(), c.direct("db", bson.D{{"drop", "c"}}))
	require.NoError(t, err)
	found := c.all("db", check)
	require.Len(t, found, 1)
	assert.Equal(t, "MissingLocalCollection", getString(found[0], "type"))
}

func TestTheBalancerKeepsItsHours(t *testing.T) {
	at := func(clock string) time.Time {
		at, err := time.Parse("15:04", clock)
		require.NoError(t, err)
		return at
	}
	for _, c := range []struct {
		start, stop, now string
		want             bool
	}{
		{"", "", "12:00", true},
		{"08:00", "10:00", "09:00", true},
		{"08:00", "10:00", "11:00", false},
		{"23:00", "06:00", "02:30", true},
		{"23:00", "06:00", "22:59", false},
		{"soon", "later", "12:00", true},
	} {
		assert.Equal(t, c.want, inWindow(rawDoc(bson.D{{"start", c.start}, {"stop", c.stop}}), at(c.now)), "%+v", c)
	}
}
