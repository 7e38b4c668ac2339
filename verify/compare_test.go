package verify_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/mongotest"
	"github.com/shardferry/shardferry/verify"
)

func pairs(colls ...string) (out []verify.Pair) {
	for _, c := range colls {
		out = append(out, verify.Pair{Source: ns(c), Destination: ns(c)})
	}
	return out
}

func compare(t *testing.T, cl []*mongo.Client, cfg verify.Config) verify.Report {
	t.Helper()
	cfg.Source, cfg.Destination = cl[0], cl[1]
	if cfg.Pairs == nil {
		cfg.Pairs = pairs("a")
	}
	r, err := verify.Compare(t.Context(), cfg)
	require.NoError(t, err)
	return r
}

// both runs a command or an insert on both clusters.
func both(t *testing.T, cl []*mongo.Client, cmds ...bson.D) {
	t.Helper()
	for _, c := range cmds {
		command(t, cl[0], c)
		command(t, cl[1], c)
	}
}

func numbers(from, to int) (docs []any) {
	for i := from; i < to; i++ {
		docs = append(docs, bson.D{{"_id", i}, {"x", fmt.Sprint("text ", i)}})
	}
	return docs
}

func TestEqualClusters(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			bubble(t, two(shards, shards), func(t *testing.T, cl []*mongo.Client) {
				if shards > 0 {
					for _, c := range cl {
						admin(t, c, bson.D{{"shardCollection", "d.a"}, {"key", bson.D{{"_id", "hashed"}}}})
					}
				}
				both(t, cl, bson.D{{"create", "empty"}}, bson.D{{"create", "v"}, {"viewOn", "a"}, {"pipeline", bson.A{}}})
				insert(t, cl[0], ns("a"), numbers(0, 500)...)
				insert(t, cl[1], ns("a"), numbers(0, 500)...)
				for _, batch := range []int{1, 7, 500, 0} {
					r := compare(t, cl, verify.Config{Pairs: pairs("a", "empty"), Views: pairs("v"), Still: true, Batch: batch})
					assert.True(t, r.Equal(), "%v", r.Differences)
					assert.Equal(t, int64(500), r.Documents)
					assert.Equal(t, int64(2), r.Collections)
					assert.Zero(t, r.Rechecked)
				}
			})
		})
	}
}

