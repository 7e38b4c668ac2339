package node_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/mongotest"
)

// The largest collections get their indexes first, three collections at a time.
func TestTheLargestGetTheirIndexesFirst(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		for i, n := range []int{1, 40, 3, 50, 2, 60, 30} {
			coll := s.app.Database("d").Collection(fmt.Sprintf("of%d", n))
			var docs []bson.D
			for id := range n {
				docs = append(docs, bson.D{{"_id", id}, {"x", i}})
			}
			_, err := coll.InsertMany(t.Context(), docs)
			require.NoError(t, err)
			_, err = coll.Indexes().CreateMany(t.Context(), []mongo.IndexModel{{Keys: bson.D{{"x", 1}}}, {Keys: bson.D{{"y", 1}}}})
			require.NoError(t, err)
		}
		var mu sync.Mutex
		var order []string
		at := map[time.Time]int{}
		s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
			if on != s.dst || !ours(c) || c.Name != "createIndexes" {
				return mongotest.Fault{}
			}
			mu.Lock()
			defer mu.Unlock()
			order = append(order, c.Body.Lookup("createIndexes").StringValue())
			at[time.Now().Truncate(2*time.Second)]++
			return mongotest.Fault{Delay: 5 * time.Second}
		})
		s.start()
		s.stream()
		for _, n := range at {
			assert.LessOrEqual(t, n, 3)
		}
		for part := range slices.Chunk(order, 3) {
			slices.Sort(part)
		}
		assert.Equal(t, []string{"of40", "of50", "of60", "of2", "of3", "of30", "of1"}, order)
		s.equal()
	})
}
