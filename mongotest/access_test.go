package mongotest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
	"github.com/shardferry/shardferry/mongotest/internal/access"
	"github.com/shardferry/shardferry/mongotest/internal/command"
)

// eachTopology runs a test on a replica set and through a router, both of which
// require a login.
func eachTopology(t *testing.T, test func(t *testing.T, c *mongotest.Cluster)) {
	users := []mongotest.User{{Name: "ops", Password: "pw", Roles: []mongotest.Role{{Role: "root"}}}}
	for name, shards := range map[string]int{"replica set": 0, "sharded": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, mongotest.Options{Shards: shards, Users: users, RequireAuth: true}, test)
		})
	}
}

// Users that a client creates log in, may do what their roles say, and notice
// at once when these change.
func TestCreatedUsers(t *testing.T) {
	eachTopology(t, func(t *testing.T, c *mongotest.Cluster) {
		ops, done := connect(t, c, login("ops"))
		defer done()
		run := func(db string, cmd bson.D) {
			t.Helper()
			require.NoError(t, ops.Database(db).RunCommand(t.Context(), cmd).Err())
		}
		_, err := ops.Database("app").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		_, err = ops.Database("secret").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		run("app", bson.D{{"createUser", "joe"}, {"pwd", "pw"}, {"roles", bson.A{"read"}}})

		joe, done := connect(t, c, options.Client().SetAuth(options.Credential{AuthSource: "app", Username: "joe", Password: "pw"}))
		defer done()
		coll := joe.Database("app").Collection("c")
		n, err := coll.CountDocuments(t.Context(), bson.D{})
		require.NoError(t, err)
		assert.Equal(t, int64(1), n)
		insert := func() error {
			_, err := coll.InsertOne(t.Context(), bson.D{{"x", 1}})
			return err
		}
		assertCode(t, 13, insert())
		assertCode(t, 13, joe.Database("secret").Collection("c").FindOne(t.Context(), bson.D{}).Err())
		names, err := joe.ListDatabaseNames(t.Context(), bson.D{})
		require.NoError(t, err)
		assert.Equal(t, []string{"app"}, names)

		run("app", bson.D{{"grantRolesToUser", "joe"}, {"roles", bson.A{"readWrite"}}})
		require.NoError(t, insert())
		run("app", bson.D{{"revokeRolesFromUser", "joe"}, {"roles", bson.A{"readWrite"}}})
		assertCode(t, 13, insert())
		run("app", bson.D{{"dropUser", "joe"}})
		assertCode(t, 13, coll.FindOne(t.Context(), bson.D{}).Err())
	})
}

// What a custom role allows changes with the role.
func TestCustomRoles(t *testing.T) {
	eachTopology(t, func(t *testing.T, c *mongotest.Cluster) {
		ops, done := connect(t, c, login("ops"))
		defer done()
		admin := ops.Database("admin")
		privilege := func(actions ...string) bson.A {
			return bson.A{bson.D{{"resource", bson.D{{"db", "app"}, {"collection", "log"}}}, {"actions", actions}}}
		}
		require.NoError(t, admin.RunCommand(t.Context(), bson.D{{"createRole", "writer"}, {"privileges", privilege("insert")}, {"roles", bson.A{}}}).Err())
		require.NoError(t, admin.RunCommand(t.Context(), bson.D{{"createUser", "sync"}, {"pwd", "pw"}, {"roles", bson.A{"writer"}}}).Err())
		cl, done := connect(t, c, login("sync"))
		defer done()
		log := cl.Database("app").Collection("log")
		_, err := log.InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		assertCode(t, 13, log.FindOne(t.Context(), bson.D{}).Err())
		require.NoError(t, admin.RunCommand(t.Context(), bson.D{{"grantPrivilegesToRole", "writer"}, {"privileges", privilege("find")}}).Err())
		require.NoError(t, log.FindOne(t.Context(), bson.D{}).Err())
		require.NoError(t, admin.RunCommand(t.Context(), bson.D{{"dropRole", "writer"}}).Err())
		assertCode(t, 13, log.FindOne(t.Context(), bson.D{}).Err())
	})
}

// Every command of a member and of a router says what it needs.
func TestEveryCommandHasARule(t *testing.T) {
	eachTopology(t, func(t *testing.T, c *mongotest.Cluster) {
		ops, done := connect(t, c, login("ops"))
		defer done()
		var reply struct {
			Commands map[string]any
		}
		require.NoError(t, ops.Database("admin").RunCommand(t.Context(), bson.D{{"listCommands", 1}}).Decode(&reply))
		for name := range reply.Commands {
			body, err := bson.Marshal(bson.D{{name, 1}})
			require.NoError(t, err)
			_, known := access.Needs(&command.Request{Name: name, DB: "d", Body: body, Client: &command.Client{}})
			assert.True(t, known, "command %s has no rule in package access", name)
		}
	})
}

// A client that has not logged in sees that it must.
func TestLoginIsRequired(t *testing.T) {
	eachTopology(t, func(t *testing.T, c *mongotest.Cluster) {
		anon, done := connect(t, c)
		defer done()
		err := anon.Database("d").Collection("c").FindOne(t.Context(), bson.D{}).Err()
		var ce mongo.CommandError
		require.ErrorAs(t, err, &ce)
		assert.Equal(t, "Command find requires authentication", ce.Message)
	})
}
