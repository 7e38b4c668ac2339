package mongotest_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// lives runs one story after the other with clusters on the same directory: each
// finds what a killed process of the one before would have left.
func lives(t *testing.T, o mongotest.Options, stories ...func(t *testing.T, c *mongotest.Cluster)) {
	t.Helper()
	dir := t.TempDir()
	for i, story := range stories {
		o.DBPath = filepath.Join(dir, string(rune('a'+i)))
		next := filepath.Join(dir, string(rune('a'+i+1)))
		bubble(t, o, func(t *testing.T, c *mongotest.Cluster) {
			story(t, c)
			require.NoError(t, os.CopyFS(next, os.DirFS(o.DBPath))) // while it runs
		})
		require.NoError(t, filepath.WalkDir(next, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				err = os.Chmod(path, 0o600)
			}
			return err
		}))
	}
}

// raw runs a command that must succeed.
func raw(t *testing.T, cl *mongo.Client, db string, cmd bson.D) bson.Raw {
	t.Helper()
	reply, err := cl.Database(db).RunCommand(t.Context(), cmd).Raw()
	require.NoError(t, err)
	return reply
}

// A sharded cluster goes on where it was killed: data, catalog, zones, balancer,
// users, write block, cluster time.
func TestShardedClusterComesBack(t *testing.T) {
	read := func(t *testing.T, cl *mongo.Client) map[string][]bson.D {
		out := map[string][]bson.D{}
		for _, ns := range [][2]string{
			{"config", "version"},
			{"config", "shards"},
			{"config", "databases"},
			{"config", "collections"},
			{"config", "chunks"},
			{"config", "tags"},
			{"config", "settings"},
			{"config", "changelog"},
			{"d", "c"},
			{"d", "u"},
			{"d", "v"},
			{"admin", "system.users"},
		} {
			out[ns[0]+"."+ns[1]] = all(t, cl.Database(ns[0]).Collection(ns[1]))
		}
		return out
	}
	var before map[string][]bson.D
	var at bson.Timestamp
	lives(t, mongotest.Options{Shards: 2, Users: []mongotest.User{{Name: "app", Password: "secret", Roles: []mongotest.Role{{Role: "root"}}}}},
		func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			shardHashed(t, cl, "d.c")
			for i := range 50 {
				_, err := cl.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", i}})
				require.NoError(t, err)
			}
			raw(t, cl, "admin", bson.D{{"addShardToZone", "shard1"}, {"zone", "z"}})
			raw(t, cl, "admin", bson.D{{"updateZoneKeyRange", "d.ranged"}, {"min", bson.D{{"k", 1}}}, {"max", bson.D{{"k", 5}}}, {"zone", "z"}})
			raw(t, cl, "admin", bson.D{{"balancerStart", 1}})
			raw(t, cl, "d", bson.D{{"create", "v"}, {"viewOn", "c"}, {"pipeline", bson.A{bson.D{{"$match", bson.D{{"_id", bson.D{{"$lt", 5}}}}}}}}})
			_, err := cl.Database("d").Collection("u").Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{"a", 1}}, Options: options.Index().SetUnique(true)})
			require.NoError(t, err)
			_, err = cl.Database("d").Collection("u").InsertOne(t.Context(), bson.D{{"_id", 1}, {"a", 1}})
			require.NoError(t, err)
			raw(t, cl, "admin", bson.D{{"createUser", "late"}, {"pwd", "p"}, {"roles", bson.A{"root"}}})
			raw(t, cl, "admin", bson.D{{"setUserWriteBlockMode", 1}, {"global", true}})
			before = read(t, cl)
			require.Len(t, before["d.v"], 5)
			at = clusterTime(raw(t, cl, "admin", bson.D{{"ping", 1}}))
		},
		func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			assert.True(t, clusterTime(raw(t, cl, "admin", bson.D{{"ping", 1}})).After(at))
			assert.Equal(t, before, read(t, cl))
			_, err := cl.Database("d").Collection("u").InsertOne(t.Context(), bson.D{{"_id", 2}, {"a", 2}})
			requireCode(t, err, 371) // UserWritesBlocked
			raw(t, cl, "admin", bson.D{{"setUserWriteBlockMode", 1}, {"global", false}})
			_, err = cl.Database("d").Collection("u").InsertOne(t.Context(), bson.D{{"_id", 2}, {"a", 1}})
			assert.True(t, mongo.IsDuplicateKeyError(err))
			_, err = cl.Database("d").Collection("c").UpdateMany(t.Context(), bson.D{}, bson.D{{"$set", bson.D{{"x", 1}}}})
			require.NoError(t, err)
		},
		func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			n, err := cl.Database("d").Collection("c").CountDocuments(t.Context(), bson.D{{"x", 1}})
			require.NoError(t, err)
			assert.Equal(t, int64(50), n)
		})
}

