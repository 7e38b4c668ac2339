package mongos

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Of a sharded time-series collection it is the buckets that are sharded. Reads
// find them through the view; what changes measurements or indexes is sent to
// the buckets, with a mark that says what it means.

// onBuckets are the commands that are sent to the buckets.
var onBuckets = []string{"insert", "update", "delete", "createIndexes", "dropIndexes", "deleteIndexes", "drop"}

// bucketsOf returns the routing of the buckets of a time-series collection, nil
// if they are not sharded.
func (c *Catalog) bucketsOf(db, coll string) *table {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.series == 0 {
		return nil
	}
	return c.collections[db+"."+timeseries.BucketsPrefix+coll]
}

// bucketsNS is the namespace of the buckets of a time-series collection.
func bucketsNS(ns string) string {
	db, coll, _ := splitNS(ns)
	return db + "." + timeseries.BucketsPrefix + coll
}

// keepTable puts a table into the catalog. The caller holds c.mu.
func (c *Catalog) keepTable(t *table) {
	if t.series != nil && c.collections[t.ns] == nil {
		c.series++
	}
	c.collections[t.ns] = t
}

// dropTable takes a table out of the catalog. The caller holds c.mu.
func (c *Catalog) dropTable(ns string) {
	if t := c.collections[ns]; t != nil && t.series != nil {
		c.series--
	}
	delete(c.collections, ns)
}

// toBuckets turns a command on a sharded time-series collection into the one on
// its buckets, and leaves all others as they are.
func (c *Catalog) toBuckets(req *command.Request) (*command.Request, error) {
	refused := req.Name == "findAndModify" || req.Name == "findandmodify" || req.Name == "collMod"
	if !refused && !slices.Contains(onBuckets, req.Name) {
		return req, nil
	}
	coll := getString(req.Body, req.Name)
	t := c.bucketsOf(req.DB, coll)
	switch {
	case t == nil:
		return req, nil
	case refused:
		return nil, mongoerr.New(mongoerr.CommandNotSupported, "%s of a sharded time-series collection is not supported by the simulated cluster", req.Name)
	}
	sent := *req
	first := rawDoc(bson.D{{req.Name, timeseries.BucketsPrefix + coll}})
	rest := edit(req.Body, []string{req.Name}, bson.E{Key: "isTimeseriesNamespace", Value: true})
	if req.Name == "drop" {
		rest = edit(req.Body, []string{req.Name})
	}
	sent.Body = joined(first, rest)
	return &sent, nil
}

// joined returns the fields of both documents.
func joined(a, b bson.Raw) bson.Raw {
	var all bson.D
	return rawDoc(append(append(all, elementsOf(a)...), elementsOf(b)...))
}

// planSeries routes a statement on the measurements of sharded buckets: by the
// metadata and time of a measurement, by what a filter says of metadata.
func (w *writeOp) planSeries(s statement) plan {
	p := plan{statement: s}
	t := w.rt.table
	if w.req.Name == "insert" {
		place, err := t.series.Place(s.doc)
		if err != nil {
			p.err = err
			return p
		}
		shard, err := t.shardOf(place)
		p.shards, p.err = []string{shard}, err
		return p
	}
	p.shards = t.shards()
	if q, err := t.series.MetaQuery(getDoc(s.doc, "q")); err == nil {
		if by, err := w.comparing(t.ns, s.doc); err == nil {
			if tg, err := t.target(q, by); err == nil {
				p.shards = tg.shards
			}
		}
	}
	if w.req.Name == "delete" {
		p.many = getInt(s.doc, "limit", 0) == 0
		return p
	}
	p.many = true // or refused by the first shard
	u, _ := value.Get(s.doc, "u")
	if mapped, err := t.series.MetaUpdate(u); err == nil && t.key.touchedBy(mapped) {
		p.err = mongoerr.New(mongoerr.InvalidOptions, "Multi-update operations are not allowed when updating the shard key field.")
	}
	return p
}

// distinctOnView returns the distinct values of a field of a view that ends at a
// sharded collection.
func (o *op) distinctOnView(ctx context.Context, coll string) (bson.Raw, error) {
	bound := &binding{op: o}
	src, err := reader{bound}.Open(ctx, o.req.DB, coll)
	if err != nil {
		return nil, err
	}
	vars, err := o.vars()
	if err != nil {
		return nil, err
	}
	var stages []bson.Raw
	if q := getDoc(o.req.Body, "query"); q != nil {
		stages = []bson.Raw{rawDoc(bson.D{{"$match", q}})}
	}
	p, err := aggregate.CompilePipeline(stages, aggregate.Env{DB: o.req.DB, Vars: vars, Reader: reader{bound}})
	if err != nil {
		return nil, err
	}
	docs, err := aggregate.Collect(ctx, p.Run(src))
	if err != nil {
		return nil, err
	}
	vals := []bson.RawValue{}
	for _, d := range docs {
		for _, v := range value.LookupAll(d, getString(o.req.Body, "key")) {
			if arr, ok := v.ArrayOK(); ok {
				for _, e := range value.Elements(bson.Raw(arr)) {
					vals = append(vals, e)
				}
				continue
			}
			vals = append(vals, v)
		}
	}
	by := vars.Collation()
	slices.SortStableFunc(vals, by.Compare)
	return rawDoc(bson.D{{"values", slices.CompactFunc(vals, by.Equal)}}), nil
}

// onSeries turns the sharding of a time-series collection, which it makes if
// asked to, into that of its buckets.
func (s *sharding) onSeries(ctx context.Context) error {
	infos, err := s.collections(ctx, s.primary, s.ns)
	if err != nil {
		return err
	}
	asked := getDoc(s.req.Body, "timeseries")
	if len(infos) == 0 && asked != nil {
		if _, err := s.run(ctx, s.db, bson.D{{"create", s.coll}, {"timeseries", asked}}); err != nil {
			return err
		}
		if infos, err = s.collections(ctx, s.primary, s.ns); err != nil {
			return err
		}
	}
	if len(infos) == 0 || getString(infos[0], "type") != "timeseries" {
		if asked != nil {
			return mongoerr.New(mongoerr.InvalidOptions, "Timeseries options were given for %s, which is no time-series collection", s.ns)
		}
		return nil
	}
	o, err := timeseries.Parse(getDoc(getDoc(infos[0], "options"), "timeseries"))
	if err != nil {
		return err
	}
	if given, err := timeseries.Parse(asked); asked != nil && (err != nil || given != o) {
		return mongoerr.New(codeOtherSeries, "the 'timeseries' spec provided must match that of exists '%s' collection", s.ns)
	}
	if s.unique {
		return mongoerr.New(mongoerr.InvalidOptions, "the shard key of a time-series collection cannot be unique")
	}
	key, err := o.ShardKey(s.key.raw)
	if err != nil {
		return err
	}
	if s.key, err = parseKeyPattern(key); err != nil {
		return err
	}
	s.r.catalog.setView(s.ns, view{on: s.db + "." + timeseries.BucketsPrefix + s.coll, pipeline: docsOf(value.Array(o.ViewPipeline()))})
	s.series, s.coll = &o, timeseries.BucketsPrefix+s.coll
	s.ns = s.db + "." + s.coll
	return nil
}

// codeOtherSeries is the server's code for timeseries options that are not
// those of the collection.
const codeOtherSeries mongoerr.Code = 5731500
