package rehearse

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/mongotest"
)

// furnished fills a cluster with one of everything that a check compares.
func furnished(t *testing.T, c *mongo.Client) {
	t.Helper()
	for _, cmd := range []bson.D{
		{{"create", "empty"}},
		{{"create", "small"}, {"capped", true}, {"size", 4096}, {"max", 3}},
		{{"create", "strict"}, {"validator", bson.D{{"n", bson.D{{"$gte", 0}}}}}},
		{{"insert", "docs"}, {"documents", bson.A{
			bson.D{{"_id", 1}, {"a", int32(1)}, {"b", int32(2)}}, bson.D{{"_id", 2}, {"a", int32(3)}},
		}}},
		{{"create", "open"}, {"viewOn", "docs"}, {"pipeline", bson.A{bson.D{{"$match", bson.D{{"a", 1}}}}}}},
		{{"createIndexes", "docs"}, {"indexes", bson.A{
			bson.D{{"key", bson.D{{"a", 1}}}, {"name", "a_1"}, {"unique", true}},
			bson.D{{"key", bson.D{{"at", 1}}}, {"name", "at_1"}, {"expireAfterSeconds", 3600}},
			bson.D{{"key", bson.D{{"b", 1}}}, {"name", "b_1"}, {"partialFilterExpression", bson.D{{"b", bson.D{{"$gt", 1}}}}}},
		}}},
	} {
		command(t, c, "d", cmd)
	}
}

// What a check does not see, a rehearsal calls equal.
func TestACheckFindsWhatWasPlanted(t *testing.T) {
	again := func(name string, index bson.D) []bson.D {
		return []bson.D{{{"dropIndexes", "docs"}, {"index", name}}, {{"createIndexes", "docs"}, {"indexes", bson.A{index}}}}
	}
	update := func(id int, u any) []bson.D {
		return []bson.D{{{"update", "docs"}, {"updates", bson.A{bson.D{{"q", bson.D{{"_id", id}}}, {"u", u}}}}}}
	}
	both := func(what string) []string {
		return []string{what + ": only on the destination", what + ": only on the source"}
	}
	for name, c := range map[string]struct {
		planted []bson.D // commands on the destination
		want    []string
	}{
		"nothing":          {nil, nil},
		"a lost document":  {[]bson.D{{{"delete", "docs"}, {"deletes", bson.A{bson.D{{"q", bson.D{{"_id", 1}}}, {"limit", 1}}}}}}, []string{`d.docs {"$numberInt":"1"}: only on the source`}},
		"one too many":     {[]bson.D{{{"insert", "docs"}, {"documents", bson.A{bson.D{{"_id", 3}, {"a", 9}}}}}}, []string{`d.docs {"$numberInt":"3"}: only on the destination`}},
		"another value":    {update(2, bson.D{{"$set", bson.D{{"a", int32(4)}}}}), both(`d.docs {"$numberInt":"2"}`)},
		"another type":     {update(2, bson.D{{"$set", bson.D{{"a", int64(3)}}}}), both(`d.docs {"$numberInt":"2"}`)},
		"another order":    {update(1, bson.D{{"_id", 1}, {"b", int32(2)}, {"a", int32(1)}}), both(`d.docs {"$numberInt":"1"}`)},
		"a lost namespace": {[]bson.D{{{"drop", "empty"}}}, []string{"d.empty index _id_: only on the source", "d.empty options: only on the source"}},
		"a new namespace":  {[]bson.D{{{"create", "new"}}}, []string{"d.new index _id_: only on the destination", "d.new options: only on the destination"}},
		"another size": {
			[]bson.D{{{"drop", "small"}}, {{"create", "small"}, {"capped", true}, {"size", 8192}, {"max", 3}}}, both("d.small options"),
		},
		"another rule": {[]bson.D{{{"collMod", "strict"}, {"validator", bson.D{{"n", bson.D{{"$gte", 1}}}}}}}, both("d.strict options")},
		"another view": {[]bson.D{{{"collMod", "open"}, {"viewOn", "docs"}, {"pipeline", bson.A{}}}}, both("d.open options")},
		"a lost index": {[]bson.D{{{"dropIndexes", "docs"}, {"index", "a_1"}}}, []string{"d.docs index a_1: only on the source"}},
		"an index that was never finished": {
			again("a_1", bson.D{{"key", bson.D{{"a", 1}}}, {"name", "a_1"}}), both("d.docs index a_1"),
		},
		"an index of another key": {
			again("a_1", bson.D{{"key", bson.D{{"a", -1}}}, {"name", "a_1"}, {"unique", true}}), both("d.docs index a_1"),
		},
		"an index of other documents": {
			again("b_1", bson.D{{"key", bson.D{{"b", 1}}}, {"name", "b_1"}, {"partialFilterExpression", bson.D{{"b", bson.D{{"$gt", 2}}}}}}), both("d.docs index b_1"),
		},
		"another expiry": {[]bson.D{{{"collMod", "docs"}, {"index", bson.D{{"name", "at_1"}, {"expireAfterSeconds", 7200}}}}}, both("d.docs index at_1")},
		"a hidden index": {[]bson.D{{{"collMod", "docs"}, {"index", bson.D{{"name", "at_1"}, {"hidden", true}}}}}, both("d.docs index at_1")},
		"an index that was hidden once": {[]bson.D{
			{{"collMod", "docs"}, {"index", bson.D{{"name", "at_1"}, {"hidden", true}}}},
			{{"collMod", "docs"}, {"index", bson.D{{"name", "at_1"}, {"hidden", false}, {"expireAfterSeconds", 3600.0}}}},
		}, nil},
		"what is off and what is left out": {
			again("a_1", bson.D{{"key", bson.D{{"a", 1}}}, {"name", "a_1"}, {"unique", true}, {"sparse", false}}), nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 0, 0, func(t *testing.T, s *Stage, from, to *mongo.Client) {
				dba := operator(t, s.Destination)
				furnished(t, operator(t, s.Source))
				furnished(t, dba)
				for _, cmd := range c.planted {
					command(t, dba, "d", cmd)
				}
				got, err := Check(t.Context(), from, to)
				require.NoError(t, err)
				assert.Equal(t, c.want, got.Differences)
				assert.EqualValues(t, 2, got.Documents)
			})
		})
	}
}

