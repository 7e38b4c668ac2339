package node_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/mongotest"
)

// A chunk that the balancer moves while the sync is being planned does not put
// the events of its documents out of order.
func TestTheBalancerStopsBeforeThePlan(t *testing.T) {
	bubble(t, 2, 0, func(t *testing.T, s *stage) {
		s.command(s.from, bson.D{{"balancerStart", 1}})
		s.command(s.from, bson.D{{"enableSharding", "d"}, {"primaryShard", s.src.Shards()[0]}})
		s.command(s.from, bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"x", 1}}}})
		coll := s.from.Database("d").Collection("c")
		for i := range 20 {
			_, err := coll.InsertOne(t.Context(), bson.D{{"_id", i}, {"x", i}, {"v", 0}})
			require.NoError(t, err)
		}
		write := func(v int) {
			for i := range 20 {
				_, err := coll.ReplaceOne(t.Context(), bson.D{{"_id", i}, {"x", i}}, bson.D{{"_id", i}, {"x", i}, {"v", v}})
				require.NoError(t, err)
			}
		}
		var once sync.Once
		s.dst.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) mongotest.Fault {
			if c.Name == "create" { // the plan is made, no worker runs yet
				once.Do(func() {
					// What a balancer does, as long as nobody has stopped it.
					status, err := s.from.Database("admin").RunCommand(t.Context(), bson.D{{"balancerStatus", 1}}).Raw()
					if err != nil || status.Lookup("mode").StringValue() == "off" {
						return
					}
					write(1)
					s.command(s.from, bson.D{{"moveChunk", "d.c"}, {"find", bson.D{{"x", 1}}}, {"to", s.src.Shards()[1]}})
					write(2)
				})
			}
			return mongotest.Fault{}
		}})
		// The worker of the old owner is late.
		first := s.src.Shards()[0]
		s.src.SetFaults(mongotest.Faults{Route: func(c mongotest.Command) mongotest.Fault {
			if (c.Name == "aggregate" || c.Name == "getMore") && strings.Contains(c.Addr, first) {
				return mongotest.Fault{Delay: 2 * time.Second}
			}
			return mongotest.Fault{}
		}})
		s.start()
		time.Sleep(30 * time.Second)
		s.src.SetFaults(mongotest.Faults{})
		assert.ElementsMatch(t, docs(t, s.from), docs(t, s.to))
		s.commit()
		s.reach(shardferry.StateCommitted)
	})
}

// A transaction that is open when the source is blocked is on the destination if
// it is committed, however late.
func TestACommitWaitsForOpenTransactions(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			bubble(t, shards, shards, func(t *testing.T, s *stage) {
				coll := s.app.Database("d").Collection("c")
				for i := range 20 {
					_, err := coll.InsertOne(t.Context(), bson.D{{"_id", i}})
					require.NoError(t, err)
				}
				s.start()
				time.Sleep(10 * time.Second)
				sess, err := s.app.StartSession()
				require.NoError(t, err)
				defer sess.EndSession(t.Context())
				require.NoError(t, sess.StartTransaction())
				sctx := mongo.NewSessionContext(t.Context(), sess)
				_, err = coll.InsertOne(sctx, bson.D{{"_id", "late"}})
				require.NoError(t, err)
				s.commit()
				time.Sleep(3 * time.Second)
				committed := sess.CommitTransaction(sctx)
				t.Logf("the transaction ended with %v", committed)
				s.reach(shardferry.StateCommitted)
				if committed == nil {
					assert.Contains(t, strings.Join(docs(t, s.to), " "), "late")
				}
				assert.ElementsMatch(t, docs(t, s.from), docs(t, s.to))
			})
		})
	}
}

// A schema change that cannot be carried over stops the sync, and once it is
// undone on the source the sync goes on.
func TestAnUnsupportedSchemaChangeCanBeUndone(t *testing.T) {
	for _, tt := range []struct {
		name   string
		option bson.E
		says   string
	}{
		{"queryable encryption", bson.E{Key: "encryptedFields", Value: bson.D{{"fields", bson.A{}}}}, "d.names uses queryable encryption"},
		{"time series", bson.E{Key: "timeseries", Value: bson.D{{"timeField", "at"}}}, "d.names is a time-series collection"},
	} {
		for _, shards := range []int{0, 2} {
			t.Run(fmt.Sprintf("%s, %d shards", tt.name, shards), func(t *testing.T) {
				bubble(t, shards, shards, func(t *testing.T, s *stage) {
					_, err := s.from.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
					require.NoError(t, err)
					s.start()
					time.Sleep(10 * time.Second)
					require.NoError(t, s.from.Database("d").RunCommand(t.Context(), bson.D{{"create", "names"}, tt.option}).Err())
					_, err = s.from.Database("d").Collection("names").InsertOne(t.Context(), bson.D{{"_id", 1}, {"at", time.Now()}})
					require.NoError(t, err)
					assert.Contains(t, s.reach(shardferry.StatePaused).Hold, tt.says)
					require.NoError(t, s.from.Database("d").Collection("names").Drop(t.Context()))
					require.NoError(t, s.node.Resume(t.Context(), "test"))
					time.Sleep(10 * time.Second)
					s.commit()
					s.reach(shardferry.StateCommitted)
				})
			})
		}
	}
}
