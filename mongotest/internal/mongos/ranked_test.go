package mongos

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// inOrder returns the integer _ids of documents as they came.
func inOrder(docs []bson.Raw) []int64 {
	out := []int64{}
	for _, d := range docs {
		out = append(out, getInt(d, "_id", -1))
	}
	return out
}

// places has six points on a line, next to each other on different shards.
func places(t *testing.T) *cluster {
	c := newCluster(t)
	c.sharded("c")
	c.must("db", bson.D{{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"at", "2d"}}}, {"name", "at_2d"}}}}})
	for i := range 6 {
		c.insert("c", bson.D{{"_id", i}, {"k", []int{-1, 50, 150}[i%3]}, {"at", bson.A{i, 0}}})
	}
	return c
}

func TestTheNearestOfAllShardsComeFirst(t *testing.T) {
	c := places(t)
	near := bson.D{{"at", bson.D{{"$near", bson.A{-1, 0}}}}}
	assert.Equal(t, []int64{0, 1, 2, 3, 4, 5}, inOrder(c.all("db", bson.D{{"find", "c"}, {"filter", near}})))
	some := c.all("db", bson.D{{"find", "c"}, {"filter", near}, {"skip", 1}, {"limit", 2}, {"projection", bson.D{{"_id", 1}}}})
	assert.Equal(t, []bson.Raw{rawDoc(bson.D{{"_id", 1}}), rawDoc(bson.D{{"_id", 2}})}, some, "the place is taken away after it has counted")
	assert.Equal(t, []int64{5, 4, 3}, inOrder(c.all("db", bson.D{{"find", "c"}, {"filter", near}, {"sort", bson.D{{"_id", -1}}}, {"limit", 3}})))
	c.must("db", bson.D{{"dropIndexes", "c"}, {"index", "at_2d"}})
	c.fails(mongoerr.NoQueryExecutionPlans, "db", bson.D{{"find", "c"}, {"filter", near}})
}

func TestGeoNearOfAllShards(t *testing.T) {
	c := places(t)
	run := func(spec bson.D, more ...bson.D) []bson.Raw {
		return c.all("db", bson.D{{"aggregate", "c"}, {"cursor", bson.D{}}, {"pipeline", append([]bson.D{{{"$geoNear", spec}}}, more...)}})
	}
	docs := run(bson.D{{"near", bson.A{6, 0}}, {"distanceField", "far.is"}}, bson.D{{"$limit", 4}})
	assert.Equal(t, []int64{5, 4, 3, 2}, inOrder(docs))
	assert.Equal(t, rawDoc(bson.D{{"is", 1.0}}), getDoc(docs[0], "far"))
	docs = run(bson.D{{"near", bson.A{6, 0}}, {"maxDistance", 2.5}})
	assert.Equal(t, []int64{5, 4}, inOrder(docs))
	assert.False(t, has(docs[0], shardDistance))
}

func TestTheBestTextsOfAllShardsComeFirst(t *testing.T) {
	c := newCluster(t)
	c.sharded("c")
	c.fails(mongoerr.IndexNotFound, "db", bson.D{{"find", "c"}, {"filter", bson.D{{"$text", bson.D{{"$search", "cat"}}}}}})
	c.must("db", bson.D{{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"t", "text"}}}, {"name", "t_text"}}}}})
	for i, text := range []string{"a cat and a dog and a bird and a fish", "cat", "cat and dog", "dog", "cat cat", "bird cat dog"} {
		c.insert("c", bson.D{{"_id", i}, {"k", []int{-1, 50, 150}[i%3]}, {"t", text}})
	}
	score := bson.D{{"$meta", "textScore"}}
	search := bson.D{{"$text", bson.D{{"$search", "cat"}}}}
	docs := c.all("db", bson.D{{"find", "c"}, {"filter", search}, {"sort", bson.D{{"s", score}}}, {"projection", bson.D{{"s", score}}}})
	assert.Len(t, docs, 5)
	for i := range docs[1:] {
		assert.GreaterOrEqual(t, docs[i].Lookup("s").Double(), docs[i+1].Lookup("s").Double())
	}
	assert.ElementsMatch(t, []int64{0, 1, 2, 4, 5}, inOrder(c.all("db", bson.D{{"find", "c"}, {"filter", search}})))
	assert.EqualValues(t, 5, getInt(c.must("db", bson.D{{"count", "c"}, {"query", search}}), "n", 0))
}
