package access

import (
	"strings"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// schemaRules are the rules of the commands on collections and databases as a
// whole.
var schemaRules = map[string]rule{
	"create": create, "drop": onColl("dropCollection"), "dropDatabase": onDB("dropDatabase"), "renameCollection": rename,
	"createIndexes": onColl("createIndex"), "dropIndexes": onColl("dropIndex"), "deleteIndexes": onColl("dropIndex"),
	"collMod": onColl("collMod"), "reIndex": onColl("reIndex"), "compact": onColl("compact"), "compactStructuredEncryptionData": onColl("compactStructuredEncryptionData"), "validate": onColl("validate"),
	"convertToCapped": onColl("convertToCapped"), "cloneCollectionAsCapped": cloneAsCapped,
	"listDatabases":   nothing, // shows what the user may see
	"listCollections": listCollections, "listIndexes": onColl("listIndexes"),
	"collStats": onColl("collStats"), "collstats": onColl("collStats"), "dbStats": onDB("dbStats"), "dbstats": onDB("dbStats"),
	"validateDBMetadata": onDB("validate"),
	"dbHash":             onDB("dbHash"), "dbhash": onDB("dbHash"), "profile": onDB("enableProfiler"),
	"planCacheClear": onColl("planCacheWrite"), "planCacheClearFilters": onColl("planCacheIndexFilter"),
	"planCacheListFilters": onColl("planCacheIndexFilter"), "planCacheSetFilter": onColl("planCacheIndexFilter"),
	"createSearchIndexes": onColl("createSearchIndexes"), "dropSearchIndex": onColl("dropSearchIndex"),
	"updateSearchIndex": onColl("updateSearchIndex"), "splitVector": onNS("splitVector"),
	"analyzeShardKey": onNS("analyzeShardKey"), "configureQueryAnalyzer": onNS("configureQueryAnalyzer"),
	"setAllowMigrations": onNS("moveChunk"),
}

// create needs to read what a new view reads.
func create(req *command.Request) []Need {
	out := needs(collection(req), "createCollection")
	if on, ok := req.Body.Lookup("viewOn").StringValueOK(); ok {
		out = append(out, needs(Resource{DB: req.DB, Coll: on}, "find")...)
		out = append(out, stageNeeds(req.DB, stagesIn(req.Body.Lookup("pipeline")))...)
	}
	return out
}

// rename needs little within a database, else what copying would need.
func rename(req *command.Request) []Need {
	to, _ := req.Body.Lookup("to").StringValueOK()
	from, target := namespace(req.Collection()), namespace(to)
	var out []Need
	if from.DB == target.DB {
		out = needs(Resource{DB: from.DB}, "renameCollectionSameDB")
	} else {
		out = append(needs(from, "find", "dropCollection"), needs(target, "insert", "createIndex")...)
	}
	if value.Truthy(req.Body.Lookup("dropTarget")) {
		out = append(out, needs(target, "dropCollection")...)
	}
	return out
}

func cloneAsCapped(req *command.Request) []Need {
	to, _ := req.Body.Lookup("toCollection").StringValueOK()
	return append(needs(collection(req), "find"), needs(Resource{DB: req.DB, Coll: to}, "insert", "createCollection")...)
}

// listCollections may be run by everybody who only asks for the names of what
// he may read.
func listCollections(req *command.Request) []Need {
	if value.Truthy(req.Body.Lookup("nameOnly")) && value.Truthy(req.Body.Lookup("authorizedCollections")) {
		return nil
	}
	return needs(Resource{DB: req.DB}, "listCollections")
}

// shardingRules are the rules of the commands on how collections are spread.
var shardingRules = map[string]rule{
	"enableSharding": enableSharding, "enablesharding": enableSharding,
	"shardCollection": onNS("enableSharding"), "shardcollection": onNS("enableSharding"),
	"split": onNS("splitChunk"), "mergeChunks": onNS("splitChunk"), "mergeAllChunksOnShard": onNS("splitChunk"),
	"moveChunk": onNS("moveChunk"), "movechunk": onNS("moveChunk"), "moveRange": onNS("moveChunk"),
	"movePrimary": onDBName("moveChunk"), "moveprimary": onDBName("moveChunk"),
	"clearJumboFlag": onNS("clearJumboFlag"), "configureCollectionBalancing": onNS("enableSharding"), "cleanupOrphaned": onServer("cleanupOrphaned"),
	"reshardCollection": onNS("reshardCollection"), "abortReshardCollection": onNS("reshardCollection"),
	"commitReshardCollection": onNS("reshardCollection"), "cleanupReshardCollection": onNS("reshardCollection"),
	"refineCollectionShardKey": onNS("refineCollectionShardKey"), "moveCollection": onNS("moveCollection"),
	"unshardCollection": onNS("reshardCollection"), "abortMoveCollection": onNS("moveCollection"), "abortUnshardCollection": onNS("reshardCollection"),
	"addShardToZone": onConfig("shards", "update"), "removeShardFromZone": onConfig("shards", "update"),
	"updateZoneKeyRange": onConfig("tags", "insert", "remove"),
	"balancerStart":      onConfig("settings", "insert", "update"), "balancerStop": onConfig("settings", "insert", "update"),
	"balancerStatus": onConfig("settings", "find"), "balancerCollectionStatus": onNS("enableSharding"),
	"addShard": onServer("addShard"), "addshard": onServer("addShard"), "removeShard": onServer("removeShard"), "removeshard": onServer("removeShard"),
	"transitionFromDedicatedConfigServer": onServer("transitionFromDedicatedConfigServer"),
	"transitionToDedicatedConfigServer":   onServer("transitionToDedicatedConfigServer"),
	"checkMetadataConsistency":            onServer("checkMetadataConsistency"),
	"listShards":                          onServer("listShards"), "getShardMap": onServer("getShardMap"), "getShardVersion": onNS("getShardVersion"), "getDatabaseVersion": onNS("getDatabaseVersion"),
	"flushRouterConfig": onServer("flushRouterConfig"), "shardingState": onServer("shardingState"), "isdbgrid": nothing,
}

func enableSharding(req *command.Request) []Need {
	return needs(Resource{DB: req.Collection()}, "enableSharding")
}

// onDBName is the rule of commands whose first field is a database.
func onDBName(action string) rule {
	return func(req *command.Request) []Need {
		db, _, _ := strings.Cut(req.Collection(), ".")
		return needs(Resource{DB: db}, action)
	}
}
