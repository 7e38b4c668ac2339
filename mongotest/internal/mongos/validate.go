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
	shards, err := o.holders()
	if err != nil {
		return nil, err
	}
	resps, err := o.sendAll(ctx, shards, func(string) call { return o.forward() })
	if err != nil {
		return nil, err
	}
	valid, raw := true, bson.D{}
	for i, resp := range resps {
		valid = valid && getBool(resp.Body, "valid", false)
		raw = append(raw, bson.E{Key: o.r.catalog.host(shards[i]), Value: edit(resp.Body, nil, bson.E{Key: "ok", Value: 1.0})})
	}
	return rawDoc(bson.D{{"valid", valid}, {"raw", raw}}), nil
}

// holders are the shards that have a part of the collection which the command
// names.
func (o *op) holders() ([]string, error) {
	rt, err := o.r.route(o.req.NS(), nil, nil)
	if err != nil {
		return nil, err
	}
	if len(rt.shards) == 0 { // of a database that does not exist; any shard knows what to say
		return o.r.catalog.shardIDs()[:1], nil
	}
	return rt.shards, nil
}