// A config server that is a shard is one after a restart, with what it holds.
func TestAConfigShardComesBack(t *testing.T) {
	lives(t, mongotest.Options{Shards: 1},
		func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			raw(t, cl, "admin", bson.D{{"transitionFromDedicatedConfigServer", 1}})
			raw(t, cl, "admin", bson.D{{"enableSharding", "d"}, {"primaryShard", "config"}})
			_, err := cl.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
			require.NoError(t, err)
		},
		func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			_, err := cl.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 2}})
			require.NoError(t, err)
			assert.Len(t, all(t, cl.Database("d").Collection("c")), 2)
			direct, gone := connectShard(t, c, "config")
			defer gone()
			assert.Len(t, all(t, direct.Database("d").Collection("c")), 2)
			raw(t, cl, "admin", bson.D{{"transitionToDedicatedConfigServer", 1}})
			raw(t, cl, "admin", bson.D{{"movePrimary", "d"}, {"to", "shard0"}})
			assert.Equal(t, "completed", raw(t, cl, "admin", bson.D{{"transitionToDedicatedConfigServer", 1}}).Lookup("state").StringValue())
			assert.Len(t, all(t, cl.Database("d").Collection("c")), 2)
		})
}

func clusterTime(reply bson.Raw) bson.Timestamp {
	var ts bson.Timestamp
	ts.T, ts.I = reply.Lookup("$clusterTime", "clusterTime").Timestamp()
	return ts
}

func requireCode(t *testing.T, err error, code int) {
	t.Helper()
	var e mongo.ServerError
	require.ErrorAs(t, err, &e)
	require.True(t, e.HasErrorCode(code), "%v", err)
}

// A stream resumes from a token of before the end, and a retryable write of
// before it is not carried out again: not an update, not an upsert, not a
// findAndModify. A transaction that was committed stays so, an open one is gone.
func TestSessionsAndStreamsComeBack(t *testing.T) {
	id := func(n byte) bson.D {
		return bson.D{{"id", bson.Binary{Subtype: 4, Data: []byte{n, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}}}}
	}
	retryable := func(n byte, cmd bson.D) bson.D {
		return append(cmd, bson.E{Key: "lsid", Value: id(n)}, bson.E{Key: "txnNumber", Value: int64(3)})
	}
	inc := bson.D{{"$inc", bson.D{{"n", 1}}}}
	commands := []bson.D{
		retryable(1, bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{{"_id", 1}}}, {"u", inc}}}}}),
		retryable(2, bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{{"_id", 2}, {"n", 0}}}, {"u", inc}, {"upsert", true}}}}}),
		retryable(3, bson.D{{"findAndModify", "c"}, {"query", bson.D{{"_id", 3}}}, {"update", inc}, {"new", true}}),
		retryable(4, bson.D{{"findAndModify", "c"}, {"query", bson.D{{"_id", 4}}}, {"remove", true}}),
		retryable(5, bson.D{{"delete", "c"}, {"deletes", bson.A{bson.D{{"q", bson.D{{"_id", bson.D{{"$gt", 90}}}}}, {"limit", 1}}}}}),
	}
	committed := bson.D{{"commitTransaction", 1}, {"lsid", id(6)}, {"txnNumber", int64(1)}, {"autocommit", false}}
	var token bson.Raw
	var replies []bson.Raw
	var docs []bson.D
	lives(t, mongotest.Options{},
		func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			coll := cl.Database("d").Collection("c")
			for _, i := range []int{1, 3, 4, 98, 99} {
				_, err := coll.InsertOne(t.Context(), bson.D{{"_id", i}})
				require.NoError(t, err)
			}
			stream, err := coll.Watch(t.Context(), mongo.Pipeline{})
			require.NoError(t, err)
			for _, cmd := range commands {
				replies = append(replies, plain(t, c, "d", cmd))
			}
			require.True(t, stream.Next(t.Context()))
			token = bson.Raw(append([]byte(nil), stream.ResumeToken()...))
			require.NoError(t, stream.Close(t.Context()))
			for n := byte(6); n <= 7; n++ {
				plain(t, c, "d", bson.D{
					{"insert", "c"}, {"documents", bson.A{bson.D{{"_id", int(100 + n)}}}}, {"lsid", id(n)}, {"txnNumber", int64(1)}, {"autocommit", false}, {"startTransaction", true},
				})
			}
			plain(t, c, "admin", committed)
			docs = all(t, coll)
		},
		func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			coll := cl.Database("d").Collection("c")
			for i, cmd := range commands {
				again := plain(t, c, "d", cmd)
				for _, field := range []string{"n", "nModified", "value", "upserted", "lastErrorObject"} {
					assert.Equal(t, replies[i].Lookup(field), again.Lookup(field), "%s of %s", field, again)
				}
			}
			assert.Equal(t, docs, all(t, coll))
			plain(t, c, "admin", committed)
			open := answer(t, c, "admin", bson.D{{"commitTransaction", 1}, {"lsid", id(7)}, {"txnNumber", int64(1)}, {"autocommit", false}})
			assert.Equal(t, "NoSuchTransaction", open.Lookup("codeName").StringValue())

			stream, err := coll.Watch(t.Context(), mongo.Pipeline{}, options.ChangeStream().SetResumeAfter(token))
			require.NoError(t, err)
			defer func() { assert.NoError(t, stream.Close(t.Context())) }()
			var kinds []string
			for range 5 {
				require.True(t, stream.Next(t.Context()), "%v", stream.Err())
				kinds = append(kinds, stream.Current.Lookup("operationType").StringValue())
			}
			assert.Equal(t, []string{"insert", "update", "delete", "delete", "insert"}, kinds)
		})
}

