package topology_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/mongotest"
	"github.com/shardferry/shardferry/topology"
)

// populate makes one of everything on a cluster; sharded says of what kind.
func populate(t *testing.T, cl *mongo.Client, sharded bool) {
	t.Helper()
	command(t, cl, bson.D{{"create", "plain"}, {"validator", bson.D{{"x", bson.D{{"$gte", 0}}}}}})
	insert(t, cl, ns("plain"), bson.D{{"_id", 1}, {"x", 1}}, bson.D{{"_id", 2}, {"x", 2}})
	command(t, cl, bson.D{{"createIndexes", "plain"}, {"indexes", bson.A{
		bson.D{{"key", bson.D{{"x", 1}}}, {"name", "x_1"}, {"unique", true}},
		bson.D{{"key", bson.D{{"at", 1}}}, {"name", "at_1"}, {"expireAfterSeconds", 60}},
		bson.D{{"key", bson.D{{"h", 1}}}, {"name", "h_1"}, {"hidden", true}},
	}}})
	command(t, cl, bson.D{{"create", "capped"}, {"capped", true}, {"size", 4096}, {"max", 3}})
	command(t, cl, bson.D{{"create", "view"}, {"viewOn", "plain"}, {"pipeline", bson.A{bson.D{{"$match", bson.D{{"x", 1}}}}}}})
	if !sharded {
		return
	}
	admin(t, cl, bson.D{{"addShardToZone", "shard1"}, {"zone", "cold"}})
	admin(t, cl, bson.D{{"shardCollection", "d.ranged"}, {"key", bson.D{{"k", 1}}}})
	command(t, cl, bson.D{{"createIndexes", "ranged"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"y", 1}}}, {"name", "y_1"}}}}})
	admin(t, cl, bson.D{{"shardCollection", "d.hashed"}, {"key", bson.D{{"_id", "hashed"}}}})
	admin(t, cl, bson.D{{"shardCollection", "d.unique"}, {"key", bson.D{{"u", 1}}}, {"unique", true}})
	for i := range 3 {
		admin(t, cl, bson.D{{"split", "d.ranged"}, {"middle", bson.D{{"k", 10 * i}}}})
	}
	for i := range 2 {
		admin(t, cl, bson.D{{"moveRange", "d.ranged"}, {"min", bson.D{{"k", 10 * i}}}, {"max", bson.D{{"k", 10*i + 10}}}, {"toShard", fmt.Sprintf("shard%d", 1-i)}})
	}
	admin(t, cl, bson.D{{"updateZoneKeyRange", "d.ranged"}, {"min", bson.D{{"k", 0}}}, {"max", bson.D{{"k", 10}}}, {"zone", "cold"}})
}

func TestDiscover(t *testing.T) {
	for name, shards := range map[string]int{"replica set": 0, "sharded": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, one(shards), func(t *testing.T, cl []*mongo.Client) {
				populate(t, cl[0], shards > 0)
				c := discover(t, cl[0])
				assert.Equal(t, topology.Version{Major: 8, Minor: 0, Patch: 4}, c.Version)
				assert.Len(t, c.Shards, max(shards, 1))
				assert.NotEmpty(t, c.ID)
				require.Len(t, c.Databases, 1)
				assert.Equal(t, topology.TypeView, find(t, c, ns("view")).Type)
				assert.True(t, find(t, c, ns("capped")).Capped())
				plain := find(t, c, ns("plain"))
				assert.Len(t, plain.Indexes, 3, "without that on _id")
				assert.Equal(t, int64(2), plain.Stats.Docs)
				assert.Positive(t, plain.Stats.Bytes)
				assert.False(t, plain.UUID.IsZero())
				if shards == 0 {
					assert.Len(t, c.Collections, 3)
					return
				}
				assert.Len(t, c.Collections, 6)
				ranged := find(t, c, ns("ranged"))
				assert.Len(t, ranged.Chunks, 4)
				assert.Len(t, ranged.Zones, 1)
				assert.True(t, find(t, c, ns("unique")).Unique)
				assert.Equal(t, []string{"cold"}, c.Shards[1].Zones)
			})
		})
	}
}

// The time that comes with a stable reading lies after everything that was read
// and before everything that comes later.
func TestDiscoverStableComesWithATime(t *testing.T) {
	for name, shards := range map[string]int{"replica set": 0, "sharded": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, one(shards), func(t *testing.T, cl []*mongo.Client) {
				populate(t, cl[0], shards > 0)
				before := operationTime(t, cl[0])
				c, at, err := topology.DiscoverStable(t.Context(), cl[0])
				require.NoError(t, err)
				assert.Equal(t, discover(t, cl[0]), c)
				insert(t, cl[0], ns("plain"), bson.D{{"_id", 77}, {"x", 77}})
				after := operationTime(t, cl[0])
				assert.False(t, at.Before(before), "%v before %v", at, before)
				assert.True(t, at.Before(after), "%v not before %v", at, after)
			})
		})
	}
}

