package topology_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/topology"
)

// A follower carries schema changes from one cluster to the other, as the
// coordinator does.
type follower struct {
	t       *testing.T
	from    *mongo.Client
	stream  *mongo.ChangeStream
	changer topology.Changer
}

func follow(t *testing.T, from, to *mongo.Client, relax bool) *follower {
	t.Helper()
	insert(t, from, marker, bson.D{})
	stream, err := from.Watch(t.Context(), mongo.Pipeline{}, options.ChangeStream().SetShowExpandedEvents(true))
	require.NoError(t, err)
	return &follower{t: t, from: from, stream: stream, changer: topology.Changer{
		Client: to, Sharded: discover(t, to).Kind == topology.Sharded, Relax: relax, Logger: quiet,
	}}
}

func (f *follower) sharded() bool { return discover(f.t, f.from).Kind == topology.Sharded }

func (f *follower) close() { assert.NoError(f.t, f.stream.Close(f.t.Context())) }

// do runs commands on the source's database d and carries over what they change.
func (f *follower) do(cmds ...bson.D) {
	f.t.Helper()
	for _, c := range cmds {
		require.NoError(f.t, f.from.Database("d").RunCommand(f.t.Context(), c).Err(), "%v", c)
		f.catchUp()
	}
}

func (f *follower) admin(cmds ...bson.D) {
	f.t.Helper()
	for _, c := range cmds {
		admin(f.t, f.from, c)
		f.catchUp()
	}
}

// catchUp applies every change twice: the first time its record was lost.
func (f *follower) catchUp() {
	f.t.Helper()
	for _, change := range f.changes() {
		_, err := f.changer.Apply(f.t.Context(), change)
		require.NoError(f.t, err, "%s of %s", change.Kind, change.NS)
		out, err := f.changer.Apply(f.t.Context(), change)
		require.NoError(f.t, err, "%s of %s, repeated", change.Kind, change.NS)
		f.record(out)
	}
}

// marker is where a write tells that all earlier changes have come.
var marker = shardferry.Namespace{DB: "markers", Coll: "marker"}

// changes reads what has come: a cluster tells some changes once per shard.
func (f *follower) changes() []shardferry.SchemaChange {
	f.t.Helper()
	var out []shardferry.SchemaChange
	insert(f.t, f.from, marker, bson.D{})
	for f.stream.Next(f.t.Context()) {
		ev := slices.Clone(f.stream.Current)
		c := shardferry.SchemaChange{Kind: ev.Lookup("operationType").StringValue(), Event: ev, NS: name(ev.Lookup("ns")), To: name(ev.Lookup("to"))}
		c.UUID, _ = shardferry.ParseUUID(ev.Lookup("collectionUUID"))
		c.Time.T, c.Time.I, _ = ev.Lookup("clusterTime").TimestampOK()
		if c.NS == marker {
			break
		}
		if c.Kind != "insert" {
			out = append(out, c)
		}
	}
	require.NoError(f.t, f.stream.Err())
	return out
}

func name(v bson.RawValue) shardferry.Namespace {
	doc, _ := v.DocumentOK()
	db, _ := doc.Lookup("db").StringValueOK()
	coll, _ := doc.Lookup("coll").StringValueOK()
	return shardferry.Namespace{DB: db, Coll: coll}
}

// record does with an outcome what the replicated state does.
func (f *follower) record(out topology.Outcome) {
	c := &f.changer
	for _, r := range out.Dropped {
		c.Indexes = slices.DeleteFunc(c.Indexes, func(ix topology.Index) bool {
			return ix.NS == r.NS && (r.Name == "" || r.Name == topology.IndexName(ix.Spec))
		})
		c.Limits = slices.DeleteFunc(c.Limits, func(l topology.Limit) bool { return r.Name == "" && l.NS == r.NS })
	}
	for i := range c.Indexes {
		if c.Indexes[i].NS == out.From {
			c.Indexes[i].NS = out.To
		}
	}
	for _, ix := range out.Indexes {
		c.Indexes = slices.DeleteFunc(c.Indexes, func(have topology.Index) bool {
			return have.NS == ix.NS && topology.IndexName(have.Spec) == topology.IndexName(ix.Spec)
		})
		c.Indexes = append(c.Indexes, ix)
	}
	for _, l := range out.Limits {
		c.Limits = slices.DeleteFunc(c.Limits, func(have topology.Limit) bool { return have.NS == l.NS })
		c.Limits = append(c.Limits, l)
	}
	for _, coll := range out.Collections {
		c.Collections = slices.DeleteFunc(c.Collections, func(have shardferry.Collection) bool { return have.UUID == coll.UUID })
		c.Collections = append(c.Collections, coll)
	}
}

// finish gives everything its final form, as a commit does.
func (f *follower) finish() {
	f.t.Helper()
	for _, ix := range f.changer.Indexes {
		if !ix.Finished {
			require.NoError(f.t, topology.FinishIndex(f.t.Context(), f.changer.Client, ix.NS, ix.Spec))
		}
	}
	for _, l := range f.changer.Limits {
		require.NoError(f.t, topology.FinishLimit(f.t.Context(), f.changer.Client, l))
	}
}