// What was prepared to be deleted after a migration still is, and what is not
// owned does not show.
func TestRangeDeletionComesBack(t *testing.T) {
	left := func(t *testing.T, c *mongotest.Cluster) int64 {
		direct, err := c.ShardURI("shard0")
		require.NoError(t, err)
		cl, err := mongo.Connect(options.Client().ApplyURI(direct).SetDialer(c.Dialer()))
		require.NoError(t, err)
		defer func() { assert.NoError(t, cl.Disconnect(t.Context())) }()
		n, err := cl.Database("d").Collection("c").CountDocuments(t.Context(), bson.D{})
		require.NoError(t, err)
		return n
	}
	count := func(t *testing.T, cl *mongo.Client) int64 {
		n, err := cl.Database("d").Collection("c").CountDocuments(t.Context(), bson.D{})
		require.NoError(t, err)
		return n
	}
	lives(t, mongotest.Options{Shards: 2},
		func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			raw(t, cl, "admin", bson.D{{"enableSharding", "d"}, {"primaryShard", "shard0"}})
			raw(t, cl, "admin", bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"_id", 1}}}})
			for i := range 20 {
				_, err := cl.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", i}})
				require.NoError(t, err)
			}
			raw(t, cl, "admin", bson.D{{"moveRange", "d.c"}, {"min", bson.D{{"_id", 10}}}, {"toShard", "shard1"}})
			assert.Equal(t, int64(20), left(t, c))
		},
		func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			assert.Equal(t, int64(20), left(t, c))
			assert.Equal(t, int64(20), count(t, cl))
			pass(16 * time.Minute)
			assert.Equal(t, int64(10), left(t, c))
			assert.Equal(t, int64(20), count(t, cl))
			assert.Len(t, all(t, cl.Database("d").Collection("c")), 20)
		})
}

// A disk that fails ends the cluster: it cannot keep what it has promised.
func TestBrokenDiskEndsTheCluster(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	synctest.Test(t, func(t *testing.T) {
		c, err := mongotest.New(mongotest.Options{DBPath: dir})
		require.NoError(t, err)
		ran := make(chan error, 1)
		go func() { ran <- c.Run(t.Context()) }()
		<-c.Ready()
		cl, done := connect(t, c, options.Client().SetServerSelectionTimeout(time.Second))
		defer done()
		require.NoError(t, os.RemoveAll(dir))
		pad := make([]byte, 8<<20)
		for err == nil {
			_, err = cl.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"pad", pad}})
		}
		require.ErrorIs(t, <-ran, fs.ErrNotExist)
	})
}

// Two processes cannot have one directory, and another shape is refused.
func TestDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	bubble(t, mongotest.Options{DBPath: dir}, func(t *testing.T, _ *mongotest.Cluster) {
		for _, o := range []mongotest.Options{{DBPath: dir}, {DBPath: dir, Shards: 1}} {
			c, err := mongotest.New(o)
			require.NoError(t, err)
			require.ErrorContains(t, c.Run(t.Context()), dir)
		}
	})
}

