package access

import "slices"

// userAdminAnywhere is userAdminAnyDatabase: users and roles of every database,
// and the collections they are kept in.
func userAdminAnywhere(string) Privileges {
	indexes := append(slices.Clone(readActions), "createIndex", "dropIndex")
	return Privileges{
		{Resource{}, append(slices.Clone(userAdminActions), "listCachedAndActiveUsers")},
		{Resource{DB: "local"}, userAdminActions},
		{Resource{DB: "config"}, userAdminActions},
		onCluster("listDatabases", "authSchemaUpgrade", "invalidateUserCache", "viewUser"),
		{Resource{DB: "admin", Coll: "system.users"}, indexes},
		{Resource{DB: "admin", Coll: "system.roles"}, indexes},
		{Resource{DB: "admin", Coll: "system.version"}, readActions},
		{Resource{DB: "admin", Coll: "system.backup_users"}, readActions},
	}
}

// clusterManager is what the role of this name grants beyond reading config.
func clusterManager(string) Privileges {
	write := words("insert update remove")
	return Privileges{
		onCluster(managerClusterActions...),
		{Resource{}, managerDataActions},
		{Resource{DB: "config"}, append(slices.Clone(managerDataActions), write...)},
		{Resource{DB: "local"}, append(slices.Clone(managerDataActions), write...)},
		{Resource{DB: "local", Coll: "system.replset"}, readActions},
	}
}

// backup is what mongodump needs: to read everything, users and roles included.
func backup(string) Privileges {
	find := words("find")
	list := words("collStats listCollections listIndexes listSearchIndexes")
	ps := Privileges{
		{Resource{Any: true}, list},
		{Resource{}, find},
		{Resource{DB: "config"}, find},
		{Resource{DB: "local"}, find},
		{Resource{DB: "config", Coll: "settings"}, words("find insert update")},
		onCluster("appendOplogNote", "getParameter", "listDatabases", "serverStatus", "setUserWriteBlockMode", "useUUID"),
	}
	for _, coll := range words("system.js system.users system.profile") {
		ps = append(ps, Privilege{Resource{Coll: coll}, find})
	}
	for _, coll := range words("system.backup_users system.roles system.version") {
		ps = append(ps, Privilege{Resource{DB: "admin", Coll: coll}, find})
	}
	return ps
}

// restore is what mongorestore needs: to create everything, but not to read it.
func restore(string) Privileges {
	ps := Privileges{
		onCluster("applyOps", "bypassWriteBlockingMode", "forceUUID", "getParameter", "setUserWriteBlockMode", "useUUID"),
		{Resource{Any: true}, words("listCollections")},
		{Resource{}, append(slices.Clone(restoreActions), userAdminActions...)},
		{Resource{Coll: "system.js"}, restoreActions},
		{Resource{Coll: "system.users"}, append(slices.Clone(restoreActions), "find", "update", "remove")},
		{Resource{DB: "admin", Coll: "system.version"}, append(slices.Clone(restoreActions), "find")},
		{Resource{DB: "admin", Coll: "system.backup_users"}, restoreActions},
		{Resource{DB: "admin", Coll: "system.roles"}, words("createIndex")},
	}
	for _, db := range words("local config") {
		ps = append(ps, Privilege{Resource{DB: db}, restoreActions})
	}
	for _, coll := range words("tempusers temproles") {
		ps = append(ps, Privilege{Resource{DB: "admin", Coll: coll}, words("find")})
	}
	return ps
}
