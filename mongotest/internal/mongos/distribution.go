package mongos

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// dataDistribution runs a pipeline that starts with $shardedDataDistribution: how
// much of each sharded collection every shard owns, and how much it only still
// has (the server's document_source_sharded_data_distribution.cpp).
func (o *op) dataDistribution(ctx context.Context, stages []bson.Raw) (feed, error) {
	v, _ := value.Get(stages[0], "$shardedDataDistribution")
	switch d, ok := v.DocumentOK(); {
	case !ok || len(d) > len(rawDoc(nil)):
		return nil, mongoerr.New(6789100, "The $shardedDataDistribution stage specification must be an empty object")
	case o.req.DB != "admin":
		return nil, notOnAdmin()
	}
	var docs []bson.Raw
	for _, t := range o.r.catalog.tables("") {
		if t.unsplittable {
			continue
		}
		shards, err := o.r.own().distributionOf(ctx, t)
		if err != nil {
			return nil, err
		}
		docs = append(docs, rawDoc(bson.D{{"ns", t.ns}, {"shards", shards}}))
	}
	return o.routerPart(&docsSource{docs: docs}, nil, stages[1:])
}

func notOnAdmin() error {
	return mongoerr.New(6789102, "The $shardedDataDistribution stage must be run on the admin database")
}

// distributionOf describes one collection. Until 8.0 its primary shard is there
// whatever it has.
func (o *op) distributionOf(ctx context.Context, t *table) (bson.A, error) {
	db, coll, _ := splitNS(t.ns)
	primary, _ := o.r.catalog.primary(db)
	out := bson.A{}
	for _, shard := range o.r.catalog.shardIDs() {
		stats, err := o.send(ctx, shard, call{name: "collStats", db: db, safe: true, body: rawDoc(bson.D{{"collStats", coll}})})
		if err != nil {
			return nil, err
		}
		in := func(doc bson.Raw) bool {
			pos, err := t.key.position(doc)
			return err == nil && t.shardAt(pos) == shard
		}
		owned, err := o.countOf(ctx, t, shard, in)
		if err != nil {
			return nil, err
		}
		count, size := getInt(stats.Body, "count", 0), getInt(stats.Body, "avgObjSize", 0)
		always := shard == primary && !o.r.cfg.Version.AtLeast(8, 0)
		if count == 0 && !always && !slices.Contains(t.shards(), shard) {
			continue
		}
		orphans := max(count-owned, 0)
		out = append(out, bson.D{
			{"shardName", shard},
			{"numOrphanedDocs", orphans},
			{"numOwnedDocuments", owned},
			{"ownedSizeBytes", size * owned},
			{"orphanedSizeBytes", size * orphans},
		})
	}
	return out, nil
}

// countOf counts the documents of a shard for which mine is true.
func (o *op) countOf(ctx context.Context, t *table, shard string, mine func(bson.Raw) bool) (n int64, err error) {
	err = o.scan(ctx, shard, t.ns, nil, func(doc bson.Raw) error {
		if mine(doc) {
			n++
		}
		return nil
	})
	if vanished(err) {
		err = nil
	}
	return n, err
}
