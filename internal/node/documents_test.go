package node_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// Whatever a document is made of, the destination has it byte for byte: copied or
// streamed, updated by operators and by a pipeline, replaced, with another shard
// key, deleted, and inserted again.
func TestEveryKindOfDocument(t *testing.T) {
	for _, version := range testedVersions {
		for _, shape := range testedPairs {
			set := setting{srcShards: shape[0], dstShards: shape[1], srcVersion: version, dstVersion: version}
			t.Run(fmt.Sprintf("%s, %s to %s", version, shapeName(shape[0]), shapeName(shape[1])), func(t *testing.T) {
				var wrong map[string]string
				play(t, set, func(_ *testing.T, s *stage) { wrong = s.everyKindOfDocument() })
				for _, r := range documentRows {
					if r.there(set) {
						t.Run(r.name, func(t *testing.T) { assert.Empty(t, wrong[r.name]) })
					}
				}
			})
		}
	}
}

// everyKindOfDocument plays all rows at once, and returns of which rows a document
// was not the same at some step.
func (s *stage) everyKindOfDocument() map[string]string {
	s.t.Helper()
	wrong := map[string]string{}
	each := func(do func(i int, r documentRow)) {
		for i, r := range documentRows {
			if r.there(s.setting) {
				do(i, r)
			}
		}
	}
	step := func(name string, do func(r documentRow, coll string)) {
		each(func(i int, r documentRow) {
			for _, streamed := range []bool{false, true} {
				do(r, coll(i, streamed))
			}
		})
		var after map[string]string
		for range 40 { // until all is applied
			time.Sleep(300 * time.Millisecond)
			after = s.differing()
			maps.DeleteFunc(after, func(row, _ string) bool { return wrong[row] != "" })
			if len(after) == 0 {
				return
			}
		}
		for row, how := range after {
			wrong[row] = name + ": " + how
		}
	}
	if s.srcShards > 0 {
		s.command(s.from, bson.D{{"enableSharding", "d"}, {"primaryShard", s.src.Shards()[0]}})
	}
	each(func(i int, r documentRow) {
		s.makeFor(r, coll(i, false))
		s.makeFor(r, coll(i, true))
		s.put(r, coll(i, false))
	})
	s.up()
	s.start()
	s.stream()
	each(func(i int, r documentRow) { s.put(r, coll(i, true)) })
	step("as it was", func(documentRow, string) {})
	step("updated", func(r documentRow, coll string) { s.updateAll(r, coll) })
	step("replaced", func(r documentRow, coll string) {
		for _, d := range r.docs() {
			d = slices.Clone(d)
			d[len(d)-1].Value = int32(3)
			s.changed(coll, r.find(d), replacement(d))
		}
	})
	step("with another shard key", func(r documentRow, coll string) {
		docs := r.docs()
		for i, to := range r.rekeyed {
			res, err := s.from.Database("d").Collection(coll).UpdateOne(s.t.Context(), r.find(docs[i]), bson.D{{"$set", to}})
			require.NoError(s.t, err)
			require.Equal(s.t, int64(1), res.ModifiedCount)
		}
	})
	step("deleted", func(_ documentRow, coll string) {
		_, err := s.from.Database("d").Collection(coll).DeleteMany(s.t.Context(), bson.D{})
		require.NoError(s.t, err)
	})
	step("inserted again", func(r documentRow, coll string) { s.put(r, coll) })
	step("under an equal _id", func(r documentRow, coll string) {
		for i, id := range r.alike {
			d := r.docs()[i]
			_, err := s.from.Database("d").Collection(coll).DeleteOne(s.t.Context(), bson.D{{"_id", d[0].Value}})
			require.NoError(s.t, err)
			d[0].Value = id
			s.odd(bson.D{{"insert", coll}, {"documents", bson.A{d}}})
		}
	})
	if len(wrong) > 0 {
		return wrong // there is no commit
	}
	s.commit()
	s.reach(shardferry.StateCommitted)
	step("committed", func(documentRow, string) {})
	return wrong
}

