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
	resp, err := o.send(ctx, ConfigShard, call{name: "find", db: "config", safe: true, body: rawDoc(bson.D{
		{"find", "settings"}, {"filter", bson.D{{"_id", id}}}, {"limit", int64(1)}, {"singleBatch", true},
	})})
	if err != nil {
		return nil, err
	}
	if docs := getDocs(getDoc(resp.Body, "cursor"), "firstBatch"); len(docs) > 0 {
		return docs[0], nil
	}
	return nil, nil
}

// balancerMode switches the balancer on or off. It never moves anything by
// itself in this cluster: chunks move when a command says so.
func balancerMode(mode string) commandFunc {
	return func(ctx context.Context, o *op) (bson.Raw, error) {
		w := o.r.catalog.writes()
		w.put("settings", bson.E{Key: "_id", Value: "balancer"}, bson.D{{"_id", "balancer"}, {"mode", mode}, {"stopped", mode == "off"}})
		return rawDoc(bson.D{}), w.send(ctx)
	}
}

func balancerStatus(ctx context.Context, o *op) (bson.Raw, error) {
	s, err := o.setting(ctx, "balancer")
	if err != nil {
		return nil, err
	}
	mode := getString(s, "mode")
	if mode == "" {
		mode = "full"
	}
	if getBool(s, "stopped", false) {
		mode = "off"
	}
	return rawDoc(bson.D{{"mode", mode}, {"inBalancerRound", false}, {"numBalancerRounds", int64(0)}, {"term", int64(1)}}), nil
}

// balancerCollectionStatus always finds a collection balanced: nothing here
// would move it.
func balancerCollectionStatus(_ context.Context, o *op) (bson.Raw, error) {
	ns := getString(o.req.Body, o.req.Name)
	if o.r.catalog.table(ns) == nil {
		return nil, mongoerr.New(mongoerr.NamespaceNotSharded, "Collection %s is not sharded.", ns)
	}
	return rawDoc(bson.D{{"balancerCompliant", true}, {"chunkSize", int32(128)}}), nil
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
	for _, s := range o.r.catalog.cfg.Shards {
		shards = append(shards, o.r.catalog.shardDoc(s, o.r.catalog.zonesOf(s.ID)))
	}
	return rawDoc(bson.D{{"shards", shards}}), nil
}

func getShardMap(_ context.Context, o *op) (bson.Raw, error) {
	byID, hosts, conns := bson.D{}, bson.D{}, bson.D{}
	for _, s := range o.r.catalog.cfg.Shards {
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
