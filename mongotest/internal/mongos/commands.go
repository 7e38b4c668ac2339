package mongos

import (
	"slices"

	"github.com/shardferry/shardferry/mongotest/internal/release"
)

// commandTable returns the commands of a mongos of this version by their names.
func commandTable(v release.Version) map[string]commandFunc {
	t := map[string]commandFunc{
		"find": find, "getMore": getMore, "killCursors": killCursors, "aggregate": runAggregate,
		"count": count, "distinct": distinct, "explain": explain, "currentOp": currentOpCommand,
		"insert": runWrite, "update": runWrite, "delete": runWrite, "findAndModify": findAndModify, "findandmodify": findAndModify,
		"bulkWrite": bulkWrite, "mapReduce": mapReduce, "mapreduce": mapReduce,

		"create": create, "drop": drop, "dropDatabase": dropDatabase, "renameCollection": renameCollection,
		"createIndexes": indexDDL, "dropIndexes": indexDDL, "deleteIndexes": indexDDL, "collMod": indexDDL,
		"listDatabases": listDatabases, "listCollections": listCollections, "listIndexes": listIndexes,
		"collStats": stats, "collstats": stats, "dataSize": stats, "dbStats": stats, "dbstats": stats, "validate": validate,

		"enableSharding": enableSharding, "enablesharding": enableSharding,
		"shardCollection": shardCollection, "shardcollection": shardCollection,
		"split": split, "mergeChunks": mergeChunks, "mergeAllChunksOnShard": mergeAllChunksOnShard, "moveChunk": moveChunk, "movechunk": moveChunk, "moveRange": moveRange,
		"addShardToZone": addShardToZone, "removeShardFromZone": removeShardFromZone, "updateZoneKeyRange": updateZoneKeyRange,
		"balancerStart": balancerMode("full"), "balancerStop": balancerMode("off"), "balancerStatus": balancerStatus,
		"balancerCollectionStatus": balancerCollectionStatus, "setAllowMigrations": setAllowMigrations,
		"abortReshardCollection": abortReshaping("reshardCollection"), "commitReshardCollection": commitReshardCollection,
		"abortMoveCollection": abortReshaping("moveCollection"), "abortUnshardCollection": abortReshaping("unshardCollection"),
		"killOp": killOp, "convertToCapped": convertToCapped,
		"reshardCollection": reshardCollection, "refineCollectionShardKey": refineCollectionShardKey,
		"moveCollection": moveCollection, "unshardCollection": unshardCollection,
		"addShard": addShard, "addshard": addShard, "removeShard": removeShard, "removeshard": removeShard,
		"transitionFromDedicatedConfigServer": transitionFromDedicatedConfigServer, "transitionToDedicatedConfigServer": transitionToDedicatedConfigServer,
		"configureCollectionBalancing": configureCollectionBalancing, "clearJumboFlag": clearJumboFlag, "checkMetadataConsistency": checkMetadataConsistency,
		"movePrimary": movePrimary, "moveprimary": movePrimary,
		"analyzeShardKey": analyzeShardKey, "configureQueryAnalyzer": configureQueryAnalyzer,
		"listShards": listShards, "getShardMap": getShardMap, "getShardVersion": getShardVersion, "getDatabaseVersion": getDatabaseVersion,
		"flushRouterConfig": flushRouterConfig, "isdbgrid": isdbgrid,

		"appendOplogNote": everywhere, "setUserWriteBlockMode": setUserWriteBlockMode, "fsync": fsync, "fsyncUnlock": fsyncUnlock, "compact": compact,
		"planCacheClear": planCommand, "planCacheSetFilter": planCommand, "planCacheListFilters": planCommand, "planCacheClearFilters": planCommand,
		"setQuerySettings": onWholeCluster, "removeQuerySettings": onWholeCluster, "setClusterParameter": onWholeCluster,
		"commitTransaction": commitTransaction, "abortTransaction": abortTransaction,
		"startSession": startSession, "endSessions": endSessions, "killSessions": endSessions, "killAllSessions": endSessions, "killAllSessionsByPattern": everywhere,
		"refreshSessions": refreshSessions,

		"hello": hello, "isMaster": hello, "ismaster": hello, "ping": ok, "buildInfo": buildInfo, "buildinfo": buildInfo,
		"serverStatus": serverStatus, "getParameter": getParameter, "whatsmyuri": whatsmyuri, "hostInfo": hostInfo,
		"getCmdLineOpts": getCmdLineOpts, "getLog": getLog, "listCommands": listCommands, "connPoolSync": ok, "testVersion2": ok,
	}
	for _, name := range configCommands {
		t[name] = onConfig
	}
	for _, name := range refusedCommands {
		t[name] = refused
	}
	release.Commands(v, t)
	return t
}

// configCommands run on the config server, which keeps users and roles.
var configCommands = []string{
	"connectionStatus", "invalidateUserCache", "_mergeAuthzCollections",
	"createUser", "updateUser", "dropUser", "dropAllUsersFromDatabase", "usersInfo", "grantRolesToUser", "revokeRolesFromUser",
	"createRole", "updateRole", "dropRole", "dropAllRolesFromDatabase", "rolesInfo", "grantRolesToRole", "revokeRolesFromRole",
	"grantPrivilegesToRole", "revokePrivilegesFromRole", "setFeatureCompatibilityVersion", "getDefaultRWConcern", "setDefaultRWConcern", "getClusterParameter",
}

// refusedCommands exist on a server but not in the simulated cluster.
var refusedCommands = []string{
	"cleanupReshardCollection",
	"reIndex", "createSearchIndexes", "dropSearchIndex", "updateSearchIndex", "filemd5",
}

// txnCommands may run in a transaction.
var txnCommands = []string{
	"find", "getMore", "killCursors", "aggregate", "count", "distinct", "insert", "update", "delete", "findAndModify", "findandmodify", "bulkWrite",
	"create", "createIndexes", "commitTransaction", "abortTransaction",
}

func allowedInTxn(name string) bool { return slices.Contains(txnCommands, name) }
