package mongos

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// validate asks the shards that hold the collection, and no others.
func TestValidate(t *testing.T) {
	c := newCluster(t)
	c.must("db", bson.D{{"insert", "plain"}, {"documents", bson.A{bson.D{{"_id", 1}}}}})
	c.must("admin", bson.D{{"shardCollection", "db.spread"}, {"key", bson.D{{"_id", "hashed"}}}})
	for coll, shards := range map[string]int{"plain": 1, "spread": len(shardNames)} {
		reply := c.must("db", bson.D{{"validate", coll}})
		assert.True(t, getBool(reply, "valid", false), coll)
		n := 0
		for _, part := range value.Elements(getDoc(reply, "raw")) {
			n++
			assert.True(t, part.Document().Lookup("valid").Boolean(), coll)
		}
		assert.Equal(t, shards, n, coll)
	}
	for _, ns := range [][2]string{{"db", "none"}, {"nodb", "none"}} {
		_, err := c.run(ns[0], bson.D{{"validate", ns[1]}})
		assert.True(t, mongoerr.Is(err, mongoerr.NamespaceNotFound), "%v", err)
	}
}