// makeFor makes a collection of a row. A range of k goes to the second shard.
func (s *stage) makeFor(r documentRow, coll string) {
	s.t.Helper()
	cmd := bson.D{{"create", coll}}
	if r.collated {
		cmd = append(cmd, bson.E{Key: "collation", Value: bson.D{{"locale", "en"}, {"strength", 1}}})
	}
	s.on(s.from, "d", cmd)
	key := r.shardKey()
	if s.srcShards == 0 || key == nil {
		return
	}
	s.command(s.from, bson.D{{"shardCollection", "d." + coll}, {"key", key}})
	if key[0].Value == "hashed" || len(key) > 1 {
		return
	}
	name := key[0].Key
	s.command(s.from, bson.D{{"split", "d." + coll}, {"middle", bson.D{{name, 50}}}})
	s.command(s.from, bson.D{{"moveChunk", "d." + coll}, {"bounds", bson.A{bson.D{{name, 50}}, bson.D{{name, bson.MaxKey{}}}}}, {"to", s.src.Shards()[1]}, {"_waitForDelete", true}})
}

// odd runs a write command on the source. An empty timestamp stays what it is,
// where a server can be told so.
func (s *stage) odd(cmd bson.D) {
	s.t.Helper()
	if s.srcVersion >= "8.0" {
		cmd = append(cmd, bson.E{Key: "bypassEmptyTsReplacement", Value: true})
	}
	var answer struct {
		N           int        `bson:"n"`
		WriteErrors []bson.Raw `bson:"writeErrors"`
	}
	require.NoError(s.t, s.from.Database("d").RunCommand(s.t.Context(), cmd).Decode(&answer), "%.300s", fmt.Sprint(cmd))
	require.Empty(s.t, answer.WriteErrors, "%.300s", fmt.Sprint(cmd))
	require.Positive(s.t, answer.N, "%.300s", fmt.Sprint(cmd))
}

func (s *stage) changed(coll string, find bson.D, to any) {
	s.t.Helper()
	s.odd(bson.D{{"update", coll}, {"updates", bson.A{bson.D{{"q", find}, {"u", to}}}}})
}

func (s *stage) put(r documentRow, coll string) {
	s.t.Helper()
	for _, d := range r.docs() {
		s.odd(bson.D{{"insert", coll}, {"documents", bson.A{d}}})
	}
}

// updateAll updates each document by operators, and then by a pipeline.
func (s *stage) updateAll(r documentRow, coll string) {
	s.t.Helper()
	for _, d := range r.docs() {
		s.changed(coll, r.find(d), bson.D{{"$inc", bson.D{{"x", 1}}}})
		if r.full {
			continue
		}
		s.changed(coll, r.find(d), bson.D{{"$set", bson.D{{"new.er", 1}}}, {"$push", bson.D{{"pushed", bson.D{{"", 1}}}}}})
		s.changed(coll, r.find(d), bson.A{bson.D{{"$set", bson.D{{"piped", "$x"}, {"new", bson.D{{"er", 2}}}}}}, bson.D{{"$unset", "pushed"}}})
		s.changed(coll, r.find(d), bson.A{bson.D{{"$set", bson.D{{"dotted", bson.D{{"$setField", bson.D{{"field", "p.q"}, {"input", bson.D{}}, {"value", "$x"}}}}}}}}})
	}
}

// replacement is what replaces a document by d. A server takes names with a dollar
// only from a pipeline.
func replacement(d bson.D) any {
	if slices.ContainsFunc(d, func(e bson.E) bool { return strings.HasPrefix(e.Key, "$") }) {
		return bson.A{bson.D{{"$replaceWith", bson.D{{"$literal", d}}}}}
	}
	return d
}