// requireEqual compares both catalogues.
func (f *follower) requireEqual() {
	f.t.Helper()
	want, got := discover(f.t, f.from), discover(f.t, f.changer.Client)
	var a, b []string
	for _, c := range want.Collections {
		if c.NS == marker {
			continue
		}
		a = append(a, describe(&c, f.changer.Sharded))
	}
	for _, c := range got.Collections {
		b = append(b, describe(&c, f.changer.Sharded))
	}
	require.Equal(f.t, a, b)
}

func describe(c *topology.Collection, keys bool) string {
	s := fmt.Sprintf("%s %s %s", c.NS, c.Type, topology.NormalOptions(c.Options))
	if keys {
		s += fmt.Sprintf(" by %s unique %v", c.ShardKey, c.Unique)
	}
	for _, ix := range c.Indexes {
		s += fmt.Sprintf("\n  %s", topology.NormalOptions(ix))
	}
	return s
}

func create(coll string, options ...bson.E) bson.D {
	return append(bson.D{{"create", coll}}, options...)
}

func createIndex(coll, index string, key bson.D, options ...bson.E) bson.D {
	return bson.D{{"createIndexes", coll}, {"indexes", bson.A{append(bson.D{{"key", key}, {"name", index}}, options...)}}}
}

func collMod(coll string, changes ...bson.E) bson.D {
	return append(bson.D{{"collMod", coll}}, changes...)
}

func e(key string, value any) bson.E { return bson.E{Key: key, Value: value} }

