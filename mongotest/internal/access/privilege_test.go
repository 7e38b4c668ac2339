package access_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/access"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// noCustom knows the built-in roles only.
var noCustom = access.RoleFinder(func(command.Role) (access.Role, bool) { return access.Role{}, false })

func privileges(roles ...command.Role) access.Privileges {
	_, ps := noCustom.Expand(roles)
	return ps
}

// What each built-in role lets its user do, by commands.
func TestRolesAllowCommands(t *testing.T) {
	cmd := func(pairs ...any) bson.Raw { return value.D(pairs...) }
	pipeline := func(stages ...any) bson.RawValue { return value.A(stages...) }
	tests := map[string]struct {
		role, in string
		db       string
		body     bson.Raw
		refused  bool
	}{
		"read reads":                        {"read", "a", "a", cmd("find", "c"), false},
		"read does not read elsewhere":      {"read", "a", "b", cmd("find", "c"), true},
		"read does not write":               {"read", "a", "a", cmd("insert", "c"), true},
		"read watches":                      {"read", "a", "a", cmd("aggregate", "c", "pipeline", pipeline(value.D("$changeStream", value.D()))), false},
		"read does not watch everything":    {"read", "admin", "admin", cmd("aggregate", 1, "pipeline", pipeline(value.D("$changeStream", value.D("allChangesForCluster", true)))), true},
		"readAnyDatabase watches all":       {"readAnyDatabase", "admin", "admin", cmd("aggregate", 1, "pipeline", pipeline(value.D("$changeStream", value.D("allChangesForCluster", true)))), false},
		"readAnyDatabase leaves out config": {"readAnyDatabase", "admin", "config", cmd("find", "chunks"), true},
		"clusterMonitor reads config":       {"clusterMonitor", "admin", "config", cmd("find", "chunks"), false},
		"read does not read system.users":   {"readAnyDatabase", "admin", "admin", cmd("find", "system.users"), true},
		"backup reads system.users":         {"backup", "admin", "admin", cmd("find", "system.users"), false},
		"readWrite writes":                  {"readWrite", "a", "a", cmd("insert", "c"), false},
		"readWrite makes indexes":           {"readWrite", "a", "a", cmd("createIndexes", "c"), false},
		"readWrite does not collMod":        {"readWrite", "a", "a", cmd("collMod", "c"), true},
		"readWrite does not drop the db":    {"readWrite", "a", "a", cmd("dropDatabase", 1), true},
		"readWrite needs the validator":     {"readWrite", "a", "a", cmd("insert", "c", "bypassDocumentValidation", true), true},
		"read does not $out":                {"read", "a", "a", cmd("aggregate", "c", "pipeline", pipeline(value.D("$out", "d"))), true},
		"readWrite does $out":               {"readWrite", "a", "a", cmd("aggregate", "c", "pipeline", pipeline(value.D("$out", "d"))), false},
		"readWrite not into another db":     {"readWrite", "a", "a", cmd("aggregate", "c", "pipeline", pipeline(value.D("$merge", value.D("into", value.D("db", "b", "coll", "d"))))), true},
		"read does join":                    {"read", "a", "a", cmd("aggregate", "c", "pipeline", pipeline(value.D("$lookup", value.D("from", "d")))), false},
		"explain needs what is explained":   {"read", "a", "a", cmd("explain", value.D("delete", "c")), true},
		"dbAdmin does not read":             {"dbAdmin", "a", "a", cmd("find", "c"), true},
		"dbAdmin drops the database":        {"dbAdmin", "a", "a", cmd("dropDatabase", 1), false},
		"dbOwner makes users":               {"dbOwner", "a", "a", cmd("createUser", "u", "roles", value.A("read")), false},
		"but grants only its own database":  {"dbOwner", "a", "a", cmd("createUser", "u", "roles", value.A(value.D("role", "read", "db", "b"))), true},
		"userAdmin does not read":           {"userAdmin", "a", "a", cmd("find", "c"), true},
		"restore does not read":             {"restore", "admin", "a", cmd("find", "c"), true},
		"restore inserts":                   {"restore", "admin", "a", cmd("insert", "c", "bypassDocumentValidation", true), false},
		"restore blocks writes":             {"restore", "admin", "admin", cmd("setUserWriteBlockMode", 1), false},
		"clusterManager shards":             {"clusterManager", "admin", "admin", cmd("shardCollection", "a.c"), false},
		"clusterManager moves":              {"clusterManager", "admin", "admin", cmd("moveChunk", "a.c"), false},
		"clusterManager stops the balancer": {"clusterManager", "admin", "admin", cmd("balancerStop", 1), false},
		"enableSharding does not move":      {"enableSharding", "admin", "admin", cmd("moveChunk", "a.c"), true},
		"hostManager kills":                 {"hostManager", "admin", "admin", cmd("killOp", 1), false},
		"root reads status":                 {"root", "admin", "admin", cmd("serverStatus", 1), false},
		"root reads config":                 {"root", "admin", "config", cmd("find", "chunks"), false},
		"root applies operations":           {"root", "admin", "admin", cmd("applyOps", value.A()), false},
		"restore creates by applyOps":       {"restore", "admin", "admin", cmd("applyOps", value.A(value.D("op", "c", "ns", "a.$cmd", "o", value.D("create", "c")))), false},
		"but deletes nothing by it":         {"restore", "admin", "admin", cmd("applyOps", value.A(value.D("op", "d", "ns", "a.c", "o", value.D()))), true},
		"nor drops a database":              {"restore", "admin", "admin", cmd("applyOps", value.A(value.D("op", "c", "ns", "a.$cmd", "o", value.D("dropDatabase", 1)))), true},
		"root inserts by it":                {"root", "admin", "admin", cmd("applyOps", value.A(value.D("op", "i", "ns", "a.c", "o", value.D()))), false},
		"__system does anything":            {"__system", "admin", "config", cmd("delete", "system.sessions"), false},
		"an upsert inserts":                 {"restore", "admin", "a", cmd("update", "c", "updates", value.A(value.D("upsert", true))), true},
		"everybody pings":                   {"read", "a", "b", cmd("ping", 1), false},
		"everybody lists databases":         {"read", "a", "admin", cmd("listDatabases", 1), false},
		"names of own collections":          {"read", "a", "b", cmd("listCollections", 1, "nameOnly", true, "authorizedCollections", true), false},
		"but not all of them":               {"read", "a", "b", cmd("listCollections", 1), true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			first, err := tc.body.IndexErr(0)
			require.NoError(t, err)
			req := &command.Request{Name: first.Key(), DB: tc.db, Body: tc.body, Client: &command.Client{User: "admin.u"}}
			err = privileges(command.Role{Role: tc.role, DB: tc.in}).Authorize(req)
			if !tc.refused {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			e := mongoerr.From(err)
			assert.Equal(t, mongoerr.Unauthorized, e.Code)
			assert.Contains(t, e.Message, "not authorized on "+tc.db+" to execute command { ")
		})
	}
}

