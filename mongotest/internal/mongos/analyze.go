package mongos

import (
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/shardkey"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// analyzeShardKey tells what would become of a collection with another shard key.
// One shard says what it knows by its index, the primary shard if it has documents
// of the collection; then all documents are counted, on all shards.
func analyzeShardKey(ctx context.Context, o *op) (bson.Raw, error) {
	r, err := shardkey.ParseRequest(o.req.Body)
	if err != nil {
		return nil, err
	}
	return freshly(o, r.NS, func() (bson.Raw, error) {
		rt, err := o.analyzed(r.NS)
		if err != nil {
			return nil, err
		}
		part, err := o.firstPart(ctx, rt)
		if err != nil {
			return nil, err
		}
		return o.analyze(ctx, rt, r, part)
	})
}

// analyzed finds the shards of a collection, the primary one first.
func (o *op) analyzed(ns string) (route, error) {
	rt, err := o.place(ns)
	if err != nil {
		return rt, err
	}
	db, _, _ := splitNS(ns)
	primary, ok := o.r.catalog.primary(db)
	if !ok {
		return rt, mongoerr.New(mongoerr.NamespaceNotFound, "Database %s not found", db)
	}
	if rt.table != nil {
		rt.shards = slices.Clone(rt.table.shards())
	}
	if i := slices.Index(rt.shards, primary); i > 0 {
		rt.shards[0], rt.shards[i] = primary, rt.shards[0]
	}
	return rt, nil
}

// firstPart asks the shards one after the other, until one has documents.
func (o *op) firstPart(ctx context.Context, rt route) (bson.Raw, error) {
	for _, shard := range rt.shards {
		c := o.forward()
		c.safe, c.routed = true, rt.routed(shard)
		resp, err := o.send(ctx, shard, c)
		if err != nil {
			return nil, err
		}
		if !getBool(resp.Body, "empty", false) {
			return resp.Body, nil
		}
	}
	return nil, shardkey.Empty()
}

// analyze counts the documents and completes the reply.
func (o *op) analyze(ctx context.Context, rt route, r shardkey.Request, part bson.Raw) (bson.Raw, error) {
	total, err := o.countAll(ctx, rt)
	if err != nil {
		return nil, err
	}
	census := r.NewCensus(total, getBool(part, "isUnique", false))
	orphans := int64(-1)
	t := rt.table
	if t != nil && !t.unsplittable {
		orphans = 0
	} else {
		t = nil
	}
	for _, shard := range rt.shards {
		err := o.scan(ctx, shard, rt.ns, nil, func(doc bson.Raw) error {
			if t != nil {
				if pos, err := t.key.position(doc); err != nil || t.shardAt(pos) != shard {
					orphans++
				}
			}
			census.Add(doc)
			return nil
		})
		if err != nil && !vanished(err) {
			return nil, err
		}
	}
	var reply bson.D
	if monotonicity := getDoc(part, "monotonicity"); monotonicity != nil {
		found, err := census.Characteristics(orphans, monotonicity)
		if err != nil {
			return nil, err
		}
		reply = append(reply, bson.E{Key: "keyCharacteristics", Value: found})
	}
	if r.Distribution {
		if err := census.CheckRanges(); err != nil {
			return nil, err
		}
		reads, writes := shardkey.NoQueries()
		reply = append(reply, bson.E{Key: "readDistribution", Value: reads}, bson.E{Key: "writeDistribution", Value: writes})
	}
	return rawDoc(reply), nil
}

// countAll returns how many documents the shards have, orphans included.
func (o *op) countAll(ctx context.Context, rt route) (total int64, err error) {
	db, coll, _ := splitNS(rt.ns)
	own := o.r.own()
	for _, shard := range rt.shards {
		stats, err := own.send(ctx, shard, call{name: "collStats", db: db, safe: true, body: rawDoc(bson.D{{"collStats", coll}})})
		if err != nil {
			return 0, err
		}
		total += getInt(stats.Body, "count", 0)
	}
	return total, nil
}

// configureQueryAnalyzer has the config server keep how the queries on a
// collection are to be sampled.
func configureQueryAnalyzer(ctx context.Context, o *op) (bson.Raw, error) {
	s, err := shardkey.ParseSampling(o.req.Body)
	if err != nil {
		return nil, err
	}
	unlock, err := o.shared(ctx, s.NS)
	if err != nil {
		return nil, err
	}
	defer unlock()
	uuid, err := o.analyzable(ctx, s.NS)
	if err != nil {
		return nil, err
	}
	write := call{name: "findAndModify", db: "config", safe: true, body: s.Command(uuid, time.Now())}
	written, err := o.r.own().send(ctx, ConfigShard, write)
	if err != nil {
		return nil, err
	}
	return s.Reply(written.Body, uuid), nil
}

// analyzable returns the UUID of a collection that may be sharded.
func (o *op) analyzable(ctx context.Context, ns string) (value.UUID, error) {
	db, _, _ := splitNS(ns)
	shard, ok := o.r.catalog.primary(db)
	if !ok {
		return value.UUID{}, mongoerr.New(mongoerr.NamespaceNotFound, "Database %s not found", db)
	}
	if t := o.r.catalog.table(ns); t != nil {
		shard = t.shards()[0]
	}
	infos, err := o.r.own().collections(ctx, shard, ns)
	if err != nil {
		return value.UUID{}, err
	}
	if len(infos) == 0 {
		return value.UUID{}, shardkey.CheckKind("", nil)
	}
	if err := shardkey.CheckKind(getString(infos[0], "type"), getDoc(infos[0], "options")); err != nil {
		return value.UUID{}, err
	}
	v, _ := value.Get(getDoc(infos[0], "info"), "uuid")
	uuid, _ := value.ParseUUID(v)
	return uuid, nil
}
