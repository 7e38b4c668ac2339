package access

import "strings"

// The actions that roles share, as the server names them.
var (
	readActions = words(`changeStream collStats dbHash dbStats find killCursors listCollections
		listIndexes listSearchIndexes planCacheRead`)

	writeActions = words(`convertToCapped createCollection createIndex createSearchIndexes dropCollection
		dropIndex dropSearchIndex insert remove renameCollectionSameDB update updateSearchIndex`)

	userAdminActions = words(`changeCustomData changePassword createRole createUser dropRole dropUser
		grantRole revokeRole setAuthenticationRestriction viewRole viewUser`)

	dbAdminActions = words(`analyze bypassDocumentValidation collMod collStats compact configureQueryAnalyzer
		convertToCapped createCollection createIndex createSearchIndexes dbStats dropCollection dropDatabase
		dropIndex dropSearchIndex enableProfiler listCollections listIndexes listSearchIndexes
		planCacheIndexFilter planCacheRead planCacheWrite reIndex renameCollectionSameDB storageDetails
		updateSearchIndex validate`)

	profileActions = words(`convertToCapped createCollection dropCollection`)

	shardingActions = words(`analyzeShardKey enableSharding moveCollection refineCollectionShardKey reshardCollection`)

	monitorClusterActions = words(`connPoolStats getCmdLineOpts getDefaultRWConcern getLog getParameter getShardMap
		hostInfo inprog listDatabases listSampledQueries listSessions listShards netstat operationMetrics
		replSetGetConfig replSetGetStatus serverStatus shardedDataDistribution shardingState top useUUID`)

	monitorDataActions = words(`collStats dbStats getDatabaseVersion getShardVersion indexStats`)

	hostActions = words(`applicationMessage auditConfigure connPoolSync dropConnections flushRouterConfig fsync
		invalidateUserCache killAnyCursor killAnySession killop logRotate replSetResizeOplog resync
		rotateCertificates setParameter shutdown touch unlock`)

	managerClusterActions = words(`addShard appendOplogNote applicationMessage checkMetadataConsistency cleanupOrphaned
		flushRouterConfig getClusterParameter getDefaultRWConcern listSessions listShards removeShard
		replSetConfigure replSetGetConfig replSetGetStatus replSetStateChange resync setClusterParameter
		setDefaultRWConcern setFeatureCompatibilityVersion
		transitionFromDedicatedConfigServer transitionToDedicatedConfigServer`)

	managerDataActions = words(`analyzeShardKey clearJumboFlag configureQueryAnalyzer enableSharding moveChunk
		moveCollection refineCollectionShardKey reshardCollection splitChunk splitVector`)

	restoreActions = words(`bypassDocumentValidation collMod convertToCapped createCollection createIndex
		createSearchIndexes dropCollection insert updateSearchIndex`)

	otherActions = words(`anyAction applyOps authSchemaUpgrade bypassWriteBlockingMode changeOwnCustomData
		changeOwnPassword checkFreeMonitoringStatus cpuProfiler dbCheck exportCollection forceUUID
		getChangeStreamState impersonate importCollection internal issueDirectShardOperations
		listCachedAndActiveUsers setChangeStreamState setFreeMonitoring setUserWriteBlockMode useTenant`)
)

// knownActions are all actions that a privilege may name.
var knownActions = set(readActions, writeActions, userAdminActions, dbAdminActions, shardingActions,
	monitorClusterActions, monitorDataActions, hostActions, managerClusterActions, managerDataActions,
	restoreActions, otherActions)

func words(s string) []string { return strings.Fields(s) }

func set(lists ...[]string) map[string]bool {
	m := map[string]bool{}
	for _, l := range lists {
		for _, s := range l {
			m[s] = true
		}
	}
	return m
}