// A refusal does not repeat a password.
func TestARefusalKeepsSecrets(t *testing.T) {
	req := &command.Request{Name: "createUser", DB: "a", Body: value.D("createUser", "u", "pwd", "s3cret"), Client: &command.Client{}}
	err := access.Privileges(nil).Authorize(req)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "s3cret")
}

// Users and roles are read back as they were written.
func TestDocumentsRoundTrip(t *testing.T) {
	u, err := access.NewUser("app", "joe", "pw", []command.Role{{Role: "read", DB: "app"}})
	require.NoError(t, err)
	u.CustomData = value.D("team", "blue")
	assert.Equal(t, u, access.ParseUser(u.BSON()))

	r := access.Role{
		Name: command.Role{Role: "auditor", DB: "admin"}, Roles: []command.Role{{Role: "read", DB: "log"}},
		Privileges: access.Privileges{
			{Resource: access.Resource{DB: "a", Coll: "c"}, Actions: []string{"find"}},
			{Resource: access.Resource{Cluster: true}, Actions: []string{"serverStatus"}},
		},
	}
	assert.Equal(t, r, access.ParseRole(r.BSON()))
}

// A privilege that names what does not exist is refused.
func TestWrongPrivileges(t *testing.T) {
	for name, d := range map[string]bson.Raw{
		"unknown action": value.D("resource", value.D("cluster", true), "actions", value.A("fly")),
		"no actions":     value.D("resource", value.D("cluster", true)),
		"no resource":    value.D("actions", value.A("find")),
		"half a name":    value.D("resource", value.D("db", "a"), "actions", value.A("find")),
		"two resources":  value.D("resource", value.D("db", "a", "collection", "", "cluster", true), "actions", value.A("find")),
	} {
		_, err := access.ParsePrivileges([]bson.Raw{d})
		assert.Error(t, err, name)
	}
}
