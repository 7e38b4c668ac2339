package verify_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/mongotest"
	"github.com/shardferry/shardferry/verify"
)

// logs makes a capped collection on both clusters.
func logs(t *testing.T, cl []*mongo.Client) {
	t.Helper()
	both(t, cl, bson.D{{"create", "log"}, {"capped", true}, {"size", 1 << 20}})
}

func remove(t *testing.T, cl *mongo.Client, id any) {
	t.Helper()
	_, err := cl.Database("d").Collection("log").DeleteOne(t.Context(), bson.D{{"_id", id}})
	require.NoError(t, err)
}

// The documents of a capped collection must come in the same order on both sides.
// One that is on one side only is one difference, and not a second one.
func TestTheOrderOfACappedCollectionIsCompared(t *testing.T) {
	reversed := func(from, to int) []any {
		docs := numbers(from, to)
		slices.Reverse(docs)
		return docs
	}
	tests := []struct {
		name  string
		there func(t *testing.T, to *mongo.Client)
		want  []verify.Difference // without details
	}{
		{"the same", func(t *testing.T, to *mongo.Client) { insert(t, to, ns("log"), numbers(0, 20)...) }, nil},
		{"the other way round", func(t *testing.T, to *mongo.Client) {
			insert(t, to, ns("log"), reversed(0, 20)...)
		}, []verify.Difference{{Kind: verify.Order, ID: `{"$numberInt":"0"}`}}},
		{"the last two", func(t *testing.T, to *mongo.Client) {
			insert(t, to, ns("log"), append(numbers(0, 18), reversed(18, 20)...)...)
		}, []verify.Difference{{Kind: verify.Order, ID: `{"$numberInt":"18"}`}}},
		{"some are missing", func(t *testing.T, to *mongo.Client) {
			insert(t, to, ns("log"), numbers(3, 20)...)
			remove(t, to, 9)
		}, []verify.Difference{
			{Kind: verify.Missing, ID: `{"$numberInt":"0"}`},
			{Kind: verify.Missing, ID: `{"$numberInt":"1"}`},
			{Kind: verify.Missing, ID: `{"$numberInt":"2"}`},
			{Kind: verify.Missing, ID: `{"$numberInt":"9"}`},
		}},
		{"one more, and another order after it", func(t *testing.T, to *mongo.Client) {
			insert(t, to, ns("log"), append(append([]any{bson.D{{"_id", -1}}}, numbers(0, 10)...), reversed(10, 20)...)...)
		}, []verify.Difference{{Kind: verify.Order, ID: `{"$numberInt":"10"}`}, {Kind: verify.Surplus, ID: `{"$numberInt":"-1"}`}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, two(0, 2), func(t *testing.T, cl []*mongo.Client) {
				logs(t, cl)
				insert(t, cl[0], ns("log"), numbers(0, 20)...)
				tt.there(t, cl[1])
				for _, cfg := range []verify.Config{{Still: true}, {Still: true, Batch: 3}, {Still: true, Batch: 1}, {}} {
					cfg.Pairs, cfg.Unsharded = pairs("log"), true
					r := compare(t, cl, cfg)
					var got []verify.Difference
					for _, d := range r.Differences {
						assert.NotEmpty(t, d.Detail)
						got = append(got, verify.Difference{Kind: d.Kind, ID: d.ID})
					}
					assert.ElementsMatch(t, tt.want, got, "%+v", cfg)
					assert.Equal(t, int64(len(tt.want)), r.Total)
				}
			})
		})
	}
}

// A source that is written to, and that throws out its oldest documents, has
// another order than the destination for a while only.
func TestTheOrderOfALivingCollectionIsFollowed(t *testing.T) {
	bubble(t, two(0, 0), func(t *testing.T, cl []*mongo.Client) {
		logs(t, cl)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for i := 0; ; i++ {
				for lag, c := range cl { // the destination is one behind
					if n := i - lag; n >= 0 {
						coll := c.Database("d").Collection("log")
						_, err := coll.DeleteOne(t.Context(), bson.D{{"_id", n % 50}})
						assert.NoError(t, err)
						_, err = coll.InsertOne(t.Context(), bson.D{{"_id", n % 50}, {"n", n}})
						assert.NoError(t, err)
					}
				}
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		}()
		time.Sleep(10 * time.Second)
		for _, batch := range []int{0, 7} {
			r := compare(t, cl, verify.Config{Pairs: pairs("log"), Batch: batch})
			assert.True(t, r.Equal(), "%v", r.Differences)
		}
		close(stop)
		<-stopped
	})
}

// What cannot be read is an error, not an order.
func TestAnOrderThatCannotBeReadIsAnError(t *testing.T) {
	for _, still := range []bool{true, false} {
		disturbed(t, two(0, 0), func(t *testing.T, cl []*mongo.Client, clusters []*mongotest.Cluster) {
			logs(t, cl)
			insert(t, cl[0], ns("log"), numbers(0, 20)...)
			insert(t, cl[1], ns("log"), numbers(0, 20)...)
			lost := 0
			clusters[0].SetFaults(mongotest.Faults{Command: func(c mongotest.Command) mongotest.Fault {
				hint, _ := c.Body.Lookup("hint").DocumentOK()
				if natural, err := hint.LookupErr("$natural"); c.Name == "find" && err == nil && natural.IsNumber() && (still || lost < 2) {
					lost++
					return mongotest.Fault{Error: &mongotest.ServerError{Code: 136, Message: "CappedPositionLost"}}
				}
				return mongotest.Fault{}
			}})
			r, err := verify.Compare(t.Context(), verify.Config{Source: cl[0], Destination: cl[1], Pairs: pairs("log"), Still: still, Batch: 5})
			if still {
				require.ErrorContains(t, err, "verify the order of d.log")
				return
			}
			require.NoError(t, err, "it was overwritten while it was read, and is read again")
			assert.True(t, r.Equal())
			assert.Equal(t, 2, lost)
		})
	}
}