func TestEachDifferenceIsFoundAndNamed(t *testing.T) {
	set := func(t *testing.T, cl *mongo.Client, doc bson.D) {
		t.Helper()
		_, err := cl.Database("d").Collection("a").ReplaceOne(t.Context(), bson.D{{"_id", doc[0].Value}}, doc)
		require.NoError(t, err)
	}
	tests := []struct {
		name  string
		spoil func(t *testing.T, from, to *mongo.Client)
		want  []verify.Difference // without details
	}{
		{"missing", func(t *testing.T, _, to *mongo.Client) {
			_, err := to.Database("d").Collection("a").DeleteMany(t.Context(), bson.D{{"_id", bson.D{{"$in", bson.A{0, 33, 99}}}}})
			require.NoError(t, err)
		}, []verify.Difference{{Kind: verify.Missing, ID: `{"$numberInt":"0"}`}, {Kind: verify.Missing, ID: `{"$numberInt":"33"}`}, {Kind: verify.Missing, ID: `{"$numberInt":"99"}`}}},
		{"surplus", func(t *testing.T, _, to *mongo.Client) {
			insert(t, to, ns("a"), bson.D{{"_id", -5}}, bson.D{{"_id", 33.5}}, bson.D{{"_id", "z"}})
		}, []verify.Difference{{Kind: verify.Surplus, ID: `"z"`}, {Kind: verify.Surplus, ID: `{"$numberDouble":"33.5"}`}, {Kind: verify.Surplus, ID: `{"$numberInt":"-5"}`}}},
		{"bytes", func(t *testing.T, _, to *mongo.Client) {
			set(t, to, bson.D{{"_id", 7}, {"x", "other"}})
		}, []verify.Difference{{Kind: verify.Bytes, ID: `{"$numberInt":"7"}`}}},
		{"the type of a number", func(t *testing.T, from, to *mongo.Client) {
			set(t, from, bson.D{{"_id", 7}, {"x", int32(1)}})
			set(t, to, bson.D{{"_id", 7}, {"x", int64(1)}})
		}, []verify.Difference{{Kind: verify.Bytes, ID: `{"$numberInt":"7"}`}}},
		{"field order", func(t *testing.T, from, to *mongo.Client) {
			set(t, from, bson.D{{"_id", 7}, {"x", 1}, {"y", 2}})
			set(t, to, bson.D{{"_id", 7}, {"y", 2}, {"x", 1}})
		}, []verify.Difference{{Kind: verify.FieldOrder, ID: `{"$numberInt":"7"}`}}},
		{"options", func(t *testing.T, _, to *mongo.Client) {
			command(t, to, bson.D{{"collMod", "a"}, {"validator", bson.D{{"x", 1}}}, {"validationAction", "warn"}})
		}, []verify.Difference{{Kind: verify.Options}}},
		{"a missing index", func(t *testing.T, from, _ *mongo.Client) {
			command(t, from, bson.D{{"createIndexes", "a"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"x", 1}}}, {"name", "x_1"}}}}})
		}, []verify.Difference{{Kind: verify.Indexes, ID: "x_1"}}},
		{"a surplus index", func(t *testing.T, _, to *mongo.Client) {
			command(t, to, bson.D{{"createIndexes", "a"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"x", 1}}}, {"name", "x_1"}}}}})
		}, []verify.Difference{{Kind: verify.Indexes, ID: "x_1"}}},
		{"another index", func(t *testing.T, from, to *mongo.Client) {
			command(t, from, bson.D{{"createIndexes", "a"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"x", 1}}}, {"name", "x_1"}, {"unique", true}}}}})
			command(t, to, bson.D{{"createIndexes", "a"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"x", 1}}}, {"name", "x_1"}}}}})
		}, []verify.Difference{{Kind: verify.Indexes, ID: "x_1"}}},
		{"an unexpected collection", func(t *testing.T, _, to *mongo.Client) {
			command(t, to, bson.D{{"create", "b"}})
		}, []verify.Difference{{Kind: verify.Namespace}}},
		{"a view on one side", func(t *testing.T, from, _ *mongo.Client) {
			command(t, from, bson.D{{"create", "v"}, {"viewOn", "a"}, {"pipeline", bson.A{}}})
		}, []verify.Difference{{Kind: verify.Namespace}}},
	}
	bodies := func(r verify.Report) (out []verify.Difference) {
		for _, d := range r.Differences {
			assert.NotEmpty(t, d.Detail)
			out = append(out, verify.Difference{Kind: d.Kind, ID: d.ID})
		}
		return out
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, two(0, 0), func(t *testing.T, cl []*mongo.Client) {
				insert(t, cl[0], ns("a"), numbers(0, 100)...)
				insert(t, cl[1], ns("a"), numbers(0, 100)...)
				tt.spoil(t, cl[0], cl[1])
				for _, cfg := range []verify.Config{{Still: true}, {Still: true, Batch: 3}, {Still: true, Batch: 1, Parallel: 1}} {
					r := compare(t, cl, cfg)
					assert.Equal(t, tt.want, bodies(r))
					assert.Equal(t, int64(len(tt.want)), r.Total)
				}
			})
		})
	}
}

func TestAMissingCollectionIsNamedWithItsDocuments(t *testing.T) {
	bubble(t, two(0, 0), func(t *testing.T, cl []*mongo.Client) {
		insert(t, cl[0], ns("a"), numbers(0, 10)...)
		r := compare(t, cl, verify.Config{Still: true, Listed: 3})
		assert.Equal(t, int64(11), r.Total)
		assert.Len(t, r.Differences, 3)
		r = compare(t, []*mongo.Client{cl[1], cl[0]}, verify.Config{Still: true})
		assert.Equal(t, int64(11), r.Total)
	})
}

func TestShardKeysAreCompared(t *testing.T) {
	bubble(t, two(2, 2), func(t *testing.T, cl []*mongo.Client) {
		admin(t, cl[0], bson.D{{"shardCollection", "d.a"}, {"key", bson.D{{"k", 1}}}})
		command(t, cl[1], bson.D{{"create", "a"}})
		command(t, cl[1], bson.D{{"createIndexes", "a"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"k", 1}}}, {"name", "k_1"}}}}})
		r := compare(t, cl, verify.Config{Still: true})
		require.Len(t, r.Differences, 1)
		assert.Equal(t, verify.ShardKey, r.Differences[0].Kind)
		assert.True(t, compare(t, cl, verify.Config{Still: true, Unsharded: true}).Equal())
		admin(t, cl[1], bson.D{{"shardCollection", "d.a"}, {"key", bson.D{{"k", 1.0}}}})
		assert.True(t, compare(t, cl, verify.Config{Still: true}).Equal())
	})
}

