package mongos

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

func TestMovingThePrimaryShowsNothingButMovesEverything(t *testing.T) {
	c := spreadOut(t)
	c.must("db", bson.D{{"createIndexes", "plain"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"a", 1}}}, {"name", "a_1"}, {"unique", true}}}}})
	c.insert("plain", bson.D{{"_id", 1}, {"a", 1}}, bson.D{{"_id", 2}, {"a", 2}})
	c.must("db", bson.D{{"create", "log"}, {"capped", true}, {"size", 4096}})
	c.must("db", bson.D{{"create", "seen"}, {"viewOn", "plain"}, {"pipeline", bson.A{bson.D{{"$match", bson.D{{"a", 2}}}}}}})
	w := c.watch()
	c.must("admin", bson.D{{"movePrimary", "db"}, {"to", "s1"}})
	assert.Empty(t, w.events())
	assert.Empty(t, c.on("s0", "plain"))
	assert.Equal(t, []int64{1, 2}, ids(c.on("s1", "plain")))
	assert.Equal(t, []int64{-50, -40, -30, -20, -10}, ids(c.on("s0", "c")), "sharded data stays")
	assert.Equal(t, []int64{2}, ids(c.all("db", bson.D{{"find", "seen"}})))
	assert.Len(t, c.all("db", bson.D{{"listIndexes", "plain"}}), 2)
	assert.Len(t, c.all("db", bson.D{{"listCollections", 1}}), 5)
	row := c.all("config", bson.D{{"find", "databases"}})[0]
	assert.Equal(t, "s1", getString(row, "primary"))
	assert.Equal(t, int64(2), getInt(getDoc(row, "version"), "lastMod", 0))
	c.insert("plain", bson.D{{"_id", 3}, {"a", 3}})
	c.must("db", bson.D{{"drop", "c"}})
	assert.Equal(t, []string{`insert {"$numberInt":"3"}`, "drop c"}, summary(w.events()))
	c.must("db", bson.D{{"dropDatabase", 1}})
	assert.Equal(t, []string{"drop log", "drop plain", "dropDatabase "}, summary(w.events()), "from the new primary, once")
}

// A time-series collection moves with its buckets and indexes.
func TestATimeseriesMovesWithThePrimary(t *testing.T) {
	c := newCluster(t)
	c.must("db", bson.D{{"create", "a"}, {"timeseries", bson.D{{"timeField", "t"}, {"metaField", "m"}}}})
	c.must("db", bson.D{{"createIndexes", "a"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"v", 1}}}, {"name", "v_1"}}}}})
	c.insert("a", bson.D{{"_id", 1}, {"t", time.Unix(9, 0)}, {"m", 1}})
	c.must("admin", bson.D{{"movePrimary", "db"}, {"to", "s1"}})
	assert.Empty(t, c.on("s0", "system.buckets.a"))
	c.insert("a", bson.D{{"_id", 2}, {"t", time.Unix(10, 0)}, {"m", 1}})
	assert.Len(t, c.on("s1", "system.buckets.a"), 1)
	assert.Equal(t, []int64{1, 2}, ids(c.all("db", bson.D{{"find", "a"}})))
	assert.Len(t, c.all("db", bson.D{{"listIndexes", "a"}}), 2)
}

func TestWhereNoPrimaryCanMove(t *testing.T) {
	c := newCluster(t)
	c.insert("plain", bson.D{{"_id", 1}})
	c.fails(mongoerr.InvalidOptions, "admin", bson.D{{"movePrimary", "config"}, {"to", "s1"}})
	c.fails(mongoerr.InvalidOptions, "admin", bson.D{{"movePrimary", "db"}, {"to", ""}})
	c.fails(mongoerr.ShardNotFound, "admin", bson.D{{"movePrimary", "db"}, {"to", "s9"}})
	c.fails(mongoerr.NamespaceNotFound, "admin", bson.D{{"movePrimary", "nodb"}, {"to", "s1"}})
	c.must("admin", bson.D{{"movePrimary", "db"}, {"to", "s0"}})
	assert.Equal(t, []int64{1}, ids(c.on("s0", "plain")))
}

// A document that expires does so once, wherever it is.
func TestNothingExpiresTwiceWhenThePrimaryMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.must("db", bson.D{{"createIndexes", "plain"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"at", 1}}}, {"name", "at_1"}, {"expireAfterSeconds", 60}}}}})
		c.insert("plain", bson.D{{"_id", 1}, {"at", time.Now()}})
		w := c.watch()
		c.must("admin", bson.D{{"movePrimary", "db"}, {"to", "s2"}})
		c.runNodes(3 * time.Minute)
		require.Equal(t, []string{`delete {"$numberInt":"1"}`}, summary(w.events()))
	})
}
