package mongos

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

func TestMovingAChunkIsInvisibleInStreams(t *testing.T) {
	c := spreadOut(t)
	w := c.watch()
	c.move("c", 50, "s2")
	c.must("admin", bson.D{{"moveRange", "db.c"}, {"min", bson.D{{"k", -20}}}, {"toShard", "s1"}})
	assert.Empty(t, w.events())
	assert.Equal(t, []int64{-50, -40, -30}, ids(c.on("s0", "c")))
	assert.Equal(t, []int64{-20, -10}, ids(c.on("s1", "c")))
	assert.Len(t, c.on("s2", "c"), 15)
	assert.Len(t, c.all("db", bson.D{{"find", "c"}}), 20)
	c.insert("c", bson.D{{"_id", -15}, {"k", -15}})
	assert.Contains(t, ids(c.on("s1", "c")), int64(-15))
	assert.Equal(t, []string{`insert {"$numberInt":"-15"}`}, summary(w.events()))
}

func TestACursorOpenedBeforeAMoveReadsEveryDocumentOnce(t *testing.T) {
	c := spreadOut(t)
	body := c.must("db", bson.D{{"find", "c"}, {"batchSize", 2}})
	c.move("c", 50, "s2")
	c.move("c", -50, "s2")
	assert.Len(t, c.on("s0", "c"), 5, "the open cursor keeps the moved range on its old shard")
	docs := getDocs(getDoc(body, "cursor"), "firstBatch")
	for id := getInt(getDoc(body, "cursor"), "id", 0); id != 0; id = getInt(getDoc(body, "cursor"), "id", 0) {
		body = c.must("db", bson.D{{"getMore", id}, {"collection", "c"}, {"batchSize", 4}})
		docs = append(docs, getDocs(getDoc(body, "cursor"), "nextBatch")...)
	}
	assert.Equal(t, []int64{-50, -40, -30, -20, -10, 0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140}, ids(docs))
	c.router.deleteOrphans(t.Context())
	assert.Empty(t, c.on("s0", "c"), "the end of the cursor lets the range deletion run")
	assert.Empty(t, c.on("s1", "c"))
}

func TestOrphansAreNeitherReadNorChanged(t *testing.T) {
	c := spreadOut(t)
	_, err := c.nodes["s0"].Handle(t.Context(), &command.Request{
		Name: "insert", DB: "db", Client: c.client, Routed: &command.Routed{FromMigrate: true},
		Body: rawDoc(bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 777}, {"k", 777}}}}}),
	})
	require.NoError(t, err)
	assert.Len(t, c.all("db", bson.D{{"find", "c"}}), 20)
	body := c.must("db", bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{}}, {"u", bson.D{{"$set", bson.D{{"m", 1}}}}}, {"multi", true}}}}})
	assert.Equal(t, int64(20), getInt(body, "n", 0))
	body = c.must("db", bson.D{{"delete", "c"}, {"deletes", bson.A{bson.D{{"q", bson.D{}}, {"limit", 0}}}}})
	assert.Equal(t, int64(20), getInt(body, "n", 0))
	assert.Equal(t, []int64{777}, ids(c.on("s0", "c")))
}

func TestSplitAndMergeChangeOnlyTheCatalog(t *testing.T) {
	c := spreadOut(t)
	before := len(c.catalog.table("db.c").chunks)
	c.must("admin", bson.D{{"split", "db.c"}, {"find", bson.D{{"k", 50}}}})
	tb := c.catalog.table("db.c")
	require.Len(t, tb.chunks, before+1)
	assert.Equal(t, int64(50), getInt(tb.chunks[2].min, "k", 0), "split at the median")
	assert.Len(t, c.all("config", bson.D{{"find", "chunks"}}), before+1)
	c.must("admin", bson.D{{"mergeChunks", "db.c"}, {"bounds", bson.A{bson.D{{"k", 0}}, bson.D{{"k", 100}}}}})
	assert.Len(t, c.all("config", bson.D{{"find", "chunks"}}), before)
	c.fails(mongoerr.IllegalOperation, "admin", bson.D{{"mergeChunks", "db.c"}, {"bounds", bson.A{bson.D{{"k", bson.MinKey{}}}, bson.D{{"k", 100}}}}})
	c.must("admin", bson.D{{"setAllowMigrations", "db.c"}, {"allowMigrations", false}})
	c.fails(mongoerr.ConflictingOperationInProgress, "admin", bson.D{{"moveChunk", "db.c"}, {"find", bson.D{{"k", 1}}}, {"to", "s0"}})
	assert.Len(t, c.all("db", bson.D{{"find", "c"}}), 20)
}

// A write that is on its way when a move starts is not lost: the move waits.
func TestAMoveWaitsForWritesUnderWay(t *testing.T) {
	c := spreadOut(t)
	gate, reached := make(chan struct{}), make(chan struct{})
	c.lose = func(shard string, req *command.Request) error {
		if req.Name == "insert" && req.DB == "db" && req.Routed != nil && !req.Routed.FromMigrate && shard == "s1" {
			close(reached)
			<-gate
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	done := make(chan error, 2)
	go func() {
		_, err := c.router.Handle(ctx, &command.Request{
			Name: "insert", DB: "db", Client: c.client,
			Body: rawDoc(bson.D{{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", 55}, {"k", 55}}}}}),
		})
		done <- err
	}()
	<-reached
	go func() {
		_, err := c.router.Handle(ctx, &command.Request{
			Name: "moveChunk", DB: "admin", Client: c.client,
			Body: rawDoc(bson.D{{"moveChunk", "db.c"}, {"find", bson.D{{"k", 50}}}, {"to", "s2"}}),
		})
		done <- err
	}()
	close(gate)
	require.NoError(t, <-done)
	require.NoError(t, <-done)
	assert.Contains(t, ids(c.on("s2", "c")), int64(55))
	assert.Empty(t, c.on("s1", "c"))
}
