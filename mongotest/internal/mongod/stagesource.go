package mongod

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/schema"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A target is what a stage that reads the server's own state is asked about.
type target int

const (
	ofCollection target = iota
	ofDatabase          // {aggregate: 1}
	ofAdmin             // {aggregate: 1} on admin
	ofSessions          // config.system.sessions
)

// stateStages are the stages that read the server's own state.
func stateStages() map[string]target {
	return map[string]target{
		"$collStats": ofCollection, "$indexStats": ofCollection, "$planCacheStats": ofCollection,
		"$currentOp": ofAdmin, "$querySettings": ofAdmin, "$queryStats": ofAdmin, "$listSampledQueries": ofAdmin,
		"$listLocalSessions": ofDatabase, "$listSessions": ofSessions, "$listClusterCatalog": ofDatabase,
	}
}

// stageSource makes the documents of a first stage that reads the server's own
// state instead of a collection's documents.
func (op *operation) stageSource(tx *storage.Tx, coll string, stage bson.Raw) (aggregate.Source, bool, error) {
	name := firstStage([]bson.Raw{stage})
	switch name {
	case "$search", "$searchMeta", "$vectorSearch", "$listSearchIndexes":
		return nil, true, mongoerr.New(mongoerr.SearchNotEnabled, "Using %s requires additional configuration. Please connect to Atlas or an AtlasCLI local deployment to enable.", name)
	}
	if name == "$shardedDataDistribution" {
		if d, ok := stage.Lookup(name).DocumentOK(); !ok || fieldCount(d) > 0 {
			return nil, true, mongoerr.New(6789100, "The %s stage specification must be an empty object", name)
		}
		return nil, true, mongoerr.New(6789101, "The %s stage can only be run on mongoS", name)
	}
	on, ok := stateStages()[name]
	if !ok {
		return nil, false, nil
	}
	if fieldCount(stage) != 1 {
		return nil, true, mongoerr.New(40323, "A pipeline stage specification object must contain exactly one field.")
	}
	arg := stage.Lookup(name)
	if err := schema.CheckStage(name, arg); err != nil {
		return nil, true, err
	}
	if err := op.checkStateStage(name, on, coll); err != nil {
		return nil, true, err
	}
	spec, _ := arg.DocumentOK()
	var docs []bson.Raw
	var err error
	switch name {
	case "$collStats":
		docs, err = op.collStatsStage(tx, coll, spec)
	case "$indexStats":
		docs = op.indexStatsStage(tx, coll)
	case "$planCacheStats":
		docs, err = op.planCacheStage(tx, coll, spec)
	case "$currentOp":
		docs, err = op.currentOpStage(spec)
	case "$querySettings":
		docs = op.querySettingsStage(spec)
	case "$listLocalSessions", "$listSessions":
		docs, err = op.sessionsStage(name, spec)
	case "$listClusterCatalog":
		docs = op.catalogStage(tx, spec)
	}
	return &sliceSource{docs: docs}, true, err
}

// checkStateStage refuses a stage on another target than its own, in a
// transaction and with a read concern that it cannot keep.
func (op *operation) checkStateStage(name string, on target, coll string) error {
	noColl := coll == noCollection
	switch {
	case on == ofCollection && noColl:
		return mongoerr.New(mongoerr.InvalidNamespace, "{aggregate: 1} is not valid for '%s'; a collection is required.", name)
	case on == ofAdmin && (!noColl || op.req.DB != "admin"):
		return mongoerr.New(mongoerr.InvalidNamespace, "%s must be run against the 'admin' database with {aggregate: 1}", name)
	case on == ofDatabase && !noColl && name == "$listClusterCatalog":
		return mongoerr.New(9621301, "The $listClusterCatalog stage must be run against a database, not a collection")
	case on == ofDatabase && !noColl:
		return mongoerr.New(mongoerr.InvalidNamespace, "%s must be run against the database with {aggregate: 1}, not a collection", name)
	case on == ofSessions && (op.req.DB != "config" || coll != "system.sessions"):
		return mongoerr.New(mongoerr.InvalidNamespace, "%s may be run only against config.system.sessions", name)
	case op.txn != nil:
		return mongoerr.New(mongoerr.OperationNotSupportedInTransaction, "Stage not supported inside of a multi-document transaction: %s", name)
	}
	if l := op.concern.named(); l != "" && l != "local" && name != "$collStats" && name != "$indexStats" {
		return mongoerr.New(mongoerr.InvalidOptions, "Aggregation stage %s cannot run with a readConcern other than 'local'. Current readConcern: %s", name, l)
	}
	return nil
}

func (op *operation) indexStatsStage(tx *storage.Tx, coll string) []bson.Raw {
	c := tx.Collection(op.req.DB + "." + coll)
	if c == nil {
		return nil
	}
	var docs []bson.Raw
	for ix, spec := range shownIndexes(tx, c) {
		docs = append(docs, value.D("name", ix.Name, "key", spec.Lookup("key"), "host", op.node.cfg.Name,
			"accesses", value.D("ops", ix.Uses().Ops(), "since", ix.Uses().Since), "spec", spec))
	}
	return docs
}

// catalogStage describes the collections of a database, of every one on admin.
func (op *operation) catalogStage(tx *storage.Tx, spec bson.Raw) []bson.Raw {
	dbs := []string{op.req.DB}
	if op.req.DB == "admin" {
		dbs = tx.Databases()
	}
	var docs []bson.Raw
	for _, db := range dbs {
		for _, e := range listEntries(tx, db) {
			name, _ := e.Lookup("name").StringValueOK()
			pairs := []any{"db", db, "ns", db + "." + name}
			for field, v := range value.Elements(e) {
				if field != "name" {
					pairs = append(pairs, field, v)
				}
			}
			pairs = append(pairs, "sharded", false, "tracked", false)
			if shards, _ := spec.Lookup("shards").BooleanOK(); shards {
				pairs = append(pairs, "shards", value.A())
			}
			docs = append(docs, value.D(pairs...))
		}
	}
	return docs
}
