package schema

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A stageSpec is what a pipeline's stage that reads the server's own state
// accepts.
type stageSpec struct {
	fields fields
	// notObject is the error for another argument than a document.
	notObject func(v bson.RawValue) error
	// special replaces the fields: stages that are older than the tables of
	// the server check themselves.
	special func(v bson.RawValue) error
}

// The server's codes for arguments of such stages.
const (
	collStatsNotObject     mongoerr.Code = 5447000
	collStatsOptionFilled  mongoerr.Code = 31170
	indexStatsNotEmpty     mongoerr.Code = 28803
	catalogNotObject       mongoerr.Code = 9621302
	querySettingsNotObject mongoerr.Code = 7746800
	notBoolean             mongoerr.Code = 13111
)

func serverStages() map[string]stageSpec {
	sessions := stageSpec{
		notObject: func(v bson.RawValue) error {
			return mongoerr.New(mongoerr.TypeMismatch, "options must be specified in an object, but found: %s", value.TypeName(v.Type))
		},
		fields: fields{
			"allUsers": boolean,
			"users":    arrayOf(structure(fields{"user": text.required(), "db": text.required()})),
		},
	}
	return map[string]stageSpec{
		"$collStats": {
			notObject: coded(collStatsNotObject, "$collStats must take a nested object but found: "),
			fields: fields{
				"latencyStats":   structure(fields{"histograms": boolean.notNull()}),
				"storageStats":   object.with(isStorageStats),
				"count":          object.with(isEmptyOption),
				"queryExecStats": object.with(isEmptyOption),
			},
		},
		"$indexStats":     {special: isEmptyStage},
		"$planCacheStats": {special: isPlanCacheStats},
		"$listClusterCatalog": {
			notObject: coded(catalogNotObject, "$listClusterCatalog must take a nested object but found: "),
			fields:    fields{"shards": boolean.notNull(), "tracked": boolean.notNull(), "balancingConfiguration": boolean.notNull()},
		},
		"$querySettings": {
			notObject: coded(querySettingsNotObject, "$querySettings stage expects a document as argument, got: "),
			fields:    fields{"showDebugQueryShape": boolean.notNull()},
		},
		"$currentOp": {
			notObject: func(v bson.RawValue) error {
				return mongoerr.New(mongoerr.TypeMismatch, "$currentOp options must be specified in an object, but found: %s", value.TypeName(v.Type))
			},
			fields: fields{
				"allUsers": boolean.notNull(), "idleConnections": boolean.notNull(), "idleCursors": boolean.notNull(),
				"idleSessions": boolean.notNull(), "localOps": boolean.notNull(), "truncateOps": boolean.notNull(), "targetAllNodes": boolean.notNull(),
			},
		},
		"$listSessions": sessions, "$listLocalSessions": sessions,
	}
}

// CheckStage refuses a wrong argument of a stage that reads the server's own
// state. Other stages are let through.
func CheckStage(name string, v bson.RawValue) error {
	s, ok := serverStages()[name]
	switch d, isDoc := v.DocumentOK(); {
	case !ok:
		return nil
	case s.special != nil:
		return s.special(v)
	case !isDoc:
		return s.notObject(v)
	default:
		return s.fields.check(name, d)
	}
}

func coded(code mongoerr.Code, text string) func(bson.RawValue) error {
	return func(v bson.RawValue) error { return mongoerr.New(code, "%s%s", text, value.TypeName(v.Type)) }
}

// isStorageStats looks at nothing but the divisor of sizes: the stage passes
// over other fields.
func isStorageStats(path string, v bson.RawValue) error {
	scale := v.Document().Lookup("scale")
	if isNothing(scale) {
		return nil
	}
	return number.atLeast(1).check(path+".scale", scale)
}

func isEmptyOption(path string, v bson.RawValue) error {
	for name := range value.Elements(v.Value) {
		return mongoerr.New(collStatsOptionFilled, "The %s option must be an empty object, but has a field '%s'", path, name)
	}
	return nil
}

func isEmptyStage(v bson.RawValue) error {
	d, ok := v.DocumentOK()
	for range value.Elements(d) {
		ok = false
	}
	if !ok {
		return mongoerr.New(indexStatsNotEmpty, "The $indexStats stage specification must be an empty object")
	}
	return nil
}

func isPlanCacheStats(v bson.RawValue) error {
	d, ok := v.DocumentOK()
	if !ok {
		return mongoerr.New(mongoerr.FailedToParse, "$planCacheStats value must be an object. Found: %s", value.TypeName(v.Type))
	}
	seen := false
	for name, v := range value.Elements(d) {
		switch {
		case name != "allHosts":
			return mongoerr.New(mongoerr.FailedToParse, "$planCacheStats parameters object may contain only 'allHosts' field. Found: %s", name)
		case seen:
			return mongoerr.New(mongoerr.FailedToParse, "$planCacheStats parameters object may contain 'allHosts' once")
		case v.Type != bson.TypeBoolean:
			return mongoerr.New(notBoolean, "wrong type for field (allHosts) %s != bool", value.TypeName(v.Type))
		}
		seen = true
	}
	return nil
}