// Two shards may each hold a document of one _id, and numbers that compare equal.
func TestDocumentsWithTheSameID(t *testing.T) {
	bubble(t, two(2, 2), func(t *testing.T, cl []*mongo.Client) {
		for _, c := range cl {
			admin(t, c, bson.D{{"shardCollection", "d.a"}, {"key", bson.D{{"k", 1}}}})
			admin(t, c, bson.D{{"split", "d.a"}, {"middle", bson.D{{"k", 0}}}})
			admin(t, c, bson.D{{"moveRange", "d.a"}, {"min", bson.D{{"k", 0}}}, {"max", bson.D{{"k", bson.MaxKey{}}}}, {"toShard", "shard1"}})
			admin(t, c, bson.D{{"moveRange", "d.a"}, {"min", bson.D{{"k", bson.MinKey{}}}}, {"max", bson.D{{"k", 0}}}, {"toShard", "shard0"}})
			for i := range 20 {
				insert(t, c, ns("a"), bson.D{{"_id", i}, {"k", -1}}, bson.D{{"_id", float64(i)}, {"k", 1}})
			}
			insert(t, c, ns("a"), bson.D{{"_id", 100}, {"k", -1}}, bson.D{{"_id", 100}, {"k", 1}})
		}
		for _, batch := range []int{1, 2, 3, 100} {
			r := compare(t, cl, verify.Config{Still: true, Batch: batch})
			assert.True(t, r.Equal(), "batch %d: %v", batch, r.Differences)
			assert.Equal(t, int64(42), r.Documents)
		}
		_, err := cl[1].Database("d").Collection("a").DeleteOne(t.Context(), bson.D{{"_id", 100}, {"k", 1}})
		require.NoError(t, err)
		r := compare(t, cl, verify.Config{Still: true, Batch: 2})
		require.Len(t, r.Differences, 1)
		assert.Contains(t, r.Differences[0].Detail, "source 2 documents")
	})
}

// Under a collation, documents whose _ids are held for equal are told apart, on
// one shard or on several, whichever of them a range ends at.
func TestDocumentsWithIdsHeldForEqual(t *testing.T) {
	bubble(t, two(3, 3), func(t *testing.T, cl []*mongo.Client) {
		names := []string{"h", "H", "\u0125"}
		for _, c := range cl {
			command(t, c, bson.D{{"create", "a"}, {"collation", bson.D{{"locale", "en"}, {"strength", 1}}}})
			admin(t, c, bson.D{{"shardCollection", "d.a"}, {"key", bson.D{{"k", 1}}}, {"collation", bson.D{{"locale", "simple"}}}})
			for k := 1; k < 3; k++ {
				admin(t, c, bson.D{{"split", "d.a"}, {"middle", bson.D{{"k", k}}}})
			}
			for k := range 3 {
				admin(t, c, bson.D{{"moveChunk", "d.a"}, {"find", bson.D{{"k", k}}}, {"to", fmt.Sprintf("shard%d", k)}})
				for i := range 20 {
					insert(t, c, ns("a"), bson.D{{"_id", fmt.Sprint(names[k], i)}, {"k", k}})
				}
			}
		}
		for _, batch := range []int{1, 2, 3, 100} {
			r := compare(t, cl, verify.Config{Still: true, Batch: batch})
			assert.True(t, r.Equal(), "batch %d: %v", batch, r.Differences)
			assert.Equal(t, int64(60), r.Documents)
		}
		coll := cl[1].Database("d").Collection("a")
		_, err := coll.DeleteOne(t.Context(), bson.D{{"_id", "h7"}, {"k", 0}})
		require.NoError(t, err)
		insert(t, cl[1], ns("a"), bson.D{{"_id", "H7"}, {"k", 0}})
		for _, batch := range []int{1, 2, 100} {
			r := compare(t, cl, verify.Config{Still: true, Batch: batch})
			var kinds []verify.Kind
			for _, d := range r.Differences {
				assert.Contains(t, d.ID, "7")
				kinds = append(kinds, d.Kind)
			}
			assert.ElementsMatch(t, []verify.Kind{verify.Missing, verify.Bytes}, kinds, "batch %d: h7 is missing, H7 is there twice", batch)
		}
	})
}