func operationTime(t *testing.T, cl *mongo.Client) shardferry.ClusterTime {
	t.Helper()
	reply, err := cl.Database("d").RunCommand(t.Context(), bson.D{{"find", "plain"}, {"limit", 1}, {"singleBatch", true}}).Raw()
	require.NoError(t, err)
	var at shardferry.ClusterTime
	at.T, at.I = reply.Lookup("operationTime").Timestamp()
	return at
}

// What is created is what was planned, whatever an earlier attempt did, and in
// its relaxed form.
func TestCreate(t *testing.T) {
	for _, tt := range []struct{ from, to int }{{0, 0}, {2, 2}, {2, 3}, {2, 0}, {0, 2}} {
		t.Run(fmt.Sprintf("%d to %d shards", tt.from, tt.to), func(t *testing.T) {
			bubble(t, two(tt.from, tt.to), func(t *testing.T, cl []*mongo.Client) {
				populate(t, cl[0], tt.from > 0)
				src, dst := discover(t, cl[0]), discover(t, cl[1])
				for _, p := range topology.Check(src, dst) {
					require.False(t, p.Fatal, p)
				}
				require.NoError(t, topology.StopBalancer(t.Context(), cl[1], dst))
				plan, err := topology.MakePlan(src, dst)
				require.NoError(t, err)
				for range 2 {
					require.NoError(t, topology.Create(t.Context(), cl[1], plan, quiet))
				}
				made := discover(t, cl[1])
				require.Len(t, made.Collections, len(src.Collections))
				for _, want := range plan.Collections {
					got := find(t, made, want.NS)
					assert.Equal(t, want.ShardKey, got.ShardKey)
					assert.Equal(t, want.Unique, got.Unique)
					assert.Equal(t, want.Zones, got.Zones)
					if want.NS != ns("hashed") { // begins with more chunks of its own
						assert.Equal(t, append([]topology.Chunk{}, want.Chunks...), append([]topology.Chunk{}, got.Chunks...), want.NS)
					}
				}
				capped := find(t, made, ns("capped"))
				_, limited := capped.Option("max")
				assert.False(t, limited, "loose until the commit")
				assert.Equal(t, find(t, src, ns("view")).Options, find(t, made, ns("view")).Options)
				assert.NotEmpty(t, topology.Check(src, made), "it is not empty any more")

				for range 2 {
					finish(t, cl[1], plan)
				}
				final := discover(t, cl[1])
				for _, want := range plan.Collections {
					got := find(t, final, want.NS)
					assert.Equal(t, topology.NormalOptions(want.Options), topology.NormalOptions(got.Options), want.NS)
					require.Len(t, got.Indexes, len(want.Indexes), want.NS)
					for _, spec := range want.Indexes {
						assert.True(t, topology.SameIndex(spec, index(got, topology.IndexName(spec))), "%s of %s", spec, want.NS)
					}
				}
			})
		})
	}
}

// finish builds the indexes in relaxed form and gives everything its final one.
func finish(t *testing.T, cl *mongo.Client, plan *topology.Plan) {
	t.Helper()
	for _, ix := range plan.Indexes() {
		// A leader that lost its record builds again, even what is final since.
		have, err := topology.Discover(t.Context(), cl)
		require.NoError(t, err)
		if index(find(t, have, ix.NS), topology.IndexName(ix.Spec)) == nil {
			require.NoError(t, topology.BuildIndexes(t.Context(), cl, ix.NS, []bson.Raw{topology.RelaxIndex(ix.Spec)}))
		}
		require.NoError(t, topology.BuildIndexes(t.Context(), cl, ix.NS, nil))
		require.NoError(t, topology.FinishIndex(t.Context(), cl, ix.NS, ix.Spec))
	}
	for _, l := range plan.Limits() {
		require.NoError(t, topology.FinishLimit(t.Context(), cl, l))
	}
}

