package apiversion

import "slices"

// version1 are the commands of API version 1.
func version1() []string {
	return []string{
		"abortTransaction", "aggregate", "authenticate", "bulkWrite", "collMod", "commitTransaction", "count", "create",
		"createIndexes", "delete", "drop", "dropDatabase", "dropIndexes", "endSessions", "explain", "find", "findAndModify",
		"findandmodify", "getMore", "hello", "insert", "killCursors", "killSessions", "listCollections", "listDatabases",
		"listIndexes", "ping", "refreshSessions", "saslContinue", "saslStart", "update",
	}
}

// Of returns the API versions that have a command.
func Of(name string) []string {
	if inVersion1(name) {
		return []string{"1"}
	}
	return []string{}
}

func inVersion1(name string) bool { return slices.Contains(version1(), name) }

// unstableStages are the stages of pipelines that API version 1 leaves out.
func unstableStages() []string {
	return []string{
		"$currentOp", "$indexStats", "$listLocalSessions", "$listSessions", "$planCacheStats", "$search", "$searchMeta",
		"$listSearchIndexes", "$shardedDataDistribution", "$listSampledQueries", "$listClusterCatalog", "$queryStats",
	}
}
