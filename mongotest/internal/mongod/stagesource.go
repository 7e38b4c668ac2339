package mongod

import (
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// stageSource makes the documents of a first stage that reads the server's own
// state instead of a collection's documents.
func (op *operation) stageSource(tx *storage.Tx, coll string, stage bson.Raw) (aggregate.Source, bool, error) {
	var docs []bson.Raw
	var err error
	switch firstStage([]bson.Raw{stage}) {
	case "$collStats":
		docs, err = op.collStatsStage(tx, coll, stage)
	case "$indexStats":
		docs = op.indexStatsStage(tx, coll)
	case "$currentOp":
		docs = op.currentOps()
	case "$listLocalSessions", "$listSessions":
		docs = op.node.listSessions()
	default:
		return nil, false, nil
	}
	return &sliceSource{docs: docs}, true, err
}

func (op *operation) collStatsStage(tx *storage.Tx, coll string, stage bson.Raw) ([]bson.Raw, error) {
	spec, ok := stage.Lookup("$collStats").DocumentOK()
	if !ok {
		return nil, mongoerr.New(mongoerr.TypeMismatch, "$collStats must take a nested object but found: %s", stage)
	}
	ns := op.req.DB + "." + coll
	c := tx.Collection(ns)
	pairs := []any{"ns", ns, "host", op.node.cfg.Name, "localTime", time.Now()}
	if op.node.cfg.ShardID != "" {
		pairs = append(pairs, "shard", op.node.cfg.ShardID)
	}
	if ss, ok := spec.Lookup("storageStats").DocumentOK(); ok {
		pairs = append(pairs, "storageStats", op.storageStats(ns, c, scaleOf(ss)))
	}
	if spec.Lookup("latencyStats").Type != 0 {
		zero := value.D("latency", int64(0), "ops", int64(0))
		pairs = append(pairs, "latencyStats", value.D("reads", zero, "writes", zero, "commands", zero, "transactions", zero))
	}
	if spec.Lookup("count").Type != 0 {
		if c == nil {
			return nil, mongoerr.New(mongoerr.NamespaceNotFound, "Unable to retrieve count in $collStats stage :: caused by :: Collection [%s] not found.", ns)
		}
		pairs = append(pairs, "count", c.Count())
	}
	if spec.Lookup("queryExecStats").Type != 0 {
		pairs = append(pairs, "queryExecStats", value.D("collectionScans", value.D("total", int64(0), "nonTailable", int64(0))))
	}
	return []bson.Raw{value.D(pairs...)}, nil
}

// scaleOf reads the divisor of sizes.
func scaleOf(spec bson.Raw) int64 {
	if s, ok := value.AsInt64(spec.Lookup("scale")); ok && s > 0 {
		return s
	}
	return 1
}

// storageStats are the numbers of collStats and $collStats about ns; c is nil
// if the storage does not hold it.
func (op *operation) storageStats(ns string, c *storage.Collection, scale int64) bson.Raw {
	if ns == oplogNS {
		return op.oplogStats(scale)
	}
	if c == nil {
		return value.D("size", 0, "count", 0, "numOrphanDocs", 0, "storageSize", 0, "totalSize", 0,
			"nindexes", 0, "totalIndexSize", 0, "indexSizes", emptyDoc(), "scaleFactor", int32(scale))
	}
	size, indexSize := c.Size(), int64(0)
	var sizes []any
	for _, ix := range c.Indexes() {
		sizes = append(sizes, ix.Name, ix.Size()/scale)
		indexSize += ix.Size()
	}
	pairs := []any{"size", size / scale, "count", c.Count()}
	if c.Count() > 0 {
		pairs = append(pairs, "avgObjSize", size/c.Count())
	}
	pairs = append(pairs, "numOrphanDocs", 0, "storageSize", size/scale, "freeStorageSize", 0, "capped", c.Capped())
	if c.Capped() {
		limit, docs := c.CappedLimits()
		pairs = append(pairs, "max", docs, "maxSize", limit/scale)
	}
	pairs = append(pairs, "nindexes", len(c.Indexes()), "indexBuilds", value.A(), "totalIndexSize", indexSize/scale,
		"totalSize", (size+indexSize)/scale, "indexSizes", value.D(sizes...), "scaleFactor", int32(scale))
	return value.D(pairs...)
}

// oplogStats are the figures of the oplog, which the storage does not hold.
func (op *operation) oplogStats(scale int64) bson.Raw {
	log := op.node.cfg.Log
	size, count := log.Bytes(), int64(log.Len())
	return value.D("size", size/scale, "count", count, "avgObjSize", size/max(count, 1), "numOrphanDocs", 0,
		"storageSize", size/scale, "freeStorageSize", 0, "capped", true, "max", 0, "maxSize", oplogSize/scale,
		"nindexes", 0, "indexBuilds", value.A(), "totalIndexSize", 0, "totalSize", size/scale, "indexSizes", emptyDoc(), "scaleFactor", int32(scale))
}

func (op *operation) indexStatsStage(tx *storage.Tx, coll string) []bson.Raw {
	c := tx.Collection(op.req.DB + "." + coll)
	if c == nil {
		return nil
	}
	var docs []bson.Raw
	for _, ix := range c.Indexes() {
		docs = append(docs, value.D("name", ix.Name, "key", ix.Key, "host", op.node.cfg.Name,
			"accesses", value.D("ops", int64(0), "since", time.Now()), "spec", ix.Spec))
	}
	return docs
}

// currentOps describes the running operations.
func (op *operation) currentOps() []bson.Raw {
	var docs []bson.Raw
	for _, r := range op.node.ops.list() {
		pairs := []any{
			"type", "op", "host", op.node.cfg.Name, "opid", r.id, "active", true,
			"connectionId", r.op.req.Client.ID, "client", r.op.req.Client.Addr, "appName", r.op.req.Client.AppName,
			"currentOpTime", time.Now(), "microsecs_running", time.Since(r.started).Microseconds(),
			"secs_running", int64(time.Since(r.started).Seconds()), "op", "command", "ns", r.op.req.NS(),
			"command", r.op.req.Body,
		}
		if r.op.session != nil {
			pairs = append(pairs, "lsid", r.op.session.lsid)
		}
		docs = append(docs, value.D(pairs...))
	}
	return docs
}

// listSessions describes the sessions, for $listLocalSessions.
func (n *Node) listSessions() []bson.Raw {
	var docs []bson.Raw
	for _, s := range n.set.sessions.list() {
		docs = append(docs, value.D("_id", s.lsid, "lastUse", s.idleSince(), "user", s.user))
	}
	slices.SortFunc(docs, value.CompareDocs)
	return docs
}
