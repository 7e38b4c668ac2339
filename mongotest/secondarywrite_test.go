package mongotest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/shardferry/shardferry/mongotest"
)

// What $out and $merge read comes from the member that was asked, and what they
// write goes to the primary.
func TestASecondaryLetsThePrimaryWriteTheResultsOfAPipeline(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		ctx := t.Context()
		require.NoError(t, s.insert(1))
		s.lag(s.addrs[1])
		require.NoError(t, s.insert(2))
		direct, err := mongo.Connect(options.Client().SetHosts(s.addrs[1:2]).SetDirect(true).SetDialer(s.c.Dialer()))
		require.NoError(t, err)
		defer func() { assert.NoError(t, direct.Disconnect(ctx)) }()
		run := func(stage bson.D, mode string) error {
			return direct.Database("d").RunCommand(ctx, bson.D{
				{"aggregate", "c"},
				{"pipeline", bson.A{stage}},
				{"cursor", bson.D{}},
				{"writeConcern", bson.D{{"w", 1}}},
				{"$readPreference", bson.D{{"mode", mode}}},
			}).Err()
		}
		count := func(coll string) int64 {
			n, err := s.cl.Database("d").Collection(coll).CountDocuments(ctx, bson.D{})
			require.NoError(t, err)
			return n
		}
		require.NoError(t, run(bson.D{{"$out", "o"}}, "secondaryPreferred"))
		assert.EqualValues(t, 1, count("o"), "the secondary is behind")
		require.NoError(t, run(bson.D{{"$merge", "m"}}, "secondary"))
		assert.EqualValues(t, 1, count("m"))
		assert.Equal(t, 13435, code(run(bson.D{{"$out", "o"}}, "primary")))

		id, err := s.c.Disturb(ctx, mongotest.Partition{From: s.addrs[1], To: s.addrs[0]}, 0)
		require.NoError(t, err)
		assert.Equal(t, 189, code(run(bson.D{{"$out", "o"}}, "secondary")), "it reaches no primary")
		require.NoError(t, s.c.EndDisturbance(ctx, id))
		s.catchUp(s.addrs[1])
		require.NoError(t, run(bson.D{{"$out", "o"}}, "secondary"))
		assert.EqualValues(t, 2, count("o"))
	})
}

// With a majority that is behind the primary too, it is the reading alone that
// looks back.
func TestAPipelineReadsWhatAMajorityHasAndWritesBehindThat(t *testing.T) {
	trio(t, func(t *testing.T, s *set) {
		ctx := t.Context()
		require.NoError(t, s.insert(1))
		s.lag(s.addrs[1], s.addrs[2])
		require.NoError(t, s.insert(2, acknowledgedBy(writeconcern.W1())))
		majority := s.cl.Database("d", options.Database().SetWriteConcern(writeconcern.W1()).SetReadConcern(readconcern.Majority()))
		_, err := majority.Collection("c").Aggregate(ctx, mongo.Pipeline{{{"$merge", "m"}}})
		require.NoError(t, err)
		n, err := s.cl.Database("d").Collection("m").CountDocuments(ctx, bson.D{})
		require.NoError(t, err)
		assert.EqualValues(t, 1, n)
	})
}
