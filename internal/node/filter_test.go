package node_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
)

func choosing(coll, text string) shardferry.DocumentFilter {
	f, err := shardferry.ParseFilter([]byte(text))
	if err != nil {
		panic(err)
	}
	return shardferry.DocumentFilter{Database: "d", Collection: coll, Filter: f}
}

var onlyEU = shardferry.Selection{Documents: []shardferry.DocumentFilter{choosing("c", `{"region":"eu"}`)}}

// regional inserts one document {_id, region, x} for each region.
func (s *stage) regional(cl *mongo.Client, first int, regions ...string) {
	s.t.Helper()
	for i, r := range regions {
		_, err := cl.Database("d").Collection("c").InsertOne(s.t.Context(), bson.D{{"_id", first + i}, {"region", r}, {"x", first + i}})
		require.NoError(s.t, err)
	}
}

func (s *stage) update(id int, u bson.D) {
	s.t.Helper()
	_, err := s.app.Database("d").Collection("c").UpdateOne(s.t.Context(), bson.D{{"_id", id}}, u)
	require.NoError(s.t, err)
}

// ids lists the _ids of d.c.
func ids(t *testing.T, cl *mongo.Client) (out []int) {
	t.Helper()
	cur, err := cl.Database("d").Collection("c").Find(t.Context(), bson.D{})
	require.NoError(t, err)
	for cur.Next(t.Context()) {
		out = append(out, int(cur.Current.Lookup("_id").AsInt64()))
	}
	require.NoError(t, cur.Err())
	return out
}

// Documents that match move, others never do: in the copy, in the stream, through
// schema changes and a restart. The comparison looks for what should not be there,
// and after the commit there is no way back.
func TestOnlyDocumentsThatMatchMove(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			play(t, setting{srcShards: shards, dstShards: shards, dir: filepath.Join(t.TempDir(), "data")}, func(t *testing.T, s *stage) {
				s.regional(s.app, 1, "eu", "us", "eu", "us")
				require.NoError(t, s.insert(s.app, 99))
				s.write(s.app, 1, "d.whole")
				s.up()
				require.NoError(t, s.startWith(onlyEU))
				s.stream()
				assert.ElementsMatch(t, []int{1, 3}, ids(t, s.to))

				s.kill()
				s.regional(s.app, 10, "eu", "us")
				s.update(2, bson.D{{"$set", bson.D{{"region", "eu"}}}})
				s.update(4, bson.D{{"$set", bson.D{{"x", 5}}}})
				s.update(1, bson.D{{"$unset", bson.D{{"region", ""}}}})
				s.up()
				time.Sleep(2 * time.Second)
				assert.ElementsMatch(t, []int{2, 3, 10}, ids(t, s.to))
				s.equal()

				coll := s.from.Database("d").Collection("c")
				_, err := coll.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{"x", 1}}})
				require.NoError(t, err)
				if shards > 0 {
					s.command(s.from, bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"x", 1}}}})
					time.Sleep(2 * time.Second)
					s.command(s.from, bson.D{{"reshardCollection", "d.c"}, {"key", bson.D{{"_id", 1}}}})
				}
				s.regional(s.app, 20, "eu", "us")
				time.Sleep(10 * time.Second)
				assert.ElementsMatch(t, []int{2, 3, 10, 20}, ids(t, s.to))
				require.NoError(t, coll.Drop(t.Context()))
				s.regional(s.app, 30, "us", "eu")
				time.Sleep(3 * time.Second)
				assert.ElementsMatch(t, []int{31}, ids(t, s.to))
				s.equal()

				_, err = s.to.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 30}, {"region", "us"}, {"x", 30}})
				require.NoError(t, err, "as if a rule had failed: the source has the same, but it does not match")
				report, err := s.node.Verify(t.Context())
				require.NoError(t, err)
				require.Len(t, report.Differences, 1)
				assert.Contains(t, report.Differences[0].ID, "30")
				_, err = s.to.Database("d").Collection("c").DeleteOne(t.Context(), bson.D{{"_id", 30}})
				require.NoError(t, err)

				p, err := s.node.Progress(t.Context())
				require.NoError(t, err)
				assert.Contains(t, p.Warnings, "there is no way back after the commit: the sync is not reversible")
				assert.Equal(t, p.CollectionCopy.Copied, *p.CollectionCopy.Estimated)
				s.commit()
				st := s.reach(shardferry.StateCommitted)
				assert.False(t, st.Job.Reversible)
				assert.False(t, st.Active())
				for _, back := range []func() error{
					func() error { return s.node.Reverse(t.Context(), "test") },
					func() error { return s.node.Rollback(t.Context(), "test") },
					func() error { _, err := s.node.Verify(t.Context()); return err },
				} {
					err := back()
					require.ErrorIs(t, err, api.ErrInvalidState)
					require.ErrorContains(t, err, "only some documents were moved")
				}
				require.NoError(t, s.to.Database("d").Collection("c").Drop(t.Context()))
				time.Sleep(5 * time.Second)
				assert.ElementsMatch(t, []int{30, 31}, ids(t, s.from), "nothing is carried home")
			})
		})
	}
}