// Documents on two shards may share an _id. Each of them counts.
func TestACheckTellsDocumentsOfOneIDApart(t *testing.T) {
	bubble(t, 2, 2, func(t *testing.T, s *Stage, from, to *mongo.Client) {
		for _, c := range []*mongo.Client{operator(t, s.Source), operator(t, s.Destination)} {
			command(t, c, "admin", bson.D{{"shardCollection", "d.docs"}, {"key", bson.D{{"x", 1}}}})
			command(t, c, "admin", bson.D{{"split", "d.docs"}, {"middle", bson.D{{"x", 10}}}})
		}
		for c, shards := range map[*mongo.Client][]string{from: s.Source.Shards(), to: s.Destination.Shards()} {
			command(t, c, "admin", bson.D{{"moveChunk", "d.docs"}, {"find", bson.D{{"x", 10}}}, {"to", shards[1]}})
			for _, x := range []int{1, 11} {
				_, err := c.Database("d").Collection("docs").InsertOne(t.Context(), bson.D{{"_id", "one"}, {"x", x}})
				require.NoError(t, err)
			}
		}
		got, err := Check(t.Context(), from, to)
		require.NoError(t, err)
		assert.Equal(t, int64(2), got.Documents)
		assert.Empty(t, got.Differences)

		_, err = to.Database("d").Collection("docs").DeleteOne(t.Context(), bson.D{{"x", 11}})
		require.NoError(t, err)
		got, err = Check(t.Context(), from, to)
		require.NoError(t, err)
		assert.Equal(t, []string{`d.docs "one": only on the source`}, got.Differences)
	})
}

// A check that could not read everything is an error, and never says that
// nothing differs.
func TestACheckThatCannotReadIsAnError(t *testing.T) {
	for _, command := range []string{"listDatabases", "listCollections", "listIndexes", "find"} {
		bubble(t, 0, 0, func(t *testing.T, s *Stage, from, to *mongo.Client) {
			for _, c := range []*mongotest.Cluster{s.Source, s.Destination} {
				furnished(t, operator(t, c))
			}
			for _, c := range []*mongotest.Cluster{s.Source, s.Destination} {
				c.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) mongotest.Fault {
					if c.Name == command {
						return mongotest.Fault{Error: &mongotest.ServerError{Code: 13, Message: "not authorized"}}
					}
					return mongotest.Fault{}
				}})
				_, err := Check(t.Context(), from, to)
				require.Error(t, err, command)
				c.SetFaults(mongotest.Faults{})
			}
		})
	}
}
