package access

import (
	"slices"

	"github.com/shardferry/shardferry/mongotest/internal/command"
)

// A builtinRole is a role that every server has: what it grants in the
// database it is given in.
type builtinRole struct {
	adminOnly  bool
	roles      func(db string) []command.Role
	privileges func(db string) Privileges
}

// Builtin reports whether a role is one that every server has.
func Builtin(r command.Role) bool {
	b, ok := builtinRoles[r.Role]
	return ok && (!b.adminOnly || r.DB == "admin") && r.DB != "$external"
}

// BuiltinNames returns the built-in roles of a database, sorted.
func BuiltinNames(db string) []string {
	var names []string
	for name := range builtinRoles {
		if Builtin(command.Role{Role: name, DB: db}) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

var builtinRoles = map[string]builtinRole{
	"read":      {privileges: func(db string) Privileges { return readOf(db, readActions) }},
	"readWrite": {privileges: func(db string) Privileges { return readOf(db, append(slices.Clone(readActions), writeActions...)) }},
	"dbAdmin": {privileges: func(db string) Privileges {
		return Privileges{
			{Resource{DB: db}, dbAdminActions},
			{Resource{DB: db, Coll: "system.profile"}, append(slices.Clone(readActions), profileActions...)},
		}
	}},
	"userAdmin":      {privileges: func(db string) Privileges { return Privileges{{Resource{DB: db}, userAdminActions}} }},
	"dbOwner":        {roles: in("readWrite", "dbAdmin", "userAdmin")},
	"enableSharding": {privileges: func(string) Privileges { return Privileges{{Resource{}, shardingActions}} }},

	"readAnyDatabase": {adminOnly: true, privileges: func(string) Privileges {
		return append(readOf("", readActions), onCluster("listDatabases"))
	}},
	"readWriteAnyDatabase": {adminOnly: true, roles: in("readAnyDatabase"), privileges: func(string) Privileges {
		return readOf("", append(slices.Clone(readActions), writeActions...))
	}},
	"dbAdminAnyDatabase": {adminOnly: true, privileges: func(string) Privileges {
		return Privileges{
			onCluster("listDatabases", "applyOps"),
			{Resource{}, dbAdminActions},
			{Resource{Coll: "system.profile"}, append(slices.Clone(readActions), profileActions...)},
		}
	}},
	"userAdminAnyDatabase": {adminOnly: true, privileges: userAdminAnywhere},

	"clusterMonitor": {adminOnly: true, roles: readServerData, privileges: func(string) Privileges {
		return Privileges{
			onCluster(monitorClusterActions...),
			{Resource{}, monitorDataActions},
			{Resource{DB: "config"}, monitorDataActions},
			{Resource{DB: "local"}, monitorDataActions},
			{Resource{DB: "local", Coll: "system.replset"}, words("find")},
			{Resource{Coll: "system.profile"}, words("find")},
		}
	}},
	"hostManager": {adminOnly: true, privileges: func(string) Privileges {
		return Privileges{onCluster(hostActions...), {Resource{}, words("killCursors")}}
	}},
	"clusterManager": {adminOnly: true, roles: readConfig, privileges: clusterManager},
	"clusterAdmin": {adminOnly: true, roles: in("clusterMonitor", "hostManager", "clusterManager"), privileges: func(string) Privileges {
		return Privileges{{Resource{}, words("dropDatabase")}}
	}},

	"backup":                {adminOnly: true, privileges: backup},
	"restore":               {adminOnly: true, privileges: restore},
	"directShardOperations": {adminOnly: true, privileges: func(string) Privileges { return Privileges{onCluster("issueDirectShardOperations")} }},
	"root": {
		adminOnly: true,
		roles: in("clusterAdmin", "userAdminAnyDatabase", "dbAdminAnyDatabase", "readWriteAnyDatabase", "backup", "restore",
			"directShardOperations"),
		privileges: func(string) Privileges { return Privileges{{Resource{Any: true}, words("validate")}} },
	},
	"__system": {adminOnly: true, privileges: func(string) Privileges { return Privileges{{Resource{Any: true}, words(anyAction)}} }},
}

// in returns roles of the database itself.
func in(names ...string) func(string) []command.Role {
	return func(db string) []command.Role {
		var roles []command.Role
		for _, n := range names {
			roles = append(roles, command.Role{Role: n, DB: db})
		}
		return roles
	}
}

func readConfig(string) []command.Role { return []command.Role{{Role: "read", DB: "config"}} }

func readServerData(string) []command.Role {
	return []command.Role{{Role: "read", DB: "config"}, {Role: "read", DB: "local"}}
}

func onCluster(actions ...string) Privilege { return Privilege{Resource{Cluster: true}, actions} }

// readOf is what roles on data have: the collections, and the stored functions
// among the system's.
func readOf(db string, actions []string) Privileges {
	return Privileges{{Resource{DB: db}, actions}, {Resource{DB: db, Coll: "system.js"}, actions}}
}
