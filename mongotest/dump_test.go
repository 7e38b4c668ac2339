package mongotest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// A dump is what mongodump has read: for each collection its entry of
// listCollections, its indexes and its documents.
type dump map[string]*dumped

type dumped struct {
	options, info bson.Raw
	indexes       []bson.Raw
	docs          []bson.Raw
}

// A database is read and written with the roles, the commands and the options
// of mongodump and mongorestore, users included.
func TestDumpAndRestore(t *testing.T) {
	users := []mongotest.User{
		{Name: "ops", Password: "pw", Roles: []mongotest.Role{{Role: "root"}}},
		{Name: "dumper", Password: "pw", Roles: []mongotest.Role{{Role: "backup"}}},
		{Name: "restorer", Password: "pw", Roles: []mongotest.Role{{Role: "restore"}}},
	}
	for name, shards := range map[string]int{"replica set": 0, "sharded": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, mongotest.Options{Shards: shards, Users: users, RequireAuth: true}, func(t *testing.T, c *mongotest.Cluster) {
				clients := map[string]*mongo.Client{}
				for _, u := range users {
					cl, done := connect(t, c, login(u.Name))
					defer done()
					clients[u.Name] = cl
				}
				app := clients["ops"].Database("app")
				fill(t, app)
				saved := dumpOf(t, clients["dumper"], "app")
				require.Len(t, saved, 3)
				accounts := documents(t, clients["dumper"].Database("admin").Collection("system.users"))
				require.Len(t, accounts, len(users)+1)

				require.NoError(t, app.RunCommand(t.Context(), bson.D{{"dropAllUsersFromDatabase", 1}}).Err())
				require.NoError(t, app.Drop(t.Context()))
				restoreTo(t, clients["restorer"].Database("app"), saved, shards == 0)
				temp := clients["restorer"].Database("admin").Collection("tempusers")
				_, err := temp.InsertMany(t.Context(), accounts)
				require.NoError(t, err)
				require.NoError(t, temp.Database().RunCommand(t.Context(), bson.D{
					{"_mergeAuthzCollections", 1}, {"tempUsersCollection", "admin.tempusers"}, {"drop", false}, {"db", ""},
				}).Err())
				require.NoError(t, temp.Drop(t.Context()))

				again := dumpOf(t, clients["dumper"], "app")
				for coll, want := range saved {
					assert.Equal(t, want.options, again[coll].options, coll)
					assert.Equal(t, want.indexes, again[coll].indexes, coll)
					assert.Equal(t, want.docs, again[coll].docs, coll)
					if shards == 0 {
						assert.Equal(t, want.info, again[coll].info, "%s: its UUID is kept", coll)
					}
				}
				joe, done := connect(t, c, options.Client().SetAuth(options.Credential{AuthSource: "app", Username: "joe", Password: "pw"}))
				defer done()
				n, err := joe.Database("app").Collection("people").CountDocuments(t.Context(), bson.D{})
				require.NoError(t, err)
				assert.Equal(t, int64(50), n)
			})
		})
	}
}

// fill makes a database with a collection that has indexes, one that is capped,
// one whose validator does not suit its document, and a user.
func fill(t *testing.T, db *mongo.Database) {
	t.Helper()
	docs := make([]any, 50)
	for i := range docs {
		docs[i] = bson.D{{"_id", i}, {"name", "n"}}
	}
	_, err := db.Collection("people").InsertMany(t.Context(), docs)
	require.NoError(t, err)
	_, err = db.Collection("people").Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{"name", 1}}})
	require.NoError(t, err)
	require.NoError(t, db.CreateCollection(t.Context(), "log", options.CreateCollection().SetCapped(true).SetSizeInBytes(4096)))
	_, err = db.Collection("strict").InsertOne(t.Context(), bson.D{{"_id", 1}})
	require.NoError(t, err)
	require.NoError(t, db.RunCommand(t.Context(), bson.D{{"collMod", "strict"}, {"validator", bson.D{{"a", 1}}}}).Err())
	require.NoError(t, db.RunCommand(t.Context(), bson.D{{"createUser", "joe"}, {"pwd", "pw"}, {"roles", bson.A{"read"}}}).Err())
}

func dumpOf(t *testing.T, cl *mongo.Client, name string) dump {
	t.Helper()
	names, err := cl.ListDatabaseNames(t.Context(), bson.D{})
	require.NoError(t, err)
	require.Contains(t, names, name)
	cur, err := cl.Database(name).ListCollections(t.Context(), bson.D{})
	require.NoError(t, err)
	var entries []bson.Raw
	require.NoError(t, cur.All(t.Context(), &entries))
	out := dump{}
	for _, e := range entries {
		coll := cl.Database(name).Collection(e.Lookup("name").StringValue())
		d := &dumped{options: e.Lookup("options").Document(), info: e.Lookup("info").Document()}
		require.NoError(t, coll.Database().RunCommand(t.Context(), bson.D{{"collStats", coll.Name()}}).Err())
		indexes, err := coll.Indexes().List(t.Context())
		require.NoError(t, err)
		require.NoError(t, indexes.All(t.Context(), &d.indexes))
		for _, doc := range documents(t, coll) {
			d.docs = append(d.docs, doc.(bson.Raw))
		}
		out[coll.Name()] = d
	}
	return out
}

// documents reads a collection as mongodump does, by _id.
func documents(t *testing.T, coll *mongo.Collection) []any {
	t.Helper()
	cur, err := coll.Find(t.Context(), bson.D{}, options.Find().SetHint(bson.D{{"_id", 1}}).SetNoCursorTimeout(true))
	require.NoError(t, err)
	var docs []bson.Raw
	require.NoError(t, cur.All(t.Context(), &docs))
	out := make([]any, len(docs))
	for i, d := range docs {
		out[i] = d
	}
	return out
}

// restoreTo writes a dump as mongorestore does; with uuids as it does with
// --preserveUUID, which no router supports.
func restoreTo(t *testing.T, db *mongo.Database, from dump, uuids bool) {
	t.Helper()
	for name, d := range from {
		var create bson.D
		require.NoError(t, bson.Unmarshal(d.options, &create))
		create = append(bson.D{{"create", name}}, create...)
		create = append(create, bson.E{Key: "idIndex", Value: d.indexes[0]})
		if uuids {
			entry := bson.D{{"op", "c"}, {"ns", db.Name() + ".$cmd"}, {"ui", d.info.Lookup("uuid")}, {"o", create}}
			require.NoError(t, db.Client().Database("admin").RunCommand(t.Context(), bson.D{{"applyOps", bson.A{entry}}}).Err())
		} else {
			require.NoError(t, db.RunCommand(t.Context(), create).Err())
		}
		if len(d.docs) > 0 {
			_, err := db.Collection(name).InsertMany(t.Context(), d.docs, options.InsertMany().SetOrdered(false).SetBypassDocumentValidation(true))
			require.NoError(t, err)
		}
		if len(d.indexes) > 1 {
			require.NoError(t, db.RunCommand(t.Context(), bson.D{
				{"createIndexes", name}, {"indexes", d.indexes[1:]}, {"ignoreUnknownIndexOptions", true},
			}).Err())
		}
	}
}