// However much more the destination holds, it is found, piece by piece.
func TestManySurplusDocuments(t *testing.T) {
	bubble(t, two(0, 0), func(t *testing.T, cl []*mongo.Client) {
		insert(t, cl[0], ns("a"), numbers(100, 110)...)
		insert(t, cl[1], ns("a"), numbers(0, 500)...)
		r := compare(t, cl, verify.Config{Still: true, Batch: 4, Listed: 1000})
		assert.Equal(t, int64(490), r.Total)
		assert.Equal(t, int64(10), r.Documents)
		for _, d := range r.Differences {
			assert.Equal(t, verify.Surplus, d.Kind)
		}
	})
}

// What the source has too but does not count there is surplus, however much it is.
func TestOnlyWhatMatchesAFilterCounts(t *testing.T) {
	bubble(t, two(0, 0), func(t *testing.T, cl []*mongo.Client) {
		filter, err := bson.Marshal(bson.D{{"_id", bson.D{{"$gte", 100}, {"$lt", 110}}}})
		require.NoError(t, err)
		insert(t, cl[0], ns("a"), numbers(0, 500)...)
		insert(t, cl[1], ns("a"), numbers(100, 110)...)
		cfg := verify.Config{Still: true, Batch: 4, Listed: 1000, Pairs: pairs("a")}
		cfg.Pairs[0].Filter = filter
		r := compare(t, cl, cfg)
		assert.True(t, r.Equal(), "%v", r.Differences)
		assert.Equal(t, int64(10), r.Documents)
		insert(t, cl[1], ns("a"), append(numbers(0, 100), numbers(110, 500)...)...)
		r = compare(t, cl, cfg)
		assert.Equal(t, int64(490), r.Total)
	})
}

func TestTheRelaxedFormIsAccepted(t *testing.T) {
	bubble(t, two(0, 0), func(t *testing.T, cl []*mongo.Client) {
		index := func(cl *mongo.Client, options ...bson.E) {
			command(t, cl, bson.D{{"createIndexes", "a"}, {"indexes", bson.A{append(bson.D{{"key", bson.D{{"x", 1}}}, {"name", "x_1"}}, options...)}}})
		}
		index(cl[0], bson.E{Key: "unique", Value: true}, bson.E{Key: "expireAfterSeconds", Value: 9999999})
		index(cl[1])
		command(t, cl[0], bson.D{{"create", "c"}, {"capped", true}, {"size", 4096}, {"max", 9}})
		command(t, cl[1], bson.D{{"create", "c"}, {"capped", true}, {"size", 1 << 30}})
		cfg := verify.Config{Pairs: pairs("a", "c"), Still: true}
		assert.Equal(t, int64(2), compare(t, cl, cfg).Total)
		cfg.Relaxed = true
		assert.True(t, compare(t, cl, cfg).Equal())
	})
}

// Of two indexes that differ only in one being unique a server takes the second
// only when the first is unique: until then one of them is missing.
func TestAnIndexThatWaitsForItsTwinIsNotMissed(t *testing.T) {
	bubble(t, two(0, 0), func(t *testing.T, cl []*mongo.Client) {
		index := func(cl *mongo.Client, field, name string, options ...bson.E) {
			command(t, cl, bson.D{{"createIndexes", "a"}, {"indexes", bson.A{append(bson.D{{"key", bson.D{{field, 1}}}, {"name", name}}, options...)}}})
		}
		index(cl[0], "x", "plain")
		index(cl[0], "x", "unique", bson.E{Key: "unique", Value: true})
		index(cl[1], "x", "unique")
		cfg := verify.Config{Pairs: pairs("a"), Still: true}
		assert.Equal(t, int64(2), compare(t, cl, cfg).Total, "in the end both are there, and one is unique")
		cfg.Relaxed = true
		assert.True(t, compare(t, cl, cfg).Equal())

		index(cl[0], "x", "sparse", bson.E{Key: "sparse", Value: true})
		index(cl[0], "y", "other")
		assert.Equal(t, int64(2), compare(t, cl, cfg).Total, "these have no twin")
	})
}

