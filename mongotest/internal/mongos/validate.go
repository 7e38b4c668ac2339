package mongos

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// validate asks every shard that has a part of the collection. It is valid if
// all of these are.
func validate(ctx context.Context, o *op) (bson.Raw, error) {
	if _, err := collectionName(o.req); err != nil {
		return nil, err
	}
	ns := o.req.NS()
	return freshly(o, ns, func() (bson.Raw, error) { return o.validate(ctx, ns) })
}

func (o *op) validate(ctx context.Context, ns string) (bson.Raw, error) {
	rt, err := o.route(ns, nil, nil)
	if err != nil {
		return nil, err
	}
	if len(rt.shards) == 0 { // of a database that does not exist; any shard knows what to say
		rt.shards = o.r.catalog.shardIDs()[:1]
	}
	resps, err := o.sendAll(ctx, rt.shards, func(shard string) call {
		c := o.forward()
		c.routed = rt.routed(shard)
		return c
	})
	if err != nil {
		return nil, err
	}
	valid, raw := true, bson.D{}
	for i, resp := range resps {
		valid = valid && getBool(resp.Body, "valid", false)
		raw = append(raw, bson.E{Key: o.r.catalog.host(rt.shards[i]), Value: edit(resp.Body, nil, bson.E{Key: "ok", Value: 1.0})})
	}
	return rawDoc(bson.D{{"valid", valid}, {"raw", raw}}), nil
}