// With several members the disk has what the latest primary has: what only an
// isolated one took is gone after a restart, as after its rollback, and a retry
// of that does it again.
func TestDiskFollowsTheLatestPrimary(t *testing.T) {
	id := bson.D{{"id", bson.Binary{Subtype: 4, Data: []byte{1, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}}}}
	increment := func(w any) bson.D {
		return bson.D{
			{"findAndModify", "c"},
			{"query", bson.D{{"_id", 1}}},
			{"update", bson.D{{"$inc", bson.D{{"n", 1}}}}},
			{"new", true},
			{"lsid", id},
			{"txnNumber", int64(1)},
			{"writeConcern", bson.D{{"w", w}}},
		}
	}
	lives(t, mongotest.Options{Members: 3, ElectionTimeout: time.Second},
		func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			coll := cl.Database("d").Collection("c")
			_, err := coll.InsertMany(t.Context(), []any{bson.D{{"_id", 1}}, bson.D{{"_id", 2}}})
			require.NoError(t, err)
			members, err := c.Members("rs0")
			require.NoError(t, err)
			require.NoError(t, c.StopReplication(members[1]))
			require.NoError(t, c.StopReplication(members[2]))
			plain(t, c, "d", increment(1)) // only the first member has this
			plain(t, c, "d", bson.D{{"create", "lost"}, {"writeConcern", bson.D{{"w", 1}}}})
			require.NoError(t, c.Isolate(t.Context(), members[0]))
			pass(5 * time.Second)
			require.NoError(t, c.ResumeReplication(members[1]))
			require.NoError(t, c.ResumeReplication(members[2]))
			_, err = coll.InsertOne(t.Context(), bson.D{{"_id", 3}})
			require.NoError(t, err)
			require.NoError(t, c.Rejoin(members[0]))
			pass(5 * time.Second)
		},
		func(t *testing.T, c *mongotest.Cluster) {
			cl, done := connect(t, c)
			defer done()
			coll := cl.Database("d").Collection("c")
			assert.Equal(t, []bson.D{{{"_id", int32(1)}}, {{"_id", int32(2)}}, {{"_id", int32(3)}}}, all(t, coll))
			names, err := cl.Database("d").ListCollectionNames(t.Context(), bson.D{})
			require.NoError(t, err)
			assert.Equal(t, []string{"c"}, names)
			reply := plain(t, c, "d", increment("majority"))
			assert.Equal(t, int32(1), reply.Lookup("value", "n").Int32())
			assert.Zero(t, reply.Lookup("retriedStmtId").Type)
		},
		func(t *testing.T, c *mongotest.Cluster) {
			reply := plain(t, c, "d", increment("majority"))
			assert.Equal(t, int32(1), reply.Lookup("value", "n").Int32())
			assert.NotZero(t, reply.Lookup("retriedStmtId").Type)
		})
}

// What commands have set for a whole replica set stays set.
func TestSettingsComeBack(t *testing.T) {
	ask := []bson.D{
		{{"getDefaultRWConcern", 1}},
		{{"getClusterParameter", "changeStreamOptions"}},
		{{"getParameter", 1}, {"featureCompatibilityVersion", 1}},
		{{"aggregate", 1}, {"pipeline", bson.A{bson.D{{"$querySettings", bson.D{}}}}}, {"cursor", bson.D{}}, {"readConcern", bson.D{{"level", "local"}}}},
	}
	fields := []string{"defaultReadConcern", "defaultWriteConcern", "updateOpTime", "clusterParameters", "featureCompatibilityVersion", "cursor"}
	read := func(t *testing.T, c *mongotest.Cluster) (out []string) {
		for _, cmd := range ask {
			reply := plain(t, c, "admin", cmd)
			for _, f := range fields {
				out = append(out, reply.Lookup(f).String())
			}
		}
		return out
	}
	var fresh, before []string
	lives(t, mongotest.Options{},
		func(t *testing.T, c *mongotest.Cluster) {
			fresh = read(t, c)
			for _, cmd := range []bson.D{
				{{"setDefaultRWConcern", 1}, {"defaultReadConcern", bson.D{{"level", "majority"}}}, {"defaultWriteConcern", bson.D{{"w", 1}}}},
				{{"setClusterParameter", bson.D{{"changeStreamOptions", bson.D{{"preAndPostImages", bson.D{{"expireAfterSeconds", 100}}}}}}}},
				{{"setFeatureCompatibilityVersion", "7.0"}, {"confirm", true}},
				{
					{"setQuerySettings", bson.D{{"find", "c"}, {"filter", bson.D{{"a", 1}}}, {"$db", "d"}}},
					{"settings", bson.D{{"indexHints", bson.D{{"ns", bson.D{{"db", "d"}, {"coll", "c"}}}, {"allowedIndexes", bson.A{"a_1"}}}}}},
				},
			} {
				plain(t, c, "admin", cmd)
			}
			before = read(t, c)
			changed := 0
			for i := range before {
				if before[i] != fresh[i] {
					changed++
				}
			}
			assert.Equal(t, len(fields), changed, "each of them")
		},
		func(t *testing.T, c *mongotest.Cluster) { assert.Equal(t, before, read(t, c)) })
}
