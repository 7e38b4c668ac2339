package node_test

import (
	"cmp"
	"fmt"
	"math"
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

// A thing is a collection or view with its options and indexes, and the collMods
// that it meets while it is followed.
type thing struct {
	name    string
	options bson.D
	since   string // the first version that takes it; empty: all
	shard   bson.D // its shard key, on sharded clusters
	indexes []bson.D
	docs    []any
	mods    []bson.D
}

func opt(key string, v any) bson.E { return bson.E{Key: key, Value: v} }

func ix(name string, key bson.D, options ...bson.E) bson.D {
	return append(bson.D{{"key", key}, {"name", name}}, options...)
}

// modIndex is a collMod of an index.
func modIndex(name string, change bson.E) bson.D {
	return bson.D{{"index", bson.D{{"name", name}, change}}}
}

var (
	german  = opt("collation", bson.D{{"locale", "de"}, {"strength", 2}, {"numericOrdering", true}})
	simple  = opt("collation", bson.D{{"locale", "simple"}})
	image   = opt("changeStreamPreAndPostImages", bson.D{{"enabled", true}})
	above   = bson.D{{"u", bson.D{{"$gt", 2}}}}
	numbers = []any{bson.D{{"_id", 1}, {"a", 1}, {"u", 1}, {"w", "one"}}, bson.D{{"_id", 2}, {"a", 2}, {"u", 2}, {"w", "two"}}, bson.D{{"_id", 3}, {"a", 3}, {"u", 3}, {"w", "three"}}}
)

// catalogue has every type and option of an index, and every option of a
// collection or view, that can be moved.
var catalogue = []thing{
	{name: "ordinary", docs: numbers, indexes: []bson.D{
		ix("up", bson.D{{"a", 1}}), ix("down", bson.D{{"a", -1}}), ix("compound", bson.D{{"a", 1}, {"b.c", -1}, {"_id", 1}}),
		ix("odd directions", bson.D{{"a", 2.5}, {"b", -1e-9}}), ix("long", bson.D{{"b", int64(1)}}),
		ix("with.dots and blanks", bson.D{{"d.0.e", 1}}),
		ix("sparse", bson.D{{"s", 1}}, opt("sparse", true)), ix("sparse by number", bson.D{{"s2", 1}}, opt("sparse", 1)), ix("not sparse", bson.D{{"s3", 1}}, opt("sparse", false)),
		ix("partial", bson.D{{"p", 1}}, opt("partialFilterExpression", bson.D{{"p", bson.D{{"$exists", true}}}, {"a", bson.D{{"$lt", int64(9)}}}})),
		ix("hidden", bson.D{{"h", 1}}, opt("hidden", true)), ix("german", bson.D{{"w", 1}}, german), ix("plain", bson.D{{"w", 1}}),
		ix("old", bson.D{{"v1", 1}}, opt("v", 1)), ix("background", bson.D{{"bg", 1}}, opt("background", true)),
		ix("prepared", bson.D{{"pu", 1}, {"_id", 1}}, opt("prepareUnique", true)),
		ix("stored", bson.D{{"se", 1}}, opt("storageEngine", bson.D{{"wiredTiger", bson.D{{"configString", ""}}}})),
	}},
	{name: "unique", docs: numbers, indexes: []bson.D{
		ix("unique", bson.D{{"u", 1}}, opt("unique", true)),
		ix("unique and partial", bson.D{{"u", 1}}, opt("unique", true), opt("partialFilterExpression", above)),
		ix("unique and sparse", bson.D{{"us", 1}}, opt("unique", true), opt("sparse", true)),
		ix("unique by letters", bson.D{{"w", 1}}, opt("unique", true), german),
		ix("unique and hidden", bson.D{{"a", 1}}, opt("unique", true), opt("hidden", true)),
		ix("unique and expiring", bson.D{{"ue", 1}, {"_id", 1}}, opt("unique", true)),
	}},
	{name: "twins", docs: numbers, indexes: []bson.D{
		ix("a both", bson.D{{"u", 1}}), ix("b both unique", bson.D{{"u", 1}}, opt("unique", true)), ix("c both sparse", bson.D{{"u", 1}}, opt("sparse", true)), ix("d both unique sparse", bson.D{{"u", 1}}, opt("unique", true), opt("sparse", true)),
	}},
	{name: "expiring", docs: numbers, indexes: []bson.D{
		ix("soon", bson.D{{"t", 1}}, opt("expireAfterSeconds", 0)), ix("later", bson.D{{"t2", 1}}, opt("expireAfterSeconds", 3600)),
		ix("never", bson.D{{"t3", 1}}, opt("expireAfterSeconds", 2147483647)), ix("by long", bson.D{{"t4", 1}}, opt("expireAfterSeconds", int64(77))),
		ix("by double", bson.D{{"t5", 1}}, opt("expireAfterSeconds", 77.0)),
		ix("some", bson.D{{"t6", -1}}, opt("expireAfterSeconds", 60), opt("partialFilterExpression", above), opt("hidden", true)),
	}},
	{name: "special", indexes: []bson.D{
		ix("hashed", bson.D{{"h", "hashed"}}), ix("compound hashed", bson.D{{"a", 1}, {"h", "hashed"}, {"b", -1}}),
		ix("all", bson.D{{"$**", 1}}), ix("all but", bson.D{{"$**", 1}}, opt("wildcardProjection", bson.D{{"x", 0}, {"y.z", 0}})),
		ix("some", bson.D{{"$**", 1}}, opt("wildcardProjection", bson.D{{"x", 1}, {"_id", 1}})), ix("below", bson.D{{"deep.$**", 1}}),
		ix("text", bson.D{{"before", 1}, {"title", "text"}, {"body", "text"}, {"after", -1}}, opt("weights", bson.D{{"title", 10}, {"body", 2}, {"more", 3}}), opt("default_language", "none"), opt("language_override", "lang")),
		ix("sphere", bson.D{{"place", "2dsphere"}, {"a", 1}}), ix("sphere of old", bson.D{{"place2", "2dsphere"}}, opt("2dsphereIndexVersion", 2)),
		ix("flat", bson.D{{"flat", "2d"}, {"a", 1}}, opt("bits", 20), opt("min", -500.0), opt("max", 500.0)),
		ix("sparse hashed", bson.D{{"sh", "hashed"}}, opt("sparse", true)),
	}},
	{name: "text of all", indexes: []bson.D{ix("words", bson.D{{"$**", "text"}}, opt("textIndexVersion", 2))}},
	{name: "compound wildcard", since: "7.0", indexes: []bson.D{ix("compound", bson.D{{"a", 1}, {"b.$**", -1}}), ix("compound all", bson.D{{"a", 1}, {"$**", 1}}, opt("wildcardProjection", bson.D{{"a", 0}}))}},
	{name: "capped", options: bson.D{{"capped", true}, {"size", 8192}, {"max", 100}}, docs: numbers, indexes: []bson.D{ix("a", bson.D{{"a", 1}})}},
	{name: "capped by bytes", options: bson.D{{"capped", true}, {"size", 5000}}},
	{name: "clustered", options: bson.D{{"clusteredIndex", bson.D{{"key", bson.D{{"_id", 1}}}, {"unique", true}, {"name", "by id"}}}}, docs: numbers, indexes: []bson.D{ix("a", bson.D{{"a", 1}})}},
	{name: "clustered, expiring", options: bson.D{{"clusteredIndex", bson.D{{"key", bson.D{{"_id", 1}}}, {"unique", true}}}, {"expireAfterSeconds", int64(500)}}},
	{name: "german", options: bson.D{german}, docs: numbers, indexes: []bson.D{ix("own", bson.D{{"w", 1}}), ix("simple", bson.D{{"w", 1}}, simple), ix("unique", bson.D{{"w", -1}}, opt("unique", true))}},
	{name: "strict", options: bson.D{{"validator", bson.D{{"$jsonSchema", bson.D{{"bsonType", "object"}, {"required", bson.A{"_id"}}}}}}, {"validationLevel", "moderate"}, {"validationAction", "warn"}}},
	{name: "with expressions", options: bson.D{{"validator", bson.D{{"$expr", bson.D{{"$lt", bson.A{"$a", 10}}}}, {"a", bson.D{{"$ne", nil}}}}}}, docs: numbers},
	{name: "with images", options: bson.D{image}, docs: numbers},
	{name: "fs.files", docs: []any{bson.D{{"_id", 7}, {"length", int64(3)}, {"chunkSize", 2}, {"filename", "f"}}}, indexes: []bson.D{ix("filename_1_uploadDate_1", bson.D{{"filename", 1}, {"uploadDate", 1}})}},
	{name: "fs.chunks", shard: bson.D{{"files_id", 1}, {"n", 1}}, indexes: []bson.D{ix("files_id_1_n_1", bson.D{{"files_id", 1}, {"n", 1}}, opt("unique", true))}, docs: []any{
		bson.D{{"_id", 1}, {"files_id", 7}, {"n", 0}, {"data", []byte("ab")}}, bson.D{{"_id", 2}, {"files_id", 7}, {"n", 1}, {"data", []byte("c")}},
	}},
	{name: "zoned", shard: bson.D{{"z", 1}}, docs: []any{bson.D{{"_id", 1}, {"z", 5}}, bson.D{{"_id", 2}, {"z", -5}}, bson.D{{"_id", 3}, {"z", nil}}, bson.D{{"_id", 4}}}, indexes: []bson.D{ix("z_1", bson.D{{"z", 1}})}},
	{name: "hashed", shard: bson.D{{"h", "hashed"}}, docs: numbers},
	{name: "view", options: bson.D{{"viewOn", "ordinary"}, {"pipeline", bson.A{bson.D{{"$match", bson.D{{"a", bson.D{{"$gt", 1}}}}}}}}}},
	{name: "a view of a view", options: bson.D{{"viewOn", "view"}, {"pipeline", bson.A{bson.D{{"$project", bson.D{{"u", 1}}}}}}}},
	{name: "view of german", options: bson.D{{"viewOn", "german"}, {"pipeline", bson.A{}}, german}},
	{name: "view of nothing", options: bson.D{{"viewOn", "nowhere"}, {"pipeline", bson.A{}}}},

	{name: "m indexes", docs: numbers, indexes: []bson.D{
		ix("hide", bson.D{{"a", 1}}), ix("show", bson.D{{"b", 1}}, opt("hidden", true)), ix("expire", bson.D{{"t", 1}}), ix("expire later", bson.D{{"t2", 1}}, opt("expireAfterSeconds", 9)),
		ix("prepare", bson.D{{"p", 1}}), ix("unprepare", bson.D{{"p2", 1}, {"_id", 1}}, opt("prepareUnique", true)), ix("become unique", bson.D{{"u", 1}}), ix("by key", bson.D{{"k", 1}, {"l", -1}}), ix("twice at once", bson.D{{"k", 1}}),
	}, mods: []bson.D{
		modIndex("hide", opt("hidden", true)), modIndex("show", opt("hidden", false)), modIndex("expire", opt("expireAfterSeconds", 100)), modIndex("expire later", opt("expireAfterSeconds", int64(200))),
		modIndex("prepare", opt("prepareUnique", true)), modIndex("unprepare", opt("prepareUnique", false)), modIndex("become unique", opt("prepareUnique", true)), modIndex("become unique", opt("unique", true)),
		{{"index", bson.D{{"keyPattern", bson.D{{"k", 1}, {"l", -1}}}, {"hidden", true}}}},
		{{"index", bson.D{{"name", "twice at once"}, {"hidden", true}, {"expireAfterSeconds", 1}}}},
	}},
	{name: "m validator", mods: []bson.D{
		{{"validator", bson.D{{"a", bson.D{{"$gt", 0}}}}}, {"validationLevel", "strict"}, {"validationAction", "warn"}}, {{"validationLevel", "moderate"}}, {{"validationAction", "error"}},
	}},
	{name: "m no validator", options: bson.D{{"validator", bson.D{{"a", 1}}}}, mods: []bson.D{{{"validator", bson.D{}}, {"validationLevel", "off"}}}},
	{name: "m images", mods: []bson.D{{image}}},
	{name: "m no images", options: bson.D{image}, mods: []bson.D{{{"changeStreamPreAndPostImages", bson.D{{"enabled", false}}}}}},
	{name: "m capped", options: bson.D{{"capped", true}, {"size", 8192}}, docs: numbers, mods: []bson.D{{{"cappedSize", 16384}}, {{"cappedMax", 50}}, {{"cappedSize", int64(32768)}, {"cappedMax", int64(60)}}}},
	{name: "m clustered", options: bson.D{{"clusteredIndex", bson.D{{"key", bson.D{{"_id", 1}}}, {"unique", true}}}}, mods: []bson.D{{{"expireAfterSeconds", 400}}}},
	{name: "m clustered off", options: bson.D{{"clusteredIndex", bson.D{{"key", bson.D{{"_id", 1}}}, {"unique", true}}}, {"expireAfterSeconds", 300}}, mods: []bson.D{{{"expireAfterSeconds", 200}}, {{"expireAfterSeconds", "off"}}}},
	{name: "m view", options: bson.D{{"viewOn", "ordinary"}, {"pipeline", bson.A{}}}, mods: []bson.D{{{"viewOn", "unique"}, {"pipeline", bson.A{bson.D{{"$limit", 1}}}}}}},
}

// make makes what a server of this version takes, of a table, in database db.
func (s *stage) make(db string, things []thing) {
	s.t.Helper()
	run := func(cmd bson.D) {
		s.t.Helper()
		require.NoError(s.t, s.from.Database(db).RunCommand(s.t.Context(), cmd).Err(), "%v", cmd)
	}
	for _, c := range things {
		if s.srcVersion < c.since {
			continue
		}
		run(append(bson.D{{"create", c.name}}, c.options...))
		if len(c.indexes) > 0 {
			run(bson.D{{"createIndexes", c.name}, {"indexes", c.indexes}})
		}
		if s.srcShards > 0 && c.shard != nil {
			s.command(s.from, bson.D{{"shardCollection", db + "." + c.name}, {"key", c.shard}})
		}
		if len(c.docs) > 0 {
			_, err := s.from.Database(db).Collection(c.name).InsertMany(s.t.Context(), c.docs)
			require.NoError(s.t, err, c.name)
		}
	}
}

// modify makes all collMods of a table.
func (s *stage) modify(db string, things []thing) {
	s.t.Helper()
	for _, c := range things {
		for _, m := range c.mods {
			cmd := append(bson.D{{"collMod", c.name}}, m...)
			require.NoError(s.t, s.from.Database(db).RunCommand(s.t.Context(), cmd).Err(), "%v", cmd)
		}
	}
}

// zones ties ranges of d.zoned to zones of the source's shards.
func (s *stage) zones() {
	s.t.Helper()
	for i, shard := range s.src.Shards() {
		zone := fmt.Sprint("zone", i)
		s.command(s.from, bson.D{{"addShardToZone", shard}, {"zone", zone}})
		s.command(s.from, bson.D{{"updateZoneKeyRange", "d.zoned"}, {"min", bson.D{{"z", i * 10}}}, {"max", bson.D{{"z", i*10 + 10}}}, {"zone", zone}})
	}
}

// shown lists what a cluster says of its databases' collections, indexes and
// zones: the server's own replies, but for what tells one cluster from another.
func shown(t *testing.T, cl *mongo.Client, dbs ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, db := range dbs {
		cur, err := cl.Database(db).ListCollections(t.Context(), bson.D{{"name", bson.D{{"$not", bson.Regex{Pattern: "^system[.]"}}}}})
		require.NoError(t, err)
		for cur.Next(t.Context()) {
			name, kind := cur.Current.Lookup("name").StringValue(), cur.Current.Lookup("type").StringValue()
			all[db+"."+name] = kind + fields(t, cur.Current.Lookup("options").Document())
			if kind == "view" {
				continue
			}
			list, err := cl.Database(db).Collection(name).Indexes().List(t.Context())
			require.NoError(t, err)
			for list.Next(t.Context()) {
				all[db+"."+name+"/"+list.Current.Lookup("name").StringValue()] = fields(t, list.Current)
			}
		}
		require.NoError(t, cur.Err())
	}
	cur, err := cl.Database("config").Collection("tags").Find(t.Context(), bson.D{})
	require.NoError(t, err)
	for cur.Next(t.Context()) {
		all["zone "+cur.Current.Lookup("min").String()] = cur.Current.Lookup("max").String() + cur.Current.Lookup("tag").String()
	}
	require.NoError(t, cur.Err())
	return all
}

// fields shows a document with its types, its fields sorted by name.
func fields(t *testing.T, doc bson.Raw) string {
	t.Helper()
	elems, err := doc.Elements()
	require.NoError(t, err)
	slices.SortFunc(elems, func(a, b bson.RawElement) int { return cmp.Compare(a.Key(), b.Key()) })
	out := ""
	for _, e := range elems {
		out += " " + e.String()
	}
	return out
}

// relaxed looks at the destination while it is followed: nothing there may
// expire, evict or refuse a value before the commit.
func (s *stage) relaxed(dbs ...string) {
	s.t.Helper()
	for name, is := range shown(s.t, s.to, dbs...) {
		if after, ok := strings.CutPrefix(is, "collection"); ok || strings.HasPrefix(is, "view") {
			assert.NotContains(s.t, after, "expireAfterSeconds", name)
			assert.Equal(s.t, strings.Contains(after, "capped"), strings.Contains(after, fmt.Sprint(1<<50)), name)
			continue
		}
		assert.NotContains(s.t, is, `"hidden":`, name)
		assert.NotContains(s.t, is, `"prepareUnique":`, name)
		if !strings.Contains(is, `"clustered"`) {
			assert.NotContains(s.t, is, `"unique":`, name)
		}
		if strings.Contains(is, "expireAfterSeconds") {
			assert.Contains(s.t, is, fmt.Sprint(math.MaxInt32), name)
		}
	}
}

// What a cluster has by way of collections, views, indexes and zones, of every
// type and with every option, is on the other one after the commit, as the
// server itself shows it: what was there from the start, what came while it was
// followed, and what was changed meanwhile.
func TestEveryOptionComesThrough(t *testing.T) {
	for _, version := range testedVersions {
		for _, shards := range testedSizes {
			t.Run(version+", "+shapeName(shards), func(t *testing.T) {
				play(t, setting{srcShards: shards, dstShards: shards, srcVersion: version, dstVersion: version}, func(t *testing.T, s *stage) {
					s.make("d", catalogue)
					if shards > 0 {
						s.zones()
					}
					s.up()
					s.start()
					s.stream()
					s.modify("d", catalogue)
					s.make("later", catalogue)
					s.modify("later", catalogue)
					time.Sleep(10 * time.Second)
					s.equal()
					s.relaxed("d", "later")
					s.commit()
					s.until("end of the commit", func(st *state.Sync) bool { return st.Last != nil || st.Hold != "" })
					s.reach(shardferry.StateCommitted)
					s.equal()
					want, got := shown(t, s.from, "d", "later"), shown(t, s.to, "d", "later")
					for name, is := range want {
						if got[name] != is {
							t.Errorf("%s:\n source      %s\n destination %s", name, is, got[name])
						}
						delete(got, name)
					}
					for name := range got {
						t.Errorf("%s is only on the destination", name)
					}
				})
			})
		}
	}
}