// A filter that could not be followed is refused, and nothing is changed.
func TestAFilterThatCannotBeFollowedIsRefused(t *testing.T) {
	bubble(t, 0, 0, func(t *testing.T, s *stage) {
		s.write(s.app, 1, "d.c")
		d := s.from.Database("d")
		for _, cmd := range []bson.D{
			{{"create", "view"}, {"viewOn", "c"}, {"pipeline", bson.A{}}},
			{{"create", "capped"}, {"capped", true}, {"size", 4096}},
			{{"create", "collated"}, {"collation", bson.D{{"locale", "en"}, {"strength", 2}}}},
		} {
			require.NoError(t, d.RunCommand(t.Context(), cmd).Err())
		}
		for _, tt := range []struct {
			filter shardferry.DocumentFilter
			is     error
			says   string
		}{
			{choosing("mistyped", `{"a":1}`), api.ErrRefused, "documentFilters chooses documents of d.mistyped, which the source does not have"},
			{choosing("view", `{"a":1}`), api.ErrRefused, "d.view, which is a view"},
			{choosing("capped", `{"a":1}`), api.ErrRefused, "d.capped, which is capped"},
			{choosing("collated", `{"a":1}`), api.ErrRefused, "d.collated, which has a default collation"},
			{choosing("c", `{"$expr":true}`), api.ErrBadRequest, "documentFilters[0]: filter: $expr"},
			{choosing("c", `{"a":{"$in":5}}`), api.ErrBadRequest, "the source does not take that of d.c"},
		} {
			err := s.startWith(shardferry.Selection{Documents: []shardferry.DocumentFilter{tt.filter}})
			require.ErrorIs(t, err, tt.is, tt.says)
			require.ErrorContains(t, err, tt.says)
		}
		assert.Empty(t, holds(t, s.to))
	})
}

// A collection whose documents are chosen keeps its name, and none gets it: the sync
// pauses, and the destination is as it was.
func TestAFilterGoesByTheName(t *testing.T) {
	for _, tt := range []struct {
		name, hold string
		change     func(t *testing.T, s *stage)
	}{
		{"renamed", "d.c becomes d.e, and documentFilters chooses documents of d.c", func(_ *testing.T, s *stage) {
			s.command(s.from, bson.D{{"renameCollection", "d.c"}, {"to", "d.e"}})
		}},
		{"replaced", "d.whole becomes d.c, and documentFilters chooses documents of d.c", func(_ *testing.T, s *stage) {
			s.command(s.from, bson.D{{"renameCollection", "d.whole"}, {"to", "d.c"}, {"dropTarget", true}})
		}},
		{"replaced by $out", "becomes d.c, and documentFilters chooses documents of d.c", func(t *testing.T, s *stage) {
			_, err := s.from.Database("d").Collection("whole").Aggregate(t.Context(), bson.A{bson.D{{"$out", "c"}}})
			require.NoError(t, err)
		}},
		{"made capped", "documentFilters chooses documents of d.c", func(t *testing.T, s *stage) {
			require.NoError(t, s.from.Database("d").RunCommand(t.Context(), bson.D{{"convertToCapped", "c"}, {"size", 1 << 20}}).Err())
		}},
		{"created capped", "documentFilters chooses documents of d.c, which is capped", func(t *testing.T, s *stage) {
			require.NoError(t, s.from.Database("d").Collection("c").Drop(t.Context()))
			require.NoError(t, s.from.Database("d").RunCommand(t.Context(), bson.D{{"create", "c"}, {"capped", true}, {"size", 4096}}).Err())
		}},
		{"a view instead", "documentFilters chooses documents of d.c, which is a view", func(t *testing.T, s *stage) {
			require.NoError(t, s.from.Database("d").Collection("c").Drop(t.Context()))
			require.NoError(t, s.from.Database("d").RunCommand(t.Context(), bson.D{{"create", "c"}, {"viewOn", "whole"}, {"pipeline", bson.A{}}}).Err())
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, 0, 0, func(t *testing.T, s *stage) {
				s.regional(s.app, 1, "eu", "us")
				s.write(s.app, 7, "d.whole")
				require.NoError(t, s.startWith(onlyEU))
				s.stream()
				tt.change(t, s)
				assert.Contains(t, s.reach(shardferry.StatePaused).Hold, tt.hold)
				assert.NotContains(t, ids(t, s.to), 2)
				assert.NotContains(t, ids(t, s.to), 7)
			})
		})
	}
}

// A shard that has lost changes is read again through the filter. What does not
// match any more is deleted.
func TestLostChangesAreReadAgainThroughTheFilter(t *testing.T) {
	play(t, setting{oplog: oplogSize, batchDocs: 20}, func(t *testing.T, s *stage) {
		regions := make([]string, 60)
		for i := range regions {
			regions[i] = []string{"eu", "us"}[i%2]
		}
		s.regional(s.app, 0, regions...)
		_, err := s.app.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", -1}, {"x", -1}})
		require.NoError(t, err)
		s.up()
		require.NoError(t, s.startWith(onlyEU))
		s.stream()
		require.NoError(t, s.node.Pause(t.Context(), "test"))
		time.Sleep(2 * time.Second)
		s.update(4, bson.D{{"$set", bson.D{{"region", "us"}}}})
		s.update(5, bson.D{{"$set", bson.D{{"region", "eu"}}}})
		s.regional(s.app, 100, "eu", "us")
		s.rollOver()
		require.NoError(t, s.node.Resume(t.Context(), "test"))
		s.reach(shardferry.StatePaused)
		require.NoError(t, s.node.RecopyLost(t.Context(), "test"))
		s.until("end of the copy", func(st *state.Sync) bool {
			return st.State == shardferry.StateRunning && len(st.Leg.Lost()) == 0 && st.Leg.Tasks.Open() == 0
		})
		time.Sleep(3 * time.Second)
		s.equal()
		there := ids(t, s.to)
		assert.NotContains(t, there, 4)
		assert.NotContains(t, there, 101)
		assert.Contains(t, there, 5)
		assert.Contains(t, there, 100)
		assert.Len(t, there, 31)
	})
}
