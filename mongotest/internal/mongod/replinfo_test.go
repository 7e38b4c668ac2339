package mongod_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// What a shell reads to tell how far the oplog reaches back.
func TestReplicationInfo(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	config := f.run("local", "find", "system.replset").Lookup("cursor", "firstBatch", "0")
	assert.Equal(t, config.Document(), f.run("admin", "replSetGetConfig", 1).Lookup("config").Document())

	stage := []bson.Raw{value.D("$collStats", value.D("storageStats", value.D()))}
	viaStage := f.run("local", "aggregate", "oplog.rs", "pipeline", stage, "cursor", value.D()).Lookup("cursor", "firstBatch", "0", "storageStats").Document()
	for _, stats := range []bson.Raw{f.run("local", "collStats", "oplog.rs"), viaStage} {
		assert.True(t, stats.Lookup("capped").Boolean())
		assert.EqualValues(t, f.Log().Len(), num(stats, "count"))
		assert.Equal(t, f.Log().Bytes(), num(stats, "size"))
		assert.EqualValues(t, 1<<30, num(stats, "maxSize"))
	}
}
