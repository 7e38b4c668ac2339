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

func analysisOf(coll, field string, more ...bson.E) bson.D {
	return append(bson.D{{"analyzeShardKey", "db." + coll}, {"key", bson.D{{field, 1}}}}, more...)
}

// Keys are analyzed over all shards, what is left of a move included.
func TestAnAnalysisCountsTheDocumentsOfAllShards(t *testing.T) {
	c := newClusterWith(t, time.Hour)
	c.sharded("c")
	c.must("db", bson.D{{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"town", 1}}}, {"name", "t"}}}}})
	var docs []bson.D
	for i := range 1200 {
		docs = append(docs, bson.D{{"_id", i}, {"k", i - 600}, {"town", i % 3}})
	}
	c.insert("c", docs...)
	find := func(field string, more ...bson.E) bson.Raw {
		return getDoc(c.must("admin", analysisOf("c", field, more...)), "keyCharacteristics")
	}
	only := bson.E{Key: "readWriteDistribution", Value: false}
	r := find("town", only)
	assert.EqualValues(t, 1200, getInt(r, "numDocsTotal", -1))
	assert.EqualValues(t, 0, getInt(r, "numOrphanDocs", -1))
	assert.EqualValues(t, 3, getInt(r, "numDistinctValues", -1))
	for i, common := range getDocs(r, "mostCommonValues") {
		assert.Equal(t, rawDoc(bson.D{{"value", bson.D{{"town", int32(i)}}}, {"frequency", int64(400)}}), common)
	}
	assert.EqualValues(t, 120, getInt(find("town", only, bson.E{Key: "sampleRate", Value: 0.1}), "numDocsSampled", -1))
	c.must("admin", bson.D{{"moveRange", "db.c"}, {"min", bson.D{{"k", 0}}}, {"max", bson.D{{"k", 40}}}, {"toShard", "s2"}})
	r = find("k")
	assert.EqualValues(t, 1240, getInt(r, "numDocsTotal", -1))
	assert.EqualValues(t, 40, getInt(r, "numOrphanDocs", -1))
	assert.EqualValues(t, 1200, getInt(r, "numDistinctValues", -1))
	assert.Equal(t, "monotonic", getString(getDoc(r, "monotonicity"), "type"))
	assert.Contains(t, getString(r, "note"), "numOrphanDocs")
	c.fails(4952606, "admin", analysisOf("c", "town"))
	reply := c.must("admin", bson.D{{"analyzeShardKey", "db.c"}, {"key", bson.D{{"_id", "hashed"}}}, {"keyCharacteristics", false}})
	assert.True(t, has(getDoc(reply, "readDistribution"), "sampleSize"))
	c.must("db", bson.D{{"dropIndexes", "c"}, {"index", "t"}})
	c.fails(mongoerr.IllegalOperation, "admin", analysisOf("c", "town", only))
}

// A shard without documents says so, and the next one is asked.
func TestAnAnalysisLooksForAShardWithDocuments(t *testing.T) {
	c := newCluster(t)
	c.sharded("c")
	c.fails(mongoerr.IllegalOperation, "admin", analysisOf("c", "k"))
	c.insert("c", bson.D{{"_id", 1}, {"k", 500}})
	only := bson.E{Key: "readWriteDistribution", Value: false}
	r := getDoc(c.must("admin", analysisOf("c", "k", only)), "keyCharacteristics")
	assert.EqualValues(t, 1, getInt(r, "numDocsTotal", -1))
	c.insert("plain", bson.D{{"_id", 1}}, bson.D{{"_id", 2}})
	r = getDoc(c.must("admin", analysisOf("plain", "_id", only)), "keyCharacteristics")
	assert.EqualValues(t, 2, getInt(r, "numDocsTotal", -1))
	assert.True(t, getBool(r, "isUnique", false))
	assert.False(t, has(r, "numOrphanDocs"))
	c.must("admin", bson.D{{"moveCollection", "db.plain"}, {"toShard", "s1"}})
	r = getDoc(c.must("admin", analysisOf("plain", "_id", only)), "keyCharacteristics")
	assert.EqualValues(t, 2, getInt(r, "numDocsTotal", -1))
	assert.False(t, has(r, "numOrphanDocs"), "it is not sharded wherever it is")
	c.fails(mongoerr.NamespaceNotFound, "admin", analysisOf("none", "k"))
	c.fails(mongoerr.NamespaceNotFound, "admin", bson.D{{"analyzeShardKey", "nodb.c"}, {"key", bson.D{{"k", 1}}}})
}

// The primary shard knows best in which order documents came: it has had them
// before any moved.
func TestThePrimaryShardIsAskedFirst(t *testing.T) {
	c := newCluster(t)
	c.must("admin", bson.D{{"enableSharding", "late"}, {"primaryShard", "s2"}})
	c.must("admin", bson.D{{"shardCollection", "late.c"}, {"key", bson.D{{"k", 1}}}})
	c.must("admin", bson.D{{"split", "late.c"}, {"middle", bson.D{{"k", 0}}}})
	c.must("admin", bson.D{{"moveChunk", "late.c"}, {"find", bson.D{{"k", -1}}}, {"to", "s0"}})
	c.must("late", bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"k", -1}}, bson.D{{"k", 1}}}}})
	var asked []string
	c.lose = func(shard string, req *command.Request) error {
		if req.Name == "analyzeShardKey" {
			asked = append(asked, shard)
		}
		return nil
	}
	c.must("admin", bson.D{{"analyzeShardKey", "late.c"}, {"key", bson.D{{"k", 1}}}, {"readWriteDistribution", false}})
	assert.Equal(t, []string{"s2"}, asked)
}

func TestTheConfigServerKeepsHowQueriesAreSampled(t *testing.T) {
	c := newCluster(t)
	c.sharded("c")
	c.must("db", bson.D{{"create", "v"}, {"viewOn", "c"}})
	full := func(ns string) bson.D {
		return bson.D{{"configureQueryAnalyzer", ns}, {"mode", "full"}, {"samplesPerSecond", 2}}
	}
	c.must("admin", full("db.c"))
	reply := c.must("admin", bson.D{{"configureQueryAnalyzer", "db.c"}, {"mode", "off"}})
	assert.Equal(t, rawDoc(bson.D{{"mode", "full"}, {"samplesPerSecond", 2.0}}), getDoc(reply, "oldConfiguration"))
	kept := c.all("config", bson.D{{"find", "queryAnalyzers"}})
	require.Len(t, kept, 1)
	assert.Equal(t, "off", getString(kept[0], "mode"))
	assert.Equal(t, "db.c", getString(kept[0], "_id"))
	c.fails(mongoerr.CommandNotSupportedOnView, "admin", full("db.v"))
	c.fails(mongoerr.NamespaceNotFound, "admin", full("db.none"))
	c.fails(mongoerr.NamespaceNotFound, "admin", full("nodb.c"))
	_, err := c.nodes["s0"].Handle(t.Context(), c.direct("admin", full("db.c")))
	require.ErrorContains(t, err, "directly against a shardsvr mongod")
	assert.Empty(t, c.all("admin", bson.D{{"aggregate", 1}, {"pipeline", bson.A{bson.D{{"$listSampledQueries", bson.D{}}}}}, {"cursor", bson.D{}}}))
}
