package mongod

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// collStatsStage is the one document of $collStats. A section whose argument is
// null is left out; a repeated argument counts if any of them is not null.
func (op *operation) collStatsStage(tx *storage.Tx, coll string, spec bson.Raw) ([]bson.Raw, error) {
	wants := map[string]bson.Raw{}
	for name, v := range value.Elements(spec) {
		if d, ok := v.DocumentOK(); ok {
			wants[name] = d
		}
	}
	ns := op.req.DB + "." + coll
	c := tx.Collection(ns)
	if err := checkStatsTarget(ns, c, wants); err != nil {
		return nil, err
	}
	pairs := []any{"ns", ns, "host", op.node.cfg.Name, "localTime", op.node.now()}
	if id := op.node.set.shardID(); id != "" {
		pairs = append(pairs, "shard", id)
	}
	if d, ok := wants["latencyStats"]; ok {
		pairs = append(pairs, "latencyStats", op.latencyStats(ns, value.Truthy(d.Lookup("histograms"))))
	}
	if d, ok := wants["storageStats"]; ok {
		pairs = append(pairs, "storageStats", op.statsOf(tx, ns, c, scaleOf(d)))
	}
	if _, ok := wants["count"]; ok {
		pairs = append(pairs, "count", value.Integer(op.countOf(ns, holder(tx, c))))
	}
	if _, ok := wants["queryExecStats"]; ok {
		pairs = append(pairs, "queryExecStats", value.D("collectionScans", value.D("total", int64(0), "nonTailable", int64(0))))
	}
	return []bson.Raw{value.D(pairs...)}, nil
}

// countOf returns the number of documents of ns; c is nil for the oplog.
func (op *operation) countOf(ns string, c *storage.Collection) int64 {
	if c == nil {
		if ns == oplogNS {
			return int64(op.line.log.Len())
		}
		return 0
	}
	return c.Count()
}

// checkStatsTarget refuses sections that only a collection has on what is none.
func checkStatsTarget(ns string, c *storage.Collection, wants map[string]bson.Raw) error {
	for _, section := range []string{"storageStats", "count", "queryExecStats"} {
		if _, ok := wants[section]; !ok {
			continue
		}
		switch {
		case c != nil && c.IsView() && !c.IsTimeseries():
			return viewError(c)
		case c == nil && ns != oplogNS:
			return mongoerr.New(mongoerr.NamespaceNotFound, "Unable to retrieve %s in $collStats stage :: caused by :: Collection [%s] not found.", section, ns)
		}
	}
	return nil
}

func (op *operation) latencyStats(ns string, histograms bool) bson.Raw {
	times := op.node.records.latencies.of(ns)
	return value.D(
		"reads", times.latency(histograms, kindQuery, kindGetMore, kindReadCommand),
		"writes", times.latency(histograms, kindInsert, kindUpdate, kindRemove, kindWriteCommand),
		"commands", times.latency(histograms, kindCommand),
		"transactions", times.latency(histograms),
	)
}

// scaleOf reads the divisor of sizes.
func scaleOf(spec bson.Raw) int64 {
	if s, ok := value.AsInt64(spec.Lookup("scale")); ok && s > 0 {
		return min(s, 1<<31-1)
	}
	return 1
}

// statsOf is storageStats, and of a time-series collection what it is about its
// buckets.
func (op *operation) statsOf(tx *storage.Tx, ns string, c *storage.Collection, scale int64) bson.Raw {
	if c == nil || c.Timeseries() == nil {
		return op.storageStats(ns, c, scale)
	}
	home := holder(tx, c)
	if home == nil {
		return op.storageStats(ns, nil, scale)
	}
	average := int64(0)
	if home.Count() > 0 {
		average = home.Size() / home.Count()
	}
	buckets := value.D("bucketsNs", home.NS, "bucketCount", value.Integer(home.Count()), "avgBucketSize", value.Integer(average))
	return appendFields(without(op.storageStats(ns, home, scale), func(name string) bool { return name == "count" || name == "avgObjSize" }), "timeseries", buckets)
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
		sizes = append(sizes, ix.Name, value.Integer(ix.Size()/scale))
		indexSize += ix.Size()
	}
	pairs := []any{"size", value.Integer(size / scale), "count", value.Integer(c.Count())}
	if c.Count() > 0 {
		pairs = append(pairs, "avgObjSize", value.Integer(size/c.Count()))
	}
	pairs = append(pairs, "numOrphanDocs", 0, "storageSize", value.Integer(size/scale), "freeStorageSize", 0, "capped", c.Capped())
	if c.Capped() {
		limit, docs := c.CappedLimits()
		pairs = append(pairs, "max", value.Integer(docs), "maxSize", value.Integer(limit/scale))
	}
	pairs = append(pairs, "nindexes", len(c.Indexes()), "indexBuilds", value.A(), "totalIndexSize", value.Integer(indexSize/scale),
		"totalSize", value.Integer((size+indexSize)/scale), "indexSizes", value.D(sizes...), "scaleFactor", int32(scale))
	return value.D(pairs...)
}

// oplogStats are the figures of the oplog, which the storage does not hold.
func (op *operation) oplogStats(scale int64) bson.Raw {
	log := op.line.log
	size, count, limit := log.Bytes(), int64(log.Len()), oplogSize
	if given := log.Limits().MaxBytes; given > 0 {
		limit = given
	}
	return value.D("size", value.Integer(size/scale), "count", value.Integer(count), "avgObjSize", value.Integer(size/max(count, 1)), "numOrphanDocs", 0,
		"storageSize", value.Integer(size/scale), "freeStorageSize", 0, "capped", true, "max", 0, "maxSize", value.Integer(limit/scale),
		"nindexes", 0, "indexBuilds", value.A(), "totalIndexSize", 0, "totalSize", value.Integer(size/scale), "indexSizes", emptyDoc(), "scaleFactor", int32(scale))
}
