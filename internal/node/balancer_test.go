package node_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
)

// moved counts the chunks that the source has moved so far.
func (s *stage) moved() int64 {
	s.t.Helper()
	n, err := s.from.Database("config").Collection("changelog").CountDocuments(s.t.Context(), bson.D{{"what", "moveChunk.commit"}})
	require.NoError(s.t, err)
	return n
}

// A balancer that is kept evens out a collection that lay on one shard, while it
// is copied, while it streams, and in the commit. Nothing is lost, and it still
// runs afterwards.
func TestABalancerThatIsKept(t *testing.T) {
	for _, dst := range testedSizes {
		t.Run(fmt.Sprintf("onto %d shards", dst), func(t *testing.T) {
			play(t, setting{srcShards: 3, dstShards: dst, batchDocs: 5}, func(t *testing.T, s *stage) {
				s.command(s.from, bson.D{{"enableSharding", "d"}, {"primaryShard", s.src.Shards()[0]}})
				s.command(s.from, bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"x", 1}}}})
				s.command(s.from, bson.D{{"configureCollectionBalancing", "d.c"}, {"chunkSize", 1}})
				pad := strings.Repeat("x", 50_000)
				fill := func(from int) { // 4.5 MB, in one chunk at first
					for i := from; i < from+90; i++ {
						key := bson.D{{"_id", i}, {"x", i}}
						_, err := s.app.Database("d").Collection("c").ReplaceOne(t.Context(), key, append(key, bson.E{Key: "pad", Value: pad}), options.Replace().SetUpsert(true))
						require.NoError(t, err)
					}
				}
				fill(0)
				s.command(s.from, bson.D{{"balancerStart", 1}})
				quick := s.slowCopy(time.Second)
				s.up()
				require.NoError(t, s.node.Start(t.Context(), api.StartRequest{Source: "cluster0", Destination: "cluster1", KeepBalancer: true}, "test"))
				e := s.editor()
				for range 20 {
					e.edit(5)
					time.Sleep(time.Second)
				}
				copying := s.moved()
				assert.Positive(t, copying, "in the copy")
				quick()
				s.stream()
				fill(1000)
				for range 30 {
					e.edit(5)
					time.Sleep(time.Second)
				}
				streaming := s.moved()
				assert.Greater(t, streaming, copying, "in the stream")
				fill(2000)
				s.passes()
				s.commit()
				s.reach(shardferry.StateCommitted)
				s.equal()
				assert.True(t, balances(t, s.from))
				if dst > 0 {
					assert.False(t, balances(t, s.to))
				}
			})
		})
	}
}