// Every kind of schema change, each applied twice in a row, between clusters of
// each kind, while everything is relaxed until the commit and without that.
func TestSchemaChanges(t *testing.T) {
	x := bson.D{{"x", 1}}
	stories := map[string]func(f *follower){
		"create": func(f *follower) {
			f.do(
				create("a"), create("b", e("validator", bson.D{{"x", 1}}), e("validationLevel", "moderate")),
				create("c", e("capped", true), e("size", 8192), e("max", 5)),
				create("p", e("changeStreamPreAndPostImages", bson.D{{"enabled", true}})),
				create("v", e("viewOn", "a"), e("pipeline", bson.A{bson.D{{"$match", x}}})),
			)
		},
		"drop": func(f *follower) {
			f.do(create("a"), create("v", e("viewOn", "a"), e("pipeline", bson.A{})), createIndex("a", "x", x), bson.D{{"drop", "a"}}, bson.D{{"drop", "v"}})
			f.do(create("a", e("validator", x)), bson.D{{"drop", "a"}}, create("a"))
		},
		"dropDatabase": func(f *follower) {
			f.do(create("a"), create("b"), create("v", e("viewOn", "a"), e("pipeline", bson.A{})), bson.D{{"dropDatabase", 1}}, create("b"))
		},
		"rename": func(f *follower) {
			f.do(create("a", e("validator", x)), create("b"), createIndex("a", "x", x, e("unique", true)), createIndex("b", "y", x))
			f.admin(bson.D{{"renameCollection", "d.a"}, {"to", "d.c"}}, bson.D{{"renameCollection", "d.c"}, {"to", "d.b"}, {"dropTarget", true}})
			f.do(create("a"))
			f.admin(bson.D{{"renameCollection", "d.b"}, {"to", "d.z"}}, bson.D{{"renameCollection", "d.a"}, {"to", "d.b"}})
		},
		"indexes": func(f *follower) {
			f.do(
				create("a"), createIndex("a", "x", x), createIndex("a", "u", bson.D{{"u", 1}}, e("unique", true)),
				createIndex("a", "t", bson.D{{"t", 1}}, e("expireAfterSeconds", 10)), createIndex("a", "h", bson.D{{"h", "hashed"}}),
				createIndex("a", "hidden", bson.D{{"y", -1}}, e("hidden", true)), createIndex("a", "s", bson.D{{"s", 1}}, e("sparse", true)),
				createIndex("a", "p", bson.D{{"p", 1}}, e("partialFilterExpression", bson.D{{"p", bson.D{{"$gt", 5}}}})),
				bson.D{{"dropIndexes", "a"}, {"index", "x"}}, createIndex("a", "x", bson.D{{"x", -1}}, e("unique", true)),
				bson.D{{"dropIndexes", "a"}, {"index", "s"}},
			)
		},
		"collations": func(f *follower) {
			german, simple := e("collation", bson.D{{"locale", "de"}, {"strength", 2}}), e("collation", bson.D{{"locale", "simple"}})
			f.do(
				create("a", german), create("b", simple),
				createIndex("a", "own", x), createIndex("a", "simple", x, simple), createIndex("b", "unique", bson.D{{"u", 1}}, german, e("unique", true)),
				createIndex("a", "other", x, e("collation", bson.D{{"locale", "fr"}})), createIndex("a", "text", bson.D{{"t", "text"}}, simple),
				createIndex("b", "german", x, german), createIndex("b", "simple", x), createIndex("b", "again", bson.D{{"x", 1}, {"y", 1}}, simple),
				create("v", e("viewOn", "a"), e("pipeline", bson.A{}), german),
				bson.D{{"dropIndexes", "a"}, {"index", "simple"}}, createIndex("a", "simple", bson.D{{"x", 1}, {"z", 1}}, simple),
			)
			if f.sharded() {
				f.admin(bson.D{{"shardCollection", "d.a"}, {"key", bson.D{{"k", 1}}}, simple})
				f.do(createIndex("a", "kx", bson.D{{"k", 1}, {"x", 1}}, simple), createIndex("a", "kxg", bson.D{{"k", 1}, {"x", 1}}))
			}
		},
		"indexes on data": func(f *follower) {
			f.do(create("a"))
			insert(f.t, f.from, ns("a"), bson.D{{"_id", 1}, {"x", 1}}, bson.D{{"_id", 2}, {"x", 2}})
			f.do(createIndex("a", "x", x, e("unique", true)), bson.D{{"dropIndexes", "a"}, {"index", "*"}}, createIndex("a", "x", x))
		},
		"modify": func(f *follower) {
			f.do(
				create("a"), createIndex("a", "x", x), createIndex("a", "t", bson.D{{"t", 1}}, e("expireAfterSeconds", 10)), createIndex("a", "y", bson.D{{"y", 1}}),
				collMod("a", e("validator", bson.D{{"x", 5}}), e("validationAction", "warn")),
				collMod("a", e("index", bson.D{{"name", "t"}, {"expireAfterSeconds", 99}})),
				collMod("a", e("index", bson.D{{"keyPattern", x}, {"hidden", true}})), collMod("a", e("index", bson.D{{"name", "x"}, {"hidden", false}})),
				collMod("a", e("index", bson.D{{"name", "y"}, {"prepareUnique", true}})), collMod("a", e("index", bson.D{{"name", "y"}, {"unique", true}})),
				collMod("a", e("index", bson.D{{"name", "x"}, {"expireAfterSeconds", 7}})),
				create("v", e("viewOn", "a"), e("pipeline", bson.A{})), collMod("v", e("viewOn", "b"), e("pipeline", bson.A{bson.D{{"$match", x}}})),
				create("c", e("capped", true), e("size", 8192)), collMod("c", e("cappedSize", 16384)), collMod("c", e("cappedMax", 9)),
			)
		},
	}
	shardCollection := func(f *follower) {
		f.admin(bson.D{{"shardCollection", "d.new"}, {"key", bson.D{{"k", 1}}}}, bson.D{{"shardCollection", "d.hash"}, {"key", bson.D{{"_id", "hashed"}}}})
		f.do(create("a"), createIndex("a", "kx", bson.D{{"k", 1}, {"x", 1}}))
		insert(f.t, f.from, ns("a"), bson.D{{"_id", 1}, {"k", 1}})
		f.admin(bson.D{{"shardCollection", "d.a"}, {"key", bson.D{{"k", 1}}}}, bson.D{{"shardCollection", "d.u"}, {"key", bson.D{{"u", 1}}}, {"unique", true}})
		f.do(createIndex("hash", "x", x), collMod("hash", e("index", bson.D{{"name", "x"}, {"hidden", true}})), bson.D{{"dropIndexes", "hash"}, {"index", "x"}})
		f.do(bson.D{{"drop", "new"}})
	}
	for _, tt := range []struct{ from, to int }{{0, 0}, {2, 2}, {2, 0}, {0, 2}} {
		for story, tell := range stories {
			tellBoth(t, story, tt.from, tt.to, tell)
		}
		if tt.from > 0 {
			tellBoth(t, "shardCollection", tt.from, tt.to, shardCollection)
		}
	}
}

func tellBoth(t *testing.T, story string, from, to int, tell func(f *follower)) {
	t.Helper()
	for _, relax := range []bool{true, false} {
		t.Run(fmt.Sprintf("%s from %d to %d shards, relaxed %v", story, from, to, relax), func(t *testing.T) {
			bubble(t, two(from, to), func(t *testing.T, cl []*mongo.Client) {
				f := follow(t, cl[0], cl[1], relax)
				defer f.close()
				tell(f)
				f.finish()
				f.requireEqual()
			})
		})
	}
}

// The source may drop the index that its shard key had once another one serves
// it, even if that one still waits to be built on the destination.
func TestAnIndexThatWaitsServesTheShardKeyInTime(t *testing.T) {
	tellBoth(t, "an index that waits", 2, 2, func(f *follower) {
		f.changer.Defer = true
		f.do(create("c"), createIndex("c", "x_1", bson.D{{"x", 1}}))
		f.admin(bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"x", 1}}}})
		f.do(createIndex("c", "longer", bson.D{{"x", 1}, {"y", 1}}))
		f.do(bson.D{{"dropIndexes", "c"}, {"index", "x_1"}})
	})
}
