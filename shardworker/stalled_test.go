package shardworker_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/mongotest"
	"github.com/shardferry/shardferry/shardworker"
)

// While the destination takes nothing, a worker reads only so much: of the stream,
// of what it copies, and of what it reads again. Then it catches up.
func TestAStalledDestinationDoesNotFillTheMemory(t *testing.T) {
	bubble(t, mongotest.Options{}, mongotest.Options{}, func(t *testing.T, p *pair) {
		a := p.create(notes, nil, nil)
		coll := p.from.Database(notes.DB).Collection(notes.Coll)
		text := strings.Repeat("x", 100<<10)
		for i := range 400 {
			_, err := coll.InsertOne(t.Context(), bson.D{{"_id", i}, {"text", text}})
			require.NoError(t, err)
		}
		l := p.newLead(map[shardferry.UUID]shardferry.Collection{a.UUID: a}, p.tasks(a, nil))
		for i := range 400 {
			_, err := coll.ReplaceOne(t.Context(), bson.D{{"_id", i}}, bson.D{{"_id", i}, {"v", 2}, {"text", text}})
			require.NoError(t, err)
			_, err = coll.UpdateOne(t.Context(), bson.D{{"_id", i}}, bson.D{{"$set", bson.D{{"list", bson.A{1, 2}}}}})
			require.NoError(t, err)
			_, err = coll.UpdateOne(t.Context(), bson.D{{"_id", i}}, bson.D{{"$push", bson.D{{"list", bson.D{{"$each", bson.A{3}}, {"$slice", -2}}}}}})
			require.NoError(t, err)
		}
		var stalled atomic.Bool
		stalled.Store(true)
		p.dst.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) mongotest.Fault {
			if stalled.Load() && (c.Name == "insert" || c.Name == "update" || c.Name == "delete") {
				return mongotest.Fault{DropRequest: true, Delay: time.Second}
			}
			return mongotest.Fault{}
		}})
		const memory = 32 << 20
		stop := p.work(l, func(c *shardworker.Config) { c.Memory, c.ReportInterval = memory, 100*time.Millisecond })
		id := shardferry.ShardID(p.src.Shards()[0])
		var most int64
		look := func(d time.Duration) {
			for range d / (100 * time.Millisecond) {
				most = max(most, l.reports()[id].Held)
				time.Sleep(100 * time.Millisecond)
			}
		}
		look(30 * time.Second)
		var asked atomic.Int64
		p.src.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) mongotest.Fault {
			if c.Name == "getMore" {
				asked.Add(1)
			}
			return mongotest.Fault{}
		}})
		look(30 * time.Second)
		assert.Zero(t, asked.Load(), "the stream is not read on")
		assert.Greater(t, most, int64(memory/4), "it reads ahead")
		stalled.Store(false)
		look(10 * time.Second)
		assert.LessOrEqual(t, most, int64(memory), "there are 80 MB to read")
		p.settle(l)
		assert.Equal(t, 400, p.requireEqual(notes))
		time.Sleep(time.Second)
		assert.Zero(t, l.reports()[id].Held, "all is given back")
		stop()
	})
}
