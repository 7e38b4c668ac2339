package mongos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// onNode runs a command on a shard itself.
func (c *cluster) onNode(shard, db string, cmd bson.D) (bson.Raw, error) {
	resp, err := c.nodes[shard].Handle(c.t.Context(), &command.Request{Name: cmd[0].Key, DB: db, Body: rawDoc(cmd), Client: c.client})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func TestIndexFiltersAreSetOnEveryShardWithAPart(t *testing.T) {
	c := spreadOut(t)
	c.must("db", bson.D{{"planCacheSetFilter", "c"}, {"query", bson.D{{"k", 1}}}, {"indexes", bson.A{"k_1"}}})
	reply := c.must("db", bson.D{{"planCacheListFilters", "c"}})
	assert.Len(t, getDocs(reply, "filters"), 1)
	for _, s := range shardNames {
		assert.Len(t, getDocs(getDoc(reply, s), "filters"), 1, s)
		own, err := c.onNode(s, "db", bson.D{{"planCacheListFilters", "c"}})
		require.NoError(t, err)
		assert.Len(t, getDocs(own, "filters"), 1, s)
	}
	c.must("db", bson.D{{"planCacheClearFilters", "c"}})
	assert.Empty(t, getDocs(c.must("db", bson.D{{"planCacheListFilters", "c"}}), "filters"))
	c.fails(mongoerr.NamespaceNotFound, "none", bson.D{{"planCacheListFilters", "c"}})
}

func TestSettingsOfTheClusterAreKnownToAllOfIt(t *testing.T) {
	c := newCluster(t)
	query := bson.D{{"find", "c"}, {"filter", bson.D{{"k", 1}}}, {"$db", "db"}}
	c.must("admin", bson.D{{"setQuerySettings", query}, {"settings", bson.D{{"reject", true}}}})
	assert.Len(t, c.all("admin", bson.D{{"aggregate", int32(1)}, {"pipeline", bson.A{bson.D{{"$querySettings", bson.D{}}}}}, {"cursor", bson.D{}}}), 1)
	c.insert("c", bson.D{{"_id", 1}, {"k", 1}})
	c.fails(mongoerr.QueryRejectedBySettings, "db", bson.D{{"find", "c"}, {"filter", bson.D{{"k", 2}}}})
	c.must("admin", bson.D{{"removeQuerySettings", query}})
	c.must("db", bson.D{{"find", "c"}, {"filter", bson.D{{"k", 2}}}})

	c.must("admin", bson.D{{"setClusterParameter", bson.D{{"defaultMaxTimeMS", bson.D{{"readOperations", 5}}}}}})
	read := func(body bson.Raw) int64 { return getInt(getDocs(body, "clusterParameters")[0], "readOperations", 0) }
	assert.EqualValues(t, 5, read(c.must("admin", bson.D{{"getClusterParameter", "defaultMaxTimeMS"}})))
	own, err := c.onNode("s1", "admin", bson.D{{"getClusterParameter", "defaultMaxTimeMS"}})
	require.NoError(t, err)
	assert.EqualValues(t, 5, read(own))
	c.fails(mongoerr.NoSuchKey, "admin", bson.D{{"setClusterParameter", bson.D{{"nothing", bson.D{}}}}})
}

func TestAClusterIsLockedAsAWholeOrNotAtAll(t *testing.T) {
	c := newCluster(t)
	locked := c.must("admin", bson.D{{"fsync", 1}, {"lock", true}})
	assert.EqualValues(t, 1, getInt(locked, "numFiles", 0))
	assert.EqualValues(t, 1, getInt(getDoc(getDoc(getDoc(locked, "all"), "raw"), "s0/s0:27018"), "lockCount", 0))
	c.fails(mongoerr.MaxTimeMSExpired, "db", bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{}}}, {"maxTimeMS", 20}})
	c.must("admin", bson.D{{"fsyncUnlock", 1}})
	c.insert("c", bson.D{{"_id", 1}})
	c.fails(mongoerr.IllegalOperation, "admin", bson.D{{"fsyncUnlock", 1}})

	c.lose = func(shard string, req *command.Request) error {
		if shard == "s2" && req.Name == "fsync" {
			return mongoerr.New(mongoerr.Interrupted, "not now")
		}
		return nil
	}
	c.fails(mongoerr.Interrupted, "admin", bson.D{{"fsync", 1}, {"lock", true}})
	c.insert("c", bson.D{{"_id", 2}})
}

func TestWhatOnlyShardsDoRoutersRefuse(t *testing.T) {
	c := newCluster(t)
	c.fails(mongoerr.CommandNotSupported, "db", bson.D{{"compact", "c"}})
	c.fails(mongoerr.CommandNotFound, "db", bson.D{{"cloneCollectionAsCapped", "c"}, {"toCollection", "d"}, {"size", 4096}})
	c.fails(mongoerr.CommandNotFound, "admin", bson.D{{"cleanupOrphaned", "db.c"}})
}

// cleanupOrphaned waits for the deletion of what has moved away.
func TestCleanupOrphanedWaitsForTheRangesThatHaveMoved(t *testing.T) {
	c := newClusterWith(t, time.Hour)
	c.sharded("c")
	c.insert("c", bson.D{{"_id", 1}, {"k", 10}})
	c.move("c", 10, "s2")
	require.Len(t, c.on("s1", "c"), 1, "an orphan")
	_, err := c.onNode("s1", "admin", bson.D{{"cleanupOrphaned", "db.c"}, {"maxTimeMS", 20}})
	assert.Equal(t, mongoerr.MaxTimeMSExpired, mongoerr.From(err).Code)
	_, err = c.onNode("s2", "admin", bson.D{{"cleanupOrphaned", "db.c"}})
	require.NoError(t, err, "it has none")
	ended := make(chan error, 1)
	go func() {
		_, err := c.onNode("s1", "admin", bson.D{{"cleanupOrphaned", "db.c"}})
		ended <- err
	}()
	for _, task := range c.catalog.cursors.tasks {
		c.catalog.cursors.hurry(task)
	}
	c.router.deleteOrphans(t.Context())
	require.NoError(t, <-ended)
	assert.Empty(t, c.on("s1", "c"))
	_, err = c.onNode("s1", "admin", bson.D{{"cleanupOrphaned", "db.none"}})
	require.NoError(t, err)
	_, err = c.onNode("s1", "admin", bson.D{{"cleanupOrphaned", "db"}})
	assert.Equal(t, mongoerr.InvalidNamespace, mongoerr.From(err).Code)
}
