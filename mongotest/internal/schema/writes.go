package schema

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// writeCommands are the commands that write documents.
func writeCommands() map[string]*spec {
	find := findAndModify()
	return map[string]*spec{
		"insert": {first: collection, traits: stable, fields: write(fields{"documents": objects.required()})},
		"update": {first: collection, traits: stable, fields: write(fields{
			"updates": arrayOf(updateStatement).required(), "let": object, "runtimeConstants": object,
		})},
		"delete": {first: collection, traits: stable, fields: write(fields{
			"deletes": arrayOf(deleteStatement).required(), "let": object, "runtimeConstants": object,
		})},
		"findAndModify": find,
		"findandmodify": find,
		"bulkWrite":     bulkWrite(),
	}
}

// write adds to a write command's fields those that all of them have.
func write(own fields) fields {
	for name, f := range (fields{
		"ordered": boolean, "bypassDocumentValidation": flag, "bypassEmptyTsReplacement": flag,
		"stmtId": of(bson.TypeInt32), "stmtIds": arrayOf(of(bson.TypeInt32)),
		"collectionUUID": uuid, "encryptionInformation": object, "isTimeseriesNamespace": boolean,
		"originalQuery": object, "originalCollation": object, "includeQueryStatsMetricsForOpIndex": anything,
		"mayBypassWriteBlocking": boolean,
	}) {
		own[name] = f
	}
	return own
}

var updateStatement = structure(fields{
	"q": object.required(), "u": anything.required(), "c": object, "multi": boolean, "upsert": boolean, "upsertSupplied": boolean,
	"arrayFilters": objects, "hint": hint, "collation": object, "sort": object, "sampleId": uuid,
	"allowShardKeyUpdatesWithoutFullShardKeyInQuery": flag, "includeQueryStatsMetrics": flag,
})

var deleteStatement = structure(fields{
	"q": object.required(), "limit": anything.required(), "hint": hint, "collation": object, "sampleId": uuid, "includeQueryStatsMetrics": flag,
})

func findAndModify() *spec {
	return &spec{first: collection, traits: stable, fields: fields{
		"query": object, "fields": object, "sort": object, "hint": hint.notNull(), "collation": object, "arrayFilters": objects,
		"remove": flag, "update": anything, "upsert": flag, "new": flag, "let": object, "runtimeConstants": object,
		"bypassDocumentValidation": flag, "bypassEmptyTsReplacement": flag, "stmtId": of(bson.TypeInt32),
		"encryptionInformation": object, "isTimeseriesNamespace": flag, "sampleId": uuid, "originalQuery": object, "originalCollation": object,
		"allowShardKeyUpdatesWithoutFullShardKeyInQuery": flag, "includeQueryStatsMetrics": flag, "collectionUUID": uuid,
		"mayBypassWriteBlocking": boolean,
	}}
}

func bulkWrite() *spec {
	namespace := structure(fields{
		"ns": text.required(), "collectionUUID": uuid, "encryptionInformation": object, "isTimeseriesNamespace": boolean,
		"shardVersion": object, "databaseVersion": object,
	})
	return &spec{first: anything, traits: stable | adminOnly, fields: fields{
		"ops": arrayOf(object.with(isBulkOp)).required(), "nsInfo": arrayOf(namespace).required(), "ordered": boolean, "errorsOnly": boolean,
		"bypassDocumentValidation": flag, "bypassEmptyTsReplacement": flag, "let": object, "cursor": cursorOptions,
		"stmtId": of(bson.TypeInt32), "stmtIds": arrayOf(of(bson.TypeInt32)),
	}}
}

// bulkOps are the operations of bulkWrite, by the field that comes first in them.
var bulkOps = map[string]fields{
	"insert": {"insert": count.required(), "document": object.required()},
	"update": {
		"update": count.required(), "filter": object.required(), "updateMods": anything.notNull().required().with(isUpdate), "multi": boolean, "upsert": boolean,
		"arrayFilters": objects, "hint": hint.notNull(), "collation": object, "sort": object, "constants": object,
		"upsertSupplied": boolean, "sampleId": uuid, "allowShardKeyUpdatesWithoutFullShardKeyInQuery": flag,
	},
	"delete": {
		"delete": count.required(), "filter": object.required(), "multi": boolean, "hint": hint.notNull(), "collation": object, "sampleId": uuid,
	},
}

func isBulkOp(path string, v bson.RawValue) error {
	first, err := v.Document().IndexErr(0)
	if err != nil {
		return mongoerr.New(mongoerr.IDLFailedToParse, "BSON field '%s' is missing its operation", path)
	}
	inner, known := bulkOps[first.Key()]
	if !known {
		return mongoerr.New(mongoerr.IDLUnknownField, "BSON field '%s.%s' is an unknown field.", path, first.Key())
	}
	return inner.check(path, v.Document())
}

func isUpdate(_ string, v bson.RawValue) error {
	if v.Type != bson.TypeEmbeddedDocument && v.Type != bson.TypeArray {
		return mongoerr.New(mongoerr.FailedToParse, "Update argument must be either an object or an array")
	}
	return nil
}
