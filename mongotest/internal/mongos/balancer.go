package mongos

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// setting returns a document of config.settings, nil if there is none. The
// collection is the truth: clients write to it too.
func (o *op) setting(ctx context.Context, id string) (bson.Raw, error) {
	return o.configDoc(ctx, "settings", id)
}

// configDoc returns a document of the config database by its _id, nil if there
// is none.
func (o *op) configDoc(ctx context.Context, coll, id string) (bson.Raw, error) {
	resp, err := o.send(ctx, ConfigShard, call{name: "find", db: "config", safe: true, body: rawDoc(bson.D{
		{"find", coll}, {"filter", bson.D{{"_id", id}}}, {"limit", int64(1)}, {"singleBatch", true},
	})})
	if err != nil {
		return nil, err
	}
	if docs := getDocs(getDoc(resp.Body, "cursor"), "firstBatch"); len(docs) > 0 {
		return docs[0], nil
	}
	return nil, nil
}

// setAllowMigrations forbids or allows moving the chunks of a collection.
func setAllowMigrations(ctx context.Context, o *op) (bson.Raw, error) {
	t, unlock, err := o.exclusiveTable(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	n := *t
	n.noMigrations = !getBool(o.req.Body, "allowMigrations", true)
	n.lastmod = time.Now()
	return rawDoc(bson.D{}), o.r.catalog.store(ctx, &n)
}

func listShards(_ context.Context, o *op) (bson.Raw, error) {
	shards := bson.A{}
	for _, s := range o.r.catalog.shards() {
		shards = append(shards, o.r.catalog.shardDoc(s, o.r.catalog.zonesOf(s.ID)))
	}
	return rawDoc(bson.D{{"shards", shards}}), nil
}

func getShardMap(_ context.Context, o *op) (bson.Raw, error) {
	byID, hosts, conns := bson.D{}, bson.D{}, bson.D{}
	for _, s := range o.r.catalog.shards() {
		byID = append(byID, bson.E{Key: s.ID, Value: s.Host})
		conns = append(conns, bson.E{Key: s.Host, Value: s.ID})
		for _, h := range s.members() {
			hosts = append(hosts, bson.E{Key: h, Value: s.ID})
		}
	}
	return rawDoc(bson.D{{"map", byID}, {"hosts", hosts}, {"connStrings", conns}}), nil
}

func getShardVersion(_ context.Context, o *op) (bson.Raw, error) {
	ns := getString(o.req.Body, o.req.Name)
	t := o.r.catalog.table(ns)
	if t == nil {
		return nil, mongoerr.New(mongoerr.NamespaceNotSharded, "Collection %s is not sharded.", ns)
	}
	return rawDoc(bson.D{{"version", t.version()}, {"versionEpoch", t.epoch}, {"versionTimestamp", t.timestamp}}), nil
}

func getDatabaseVersion(_ context.Context, o *op) (bson.Raw, error) {
	db := getString(o.req.Body, o.req.Name)
	d := o.r.known.database(db)
	if d == nil {
		return nil, mongoerr.New(mongoerr.NamespaceNotFound, "Database %s not found", db)
	}
	return rawDoc(bson.D{{"dbVersion", versionDoc(d.version())}}), nil
}
