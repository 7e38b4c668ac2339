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

// A write block stops everybody but those who are logged in with the privilege
// to pass it, on a replica set and through a router.
func TestWriteBlock(t *testing.T) {
	users := []mongotest.User{
		{Name: "sync", Password: "pw", Roles: []mongotest.Role{{Role: "restore"}}},
		{Name: "app", Password: "pw", Roles: []mongotest.Role{{Role: "readWriteAnyDatabase"}}},
	}
	for name, shards := range map[string]int{"replica set": 0, "sharded": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, mongotest.Options{Shards: shards, Users: users}, func(t *testing.T, c *mongotest.Cluster) {
				anon, done := connect(t, c)
				defer done()
				syncer, done := connect(t, c, login("sync"))
				defer done()
				app, done := connect(t, c, login("app"))
				defer done()
				if shards > 0 {
					shardHashed(t, anon, "d.c")
				}
				block := func(on bool) {
					require.NoError(t, syncer.Database("admin").RunCommand(t.Context(), bson.D{
						{"setUserWriteBlockMode", 1}, {"global", on},
					}).Err())
				}
				insert := func(cl *mongo.Client, id int) error {
					_, err := cl.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", id}})
					return err
				}
				require.NoError(t, insert(anon, 1))
				block(true)
				assertCode(t, 371, insert(anon, 2))
				assertCode(t, 371, insert(app, 3))
				require.NoError(t, insert(syncer, 4))
				block(false)
				require.NoError(t, insert(anon, 5))
				n, err := anon.Database("d").Collection("c").CountDocuments(t.Context(), bson.D{})
				require.NoError(t, err)
				assert.Equal(t, int64(3), n)
			})
		})
	}
}

func login(user string) *options.ClientOptions {
	return options.Client().SetAuth(options.Credential{Username: user, Password: "pw"})
}

// assertCode asserts that err is a server's error, of a command or of a write,
// with the given code.
func assertCode(t *testing.T, code int, err error) {
	t.Helper()
	var se mongo.ServerError
	if assert.ErrorAs(t, err, &se) {
		assert.Truef(t, se.HasErrorCode(code), "%v", err)
	}
}

// With RequireAuth nothing works before a login.
func TestRequireAuth(t *testing.T) {
	o := mongotest.Options{RequireAuth: true, Users: []mongotest.User{{Name: "ops", Password: "pw", Roles: []mongotest.Role{{Role: "root"}}}}}
	bubble(t, o, func(t *testing.T, c *mongotest.Cluster) {
		anon, done := connect(t, c)
		defer done()
		require.NoError(t, anon.Ping(t.Context(), nil))
		_, err := anon.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
		assertCode(t, 13, err)
		ops, done := connect(t, c, login("ops"))
		defer done()
		_, err = ops.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
	})
}