// Whatever command an attempt is interrupted at, before it or before its reply,
// the next attempt completes the work.
func TestCreateAfterInterruptions(t *testing.T) {
	for stop := 1; stop < 60; stop += 4 {
		disturbed(t, two(2, 2), func(t *testing.T, cl []*mongo.Client, clusters []*mongotest.Cluster) {
			populate(t, cl[0], true)
			plan, err := topology.MakePlan(discover(t, cl[0]), discover(t, cl[1]))
			require.NoError(t, err)
			ctx, crash := context.WithCancel(t.Context())
			defer crash()
			var sent atomic.Int64
			clusters[1].SetFaults(mongotest.Faults{Command: func(c mongotest.Command) (f mongotest.Fault) {
				if c.Name != "hello" && sent.Add(1) >= int64(stop) {
					crash()
					f.DropReply, f.DropRequest = stop%8 < 4, stop%8 >= 4
				}
				return f
			}})
			err = topology.Create(ctx, cl[1], plan, quiet)
			clusters[1].SetFaults(mongotest.Faults{})
			assert.Equal(t, sent.Load() >= int64(stop), err != nil)
			require.NoError(t, topology.Create(t.Context(), cl[1], plan, quiet))
			made := discover(t, cl[1])
			require.Len(t, made.Collections, 6)
			for _, want := range plan.Collections {
				if got := find(t, made, want.NS); want.NS != ns("hashed") {
					assert.Equal(t, want.ShardKey, got.ShardKey)
					assert.Equal(t, append([]topology.Chunk{}, want.Chunks...), append([]topology.Chunk{}, got.Chunks...), "stopped at %d", stop)
				}
			}
		})
	}
}

func TestANamespaceThatAnotherProgramTookIsRefused(t *testing.T) {
	bubble(t, two(0, 0), func(t *testing.T, cl []*mongo.Client) {
		populate(t, cl[0], false)
		plan, err := topology.MakePlan(discover(t, cl[0]), discover(t, cl[1]))
		require.NoError(t, err)
		command(t, cl[1], bson.D{{"create", "capped"}})
		require.ErrorIs(t, topology.Create(t.Context(), cl[1], plan, quiet), topology.ErrOccupied)
	})
}

// The balancer stays as it is on a cluster where it is stopped, and a replica
// set has none.
func TestStopBalancer(t *testing.T) {
	bubble(t, two(0, 2), func(t *testing.T, cl []*mongo.Client) {
		for range 2 {
			for _, c := range cl {
				require.NoError(t, topology.StopBalancer(t.Context(), c, discover(t, c)))
			}
		}
		assert.False(t, discover(t, cl[1]).BalancerOn)
	})
}

func TestSplitPoints(t *testing.T) {
	for name, shards := range map[string]int{"replica set": 0, "sharded": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, one(shards), func(t *testing.T, cl []*mongo.Client) {
				var docs []any
				for i := range 1000 {
					docs = append(docs, bson.D{{"_id", i}})
				}
				insert(t, cl[0], ns("plain"), docs...)
				cuts, err := topology.SplitPoints(t.Context(), cl[0], ns("plain"), 4)
				require.NoError(t, err)
				require.Len(t, cuts, 3)
				last := int32(-1)
				for i, c := range cuts {
					id := c.Lookup("_id").Int32()
					assert.Greater(t, id, last)
					assert.InDelta(t, 250*(i+1), id, 200)
					last = id
				}
				none, err := topology.SplitPoints(t.Context(), cl[0], ns("empty"), 4)
				require.NoError(t, err)
				assert.Empty(t, none)
			})
		})
	}
}

func TestAnIndexThatCannotBeUniqueNamesTheDocuments(t *testing.T) {
	for name, shards := range map[string]int{"replica set": 0, "sharded": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, one(shards), func(t *testing.T, cl []*mongo.Client) {
				insert(t, cl[0], ns("plain"), bson.D{{"_id", 11}, {"x", 1}}, bson.D{{"_id", 12}, {"x", 1}}, bson.D{{"_id", 13}, {"x", 2}})
				spec := raw(t, bson.D{{"v", 2}, {"key", bson.D{{"x", 1}}}, {"name", "x_1"}, {"unique", true}})
				require.NoError(t, topology.BuildIndexes(t.Context(), cl[0], ns("plain"), []bson.Raw{topology.RelaxIndex(spec)}))
				err := topology.FinishIndex(t.Context(), cl[0], ns("plain"), spec)
				require.ErrorContains(t, err, "x_1 of d.plain cannot be made unique")
				require.ErrorContains(t, err, "11")
				require.ErrorContains(t, err, "12")
				// The sync goes on: what is applied may share values for a while.
				insert(t, cl[0], ns("plain"), bson.D{{"_id", 14}, {"x", 2}})
				_, err = cl[0].Database("d").Collection("plain").DeleteMany(t.Context(), bson.D{{"_id", bson.D{{"$in", bson.A{12, 14}}}}})
				require.NoError(t, err)
				require.NoError(t, topology.FinishIndex(t.Context(), cl[0], ns("plain"), spec))
			})
		})
	}
}
