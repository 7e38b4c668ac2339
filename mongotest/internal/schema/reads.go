package schema

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// readCommands are the commands that read documents and the cursors on them.
func readCommands() map[string]*spec {
	mapReduce := &spec{first: collection, fields: fields{
		"map": anything.required(), "reduce": anything.required(), "out": anything.required(), "finalize": anything, "query": object, "sort": object,
		"collation": object, "limit": number, "scope": object, "verbose": flag, "bypassDocumentValidation": flag, "jsMode": flag,
	}}
	return map[string]*spec{
		"find": {first: anything, traits: stable, fields: fields{
			"filter": object.notNull(), "projection": object, "sort": object, "hint": hint, "collation": object, "let": object,
			"skip": count, "limit": count, "batchSize": count, "singleBatch": flag, "allowDiskUse": flag,
			"min": object, "max": object, "returnKey": flag, "showRecordId": flag,
			"tailable": flag, "awaitData": flag, "oplogReplay": flag, "noCursorTimeout": flag, "allowPartialResults": flag,
			"$_requestResumeToken": flag, "$_resumeAfter": object, "$_startAt": object, "$_requestReshardingResumeToken": flag,
			"term": number, "readOnce": flag, "allowSpeculativeMajorityRead": flag, "mirrored": flag, "options": object,
			"runtimeConstants": object, "encryptionInformation": object, "includeQueryStatsMetrics": flag, "querySettings": object,
			"collectionUUID": uuid,
		}},
		"getMore": {first: long, traits: stable, fields: fields{
			"collection": text.required(), "batchSize": count, "term": long, "lastKnownCommittedOpTime": object,
			"includeQueryStatsMetrics": boolean,
		}},
		"killCursors": {first: collection, traits: stable, fields: fields{"cursors": arrayOf(long).required()}},
		"count": {first: anything, traits: stable, fields: fields{
			"query": object, "limit": anything.with(isCountLimit), "skip": count, "hint": hint, "collation": object, "fields": anything,
			"queryOptions": object, "mirrored": anything, "encryptionInformation": object, "collectionUUID": uuid,
			"includeQueryStatsMetrics": flag,
		}},
		"distinct": {first: anything, fields: fields{
			"key": text.required(), "query": object, "collation": object, "hint": hint, "mirrored": anything,
			"queryOptions": object, "collectionUUID": uuid, "includeQueryStatsMetrics": flag,
		}},
		"aggregate": {first: anything, traits: stable, fields: fields{
			"pipeline": arrayOf(object).notNull().required(), "explain": boolean.notNull(), "allowDiskUse": boolean.notNull(), "cursor": cursorOptions.notNull(), "hint": hint,
			"collation": object, "let": object, "bypassDocumentValidation": flag, "collectionUUID": uuid,
			"$_passthroughToShard": object, "needsMerge": flag, "needsSortedMerge": flag, "fromMongos": flag, "fromRouter": anything,
			"exchange": object, "runtimeConstants": object, "isMapReduceCommand": boolean, "readOnce": flag,
			"requestReshardingResumeToken": boolean, "$_requestReshardingResumeToken": boolean, "encryptionInformation": object,
			"querySettings": object, "includeQueryStatsMetrics": flag, "use44SortKeys": flag, "useNewUpsert": flag, "mirrored": anything,
			"$_requestResumeToken": flag, "$_resumeAfter": object, "$_startAt": object, "$_generateV2ResumeTokens": flag,
		}},
		"mapReduce": mapReduce, "mapreduce": mapReduce,
		"explain": {first: object.required(), traits: stable, fields: fields{
			"verbosity": oneOf("queryPlanner", "executionStats", "allPlansExecution", "queryPlannerExtended", "internal"),
		}},
	}
}

// isCountLimit accepts numbers, with a code of its own.
func isCountLimit(_ string, v bson.RawValue) error {
	if _, ok := value.AsInt64(v); !ok {
		return mongoerr.New(mongoerr.BadValue, "limit value for count must be a number, not %s", value.TypeName(v.Type))
	}
	return nil
}
