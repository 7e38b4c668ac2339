package mongos

import (
	"context"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// transitionFromDedicatedConfigServer makes the config server a shard, too, as
// addShard does with others.
func transitionFromDedicatedConfigServer(ctx context.Context, o *op) (bson.Raw, error) {
	return rawDoc(bson.D{}), o.enlist(ctx, o.r.catalog.configServer())
}

// transitionToDedicatedConfigServer is removeShard for the config server.
func transitionToDedicatedConfigServer(ctx context.Context, o *op) (bson.Raw, error) {
	if o.r.catalog.membership(ConfigShard) == removed {
		return nil, mongoerr.New(mongoerr.ShardNotFound, "Shard %s does not exist", ConfigShard)
	}
	return o.drain(ctx, o.r.catalog.configServer())
}

func (c *Catalog) configServer() Shard { return Shard{ID: ConfigShard, Host: c.cfg.ConfigHost} }

// clearConfigServer drops what the config server still has of databases whose
// data has gone elsewhere, so that it may become a shard again. It first waits
// for the deletion of ranges, and tells of that: stale readers may still be there
// (the server's ShardingCatalogManager::removeShard).
func (o *op) clearConfigServer(ctx context.Context) (pending bson.Raw, err error) {
	in := o.r.own()
	resp, err := in.send(ctx, ConfigShard, call{name: "count", db: "config", safe: true, body: rawDoc(bson.D{{"count", "rangeDeletions"}})})
	if err != nil {
		return nil, err
	}
	if n := getInt(resp.Body, "n", 0); n > 0 {
		return rawDoc(bson.D{{"msg", "waiting for pending range deletions"}, {"state", "pendingRangeDeletions"}, {"pendingRangeDeletions", n}}), nil
	}
	_, databases := o.r.catalog.all()
	for _, db := range slices.Sorted(maps.Keys(databases)) {
		drop := copies(call{name: "dropDatabase", db: db, safe: true, body: rawDoc(bson.D{{"dropDatabase", int32(1)}})})
		if _, err := in.send(ctx, ConfigShard, drop); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