// Documents that are written all the time, and reach the destination a little
// later, are no differences; one that never arrives is.
func TestConcurrentWritesAreFollowed(t *testing.T) {
	bubble(t, two(0, 0), func(t *testing.T, cl []*mongo.Client) {
		insert(t, cl[0], ns("a"), numbers(0, 50)...)
		insert(t, cl[1], ns("a"), numbers(0, 50)...)
		_, err := cl[1].Database("d").Collection("a").DeleteOne(t.Context(), bson.D{{"_id", 49}})
		require.NoError(t, err)
		stop, stopped := make(chan struct{}), make(chan struct{})
		write := func(c *mongo.Client, id, v int) {
			_, err := c.Database("d").Collection("a").UpdateOne(t.Context(), bson.D{{"_id", id}}, bson.D{{"$set", bson.D{{"v", v}}}})
			assert.NoError(t, err)
		}
		go func() {
			defer close(stopped)
			for v := 0; ; v++ {
				select {
				case <-stop:
					return
				case <-time.After(300 * time.Millisecond):
				}
				write(cl[0], 5, v)      // hot, and always behind on the destination
				write(cl[1], 5, v-1)    //
				write(cl[0], 10+v%5, v) // changes now and then
				if v >= 5 {
					write(cl[1], 10+v%5, v-5)
				}
			}
		}()
		time.Sleep(2 * time.Second)
		r := compare(t, cl, verify.Config{})
		close(stop)
		<-stopped
		require.Len(t, r.Differences, 1, "%v", r.Differences)
		assert.JSONEq(t, `{"$numberInt":"49"}`, r.Differences[0].ID)
		assert.Positive(t, r.Changing)
		assert.Positive(t, r.Rechecked)
	})
}

// A schema change reaches one side before the other.
func TestSchemaChangesAreFollowed(t *testing.T) {
	bubble(t, two(0, 0), func(t *testing.T, cl []*mongo.Client) {
		command(t, cl[0], bson.D{{"create", "a"}})
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(1500 * time.Millisecond)
			assert.NoError(t, cl[1].Database("d").RunCommand(t.Context(), bson.D{{"create", "a"}}).Err())
		}()
		assert.True(t, compare(t, cl, verify.Config{}).Equal())
		<-done
		command(t, cl[0], bson.D{{"create", "b"}})
		r := compare(t, cl, verify.Config{Pairs: pairs("a", "b")})
		require.Len(t, r.Differences, 1)
		assert.Equal(t, verify.Namespace, r.Differences[0].Kind)
	})
}

// Reads say how new they must be, and come from a majority.
func TestReadsHonourTheirTimes(t *testing.T) {
	disturbed(t, two(0, 2), func(t *testing.T, cl []*mongo.Client, clusters []*mongotest.Cluster) {
		for _, c := range cl {
			insert(t, c, ns("a"), numbers(0, 10)...)
		}
		_, err := cl[1].Database("d").Collection("a").DeleteOne(t.Context(), bson.D{{"_id", 3}})
		require.NoError(t, err)
		var after [2]shardferry.ClusterTime
		var seen [2]atomic.Int64
		for i, c := range cl {
			reply, err := c.Database("d").RunCommand(t.Context(), bson.D{{"ping", 1}}).Raw()
			require.NoError(t, err)
			after[i].T, after[i].I = reply.Lookup("operationTime").Timestamp()
			clusters[i].SetFaults(mongotest.Faults{Command: func(cmd mongotest.Command) mongotest.Fault {
				if cmd.Name == "find" && cmd.DB == "d" {
					concern, _ := cmd.Body.Lookup("readConcern").DocumentOK()
					assert.Equal(t, "majority", concern.Lookup("level").StringValue())
					var at shardferry.ClusterTime
					at.T, at.I = concern.Lookup("afterClusterTime").Timestamp()
					assert.False(t, at.Before(after[i]), "%v before %v", at, after[i])
					seen[i].Add(1)
				}
				return mongotest.Fault{}
			}})
		}
		r := compare(t, cl, verify.Config{Still: true, SourceAfter: after[0], DestinationAfter: after[1]})
		assert.Equal(t, int64(1), r.Total)
		assert.Equal(t, int64(2), seen[0].Load(), "a reading and a second one")
		assert.Equal(t, int64(2), seen[1].Load())
	})
}

func TestConfigIsChecked(t *testing.T) {
	_, err := verify.Compare(t.Context(), verify.Config{})
	require.ErrorContains(t, err, "required")
}
