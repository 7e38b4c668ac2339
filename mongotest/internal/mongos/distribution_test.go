package mongos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func distribution(spec any, more ...bson.D) bson.D {
	stages := bson.A{bson.D{{"$shardedDataDistribution", spec}}}
	for _, s := range more {
		stages = append(stages, s)
	}
	return bson.D{{"aggregate", 1}, {"pipeline", stages}, {"cursor", bson.D{}}}
}

// What every shard owns of a collection, and what it still has of ranges that
// have moved, can be asked for.
func TestHowShardedDataIsDistributed(t *testing.T) {
	c := newClusterWith(t, time.Hour)
	c.sharded("c")
	c.must("db", bson.D{{"create", "plain"}})
	for i := range 10 {
		c.insert("c", bson.D{{"_id", i}, {"k", i}})
	}
	c.insert("c", bson.D{{"_id", 10}, {"k", 100}})
	c.must("admin", bson.D{{"moveRange", "db.c"}, {"min", bson.D{{"k", 0}}}, {"max", bson.D{{"k", 4}}}, {"toShard", "s2"}})
	docs := c.all("admin", distribution(bson.D{}))
	require.Len(t, docs, 1)
	assert.Equal(t, "db.c", getString(docs[0], "ns"))
	size := int64(len(rawDoc(bson.D{{"_id", 1}, {"k", 1}})))
	var want []bson.Raw
	for _, s := range []struct {
		name            string
		orphaned, owned int64
	}{{"s0", 0, 0}, {"s1", 4, 6}, {"s2", 0, 5}} {
		want = append(want, rawDoc(bson.D{
			{"shardName", s.name},
			{"numOrphanedDocs", s.orphaned},
			{"numOwnedDocuments", s.owned},
			{"ownedSizeBytes", size * s.owned},
			{"orphanedSizeBytes", size * s.orphaned},
		}))
	}
	assert.Equal(t, want, getDocs(docs[0], "shards"))
	counted := c.all("admin", distribution(bson.D{}, bson.D{{"$unwind", "$shards"}}, bson.D{{"$group", bson.D{{"_id", nil}, {"n", bson.D{{"$sum", "$shards.numOwnedDocuments"}}}}}}))
	assert.EqualValues(t, 11, getInt(counted[0], "n", 0))
	c.fails(6789100, "admin", distribution(bson.D{{"x", 1}}))
	c.fails(6789102, "db", distribution(bson.D{}))
	_, err := c.nodes["s0"].Handle(t.Context(), c.direct("admin", distribution(bson.D{})))
	require.ErrorContains(t, err, "can only be run on mongoS")
}