// differing returns which rows differ, byte for byte, and how.
func (s *stage) differing() map[string]string {
	s.t.Helper()
	out := map[string]string{}
	for i, r := range documentRows {
		for _, streamed := range []bool{false, true} {
			if !r.there(s.setting) {
				continue
			}
			from, to := s.bytesOf(s.from, coll(i, streamed)), s.bytesOf(s.to, coll(i, streamed))
			if !slices.EqualFunc(from, to, func(a, b bson.Raw) bool { return bytes.Equal(a, b) }) {
				out[r.name] = fmt.Sprintf("%s: %.1500s on the source, %.1500s on the destination", coll(i, streamed), fmt.Sprint(from), fmt.Sprint(to))
			}
		}
	}
	return out
}

// bytesOf reads the documents of a collection, in the order of their bytes.
func (s *stage) bytesOf(cl *mongo.Client, coll string) (all []bson.Raw) {
	s.t.Helper()
	cur, err := cl.Database("d").Collection(coll).Find(s.t.Context(), bson.D{})
	require.NoError(s.t, err)
	for cur.Next(s.t.Context()) {
		all = append(all, slices.Clone(cur.Current))
	}
	require.NoError(s.t, cur.Err())
	slices.SortFunc(all, func(a, b bson.Raw) int { return bytes.Compare(a, b) })
	return all
}

// Where the destination cannot have a document's bytes, or nothing tells of them,
// the sync says so: it pauses, or the comparison names the document and there is
// no commit.
func TestDocumentsThatCannotBeTheSame(t *testing.T) {
	for _, c := range []struct {
		name  string
		set   setting
		row   documentRow
		early bool   // the documents are there, and updated, before the copy
		after any    // an update of all of them
		holds string // words of the pause; else a comparison finds it
		undo  bson.D // deletes what the sync cannot hold, so that it goes on
	}{
		{
			name: "the same _id on two shards, to a replica set", set: setting{srcShards: 2},
			row: documentRow{ids: twins, bodies: halves(1, 80), key: byK}, holds: "the source holds both", undo: bson.D{{"k", 80}},
		},
		{
			name: "Timestamp(0, 0) on top, to a server before 8.0", set: setting{srcVersion: "7.0", dstVersion: "7.0"}, early: true,
			after: bson.D{{"$set", bson.D{{"ts", bson.Timestamp{}}}}}, holds: "bypassEmptyTsReplacement",
		},
		{
			name: "a field that is removed and added again in one update", row: documentRow{bodies: []bson.D{{{"moves", 1}, {"text", strings.Repeat("long", 100)}}}},
			after: bson.A{bson.D{{"$unset", "moves"}}, bson.D{{"$set", bson.D{{"moves", 2}}}}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, c.set, func(t *testing.T, s *stage) {
				s.makeFor(c.row, "c")
				happen := func() {
					s.put(c.row, "c")
					time.Sleep(5 * time.Second)
					if c.after != nil {
						_, err := s.from.Database("d").Collection("c").UpdateMany(t.Context(), bson.D{}, c.after)
						require.NoError(t, err)
					}
				}
				if c.early {
					happen()
				}
				s.up()
				s.start()
				if !c.early {
					s.stream()
					happen()
				}
				if c.holds != "" {
					assert.Contains(t, s.reach(shardferry.StatePaused).Hold, c.holds)
					if c.undo == nil {
						return
					}
					_, err := s.from.Database("d").Collection("c").DeleteOne(t.Context(), c.undo)
					require.NoError(t, err)
					require.NoError(t, s.node.Resume(t.Context(), "test"))
					time.Sleep(5 * time.Second)
					assert.Equal(t, s.bytesOf(s.from, "c"), s.bytesOf(s.to, "c"))
					s.commit()
					s.reach(shardferry.StateCommitted)
					return
				}
				time.Sleep(5 * time.Second)
				report, err := s.node.Verify(t.Context())
				require.NoError(t, err)
				require.Len(t, report.Differences, len(c.row.docs()))
				assert.Equal(t, shardferry.Namespace{DB: "d", Coll: "c"}, report.Differences[0].NS)
				s.commit()
				st := s.until("commit that is given up", func(st *state.Sync) bool { return st.State == shardferry.StateRunning && st.Last != nil })
				assert.Contains(t, st.Last.Failure, "the clusters differ")
			})
		})
	}
}
