package mongod

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The actions of the simulated roles: enough for a client that looks at what
// it may do. Actions on the cluster come with their own list.
var (
	readActions  = []string{"changeStream", "collStats", "dbHash", "dbStats", "find", "killCursors", "listCollections", "listIndexes"}
	writeActions = []string{
		"convertToCapped", "createCollection", "createIndex", "dropCollection", "dropIndex", "insert", "remove", "renameCollectionSameDB", "update",
	}
	dbAdminActions  = []string{"bypassDocumentValidation", "collMod", "compact", "createCollection", "createIndex", "dropCollection", "dropDatabase", "dropIndex", "validate"}
	managerActions  = []string{"addShard", "appendOplogNote", "applicationMessage", "flushRouterConfig", "getParameter", "listDatabases", "listShards", "moveChunk", "replSetGetStatus", "serverStatus", "setFeatureCompatibilityVersion", "setUserWriteBlockMode"}
	monitorActions  = []string{"connPoolStats", "getCmdLineOpts", "getLog", "getParameter", "hostInfo", "inprog", "listDatabases", "listShards", "replSetGetConfig", "replSetGetStatus", "serverStatus"}
	restoreActions  = []string{"appendOplogNote", "bypassWriteBlockingMode", "getParameter", "listDatabases"}
	backupActions   = []string{"appendOplogNote", "getParameter", "listDatabases", "listSessions"}
	everyActions    = []string{"anyAction"}
	noActions       []string
	directShardActs = []string{"issueDirectShardOperations"}
)

// runConnectionStatus is connectionStatus: {showPrivileges}.
func runConnectionStatus(_ context.Context, op *operation) (bson.Raw, error) {
	c := op.req.Client
	var users, roles []bson.Raw
	if c.User != "" {
		db, name, _ := strings.Cut(c.User, ".")
		users = append(users, value.D("user", name, "db", db))
	}
	for _, r := range c.Roles {
		roles = append(roles, value.D("role", r.Role, "db", r.DB))
	}
	info := []any{"authenticatedUsers", users, "authenticatedUserRoles", roles}
	if op.args().bool("showPrivileges", false) {
		info = append(info, "authenticatedUserPrivileges", op.privileges())
	}
	return value.D("authInfo", value.D(info...)), nil
}

// privileges returns what the client's roles allow.
func (op *operation) privileges() []bson.Raw {
	out := []bson.Raw{}
	bypass := false
	for _, r := range op.req.Client.Roles {
		resource := value.D("db", r.DB, "collection", "")
		name, anywhere := strings.CutSuffix(r.Role, "AnyDatabase")
		if anywhere || r.Role == "backup" || r.Role == "restore" {
			resource = value.D("db", "", "collection", "")
		}
		data, cluster := roleActions(name)
		if r.Role == "root" || r.Role == "__system" {
			resource = value.D("anyResource", true)
		}
		if len(data) > 0 {
			out = append(out, value.D("resource", resource, "actions", data))
		}
		if len(cluster) > 0 {
			out = append(out, value.D("resource", value.D("cluster", true), "actions", cluster))
			for _, a := range cluster {
				bypass = bypass || a == "bypassWriteBlockingMode"
			}
		}
	}
	if op.req.Client.BypassWriteBlock && !bypass {
		out = append(out, value.D("resource", value.D("cluster", true), "actions", value.A("bypassWriteBlockingMode")))
	}
	return out
}

// roleActions returns the actions of a role on data and on the cluster.
func roleActions(role string) (data, cluster []string) {
	switch role {
	case "read":
		return readActions, noActions
	case "readWrite":
		return append(append([]string(nil), readActions...), writeActions...), noActions
	case "dbAdmin":
		return dbAdminActions, noActions
	case "dbOwner":
		return append(append([]string(nil), readActions...), append(writeActions, dbAdminActions...)...), noActions
	case "clusterMonitor":
		return noActions, monitorActions
	case "clusterManager":
		return noActions, managerActions
	case "clusterAdmin", "hostManager":
		return noActions, append(append([]string(nil), managerActions...), monitorActions...)
	case "restore":
		return append(append([]string(nil), writeActions...), dbAdminActions...), restoreActions
	case "backup":
		return readActions, backupActions
	case "directShardOperations":
		return noActions, directShardActs
	case "root", "__system":
		return everyActions, append(append([]string(nil), managerActions...), restoreActions...)
	default:
		return noActions, noActions
	}
}
