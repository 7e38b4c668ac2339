package mongos

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// withConfig returns the shards and the config server, that one first.
func (c *Catalog) withConfig() []string {
	shards := slices.DeleteFunc(c.shardIDs(), func(id string) bool { return id == ConfigShard })
	return append([]string{ConfigShard}, shards...)
}

// planCommand runs a command about plans on every shard that has a part of the
// collection. The reply is that of the first one, with all replies by shard (the
// server's cluster_index_filter_cmd.cpp).
func planCommand(ctx context.Context, o *op) (bson.Raw, error) {
	coll, err := collectionName(o.req)
	if err != nil {
		return nil, err
	}
	ns := o.req.DB + "." + coll
	unlock, err := o.shared(ctx, ns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return freshly(o, ns, func() (bson.Raw, error) { return o.onParts(ctx, ns) })
}

func (o *op) onParts(ctx context.Context, ns string) (bson.Raw, error) {
	rt, err := o.place(ns)
	if err != nil {
		return nil, err
	}
	shards := slices.Clone(rt.shards)
	if rt.table != nil {
		shards = rt.table.shards()
	}
	if len(shards) == 0 {
		return nil, mongoerr.New(mongoerr.NamespaceNotFound, "database %s not found", o.req.DB)
	}
	slices.Sort(shards)
	base := o.forward()
	base.safe = true
	resps, err := o.sendAll(ctx, shards, func(shard string) call {
		c := base
		c.routed = rt.routed(shard)
		return c
	})
	if err != nil {
		return nil, err
	}
	reply := elementsOf(resps[0].Body)
	for i, resp := range resps {
		reply = append(reply, bson.E{Key: shards[i], Value: edit(resp.Body, nil, bson.E{Key: "ok", Value: 1.0})})
	}
	return rawDoc(reply), nil
}

// onWholeCluster sets something for the config server and all shards. The
// config server is the first to know, and what it refuses nobody hears of.
func onWholeCluster(ctx context.Context, o *op) (bson.Raw, error) {
	unlock, err := o.r.catalog.locks.exclusive(ctx, "config.shards")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var reply bson.Raw
	for _, shard := range o.r.catalog.withConfig() {
		c := o.forward()
		c.safe = true
		resp, err := o.send(ctx, shard, c)
		if err != nil {
			return nil, err
		}
		if reply == nil {
			reply = resp.Body
		}
	}
	return reply, nil
}

// fsync flushes the whole cluster. With lock: true it locks all of it, or, if
// that fails anywhere, nothing (the server's cluster_fsync_cmd.cpp).
func fsync(ctx context.Context, o *op) (bson.Raw, error) {
	raw, locked, err := o.gather(ctx, o.r.catalog.withConfig())
	if err == nil {
		return rawDoc(bson.D{{"numFiles", int32(1)}, {"all", raw}}), nil
	}
	if getBool(o.req.Body, "lock", false) {
		o.unlock(context.WithoutCancel(ctx), locked)
	}
	return nil, err
}

// unlock gives back the locks of a fsync that did not get all of them.
func (o *op) unlock(ctx context.Context, shards []string) {
	for _, s := range shards {
		c := call{name: "fsyncUnlock", db: "admin", body: rawDoc(bson.D{{"fsyncUnlock", int32(1)}})}
		if _, err := o.send(ctx, s, c); err != nil {
			o.r.cfg.Logger.WarnContext(ctx, "shard left locked", "shard", s, "error", err)
		}
	}
}

func fsyncUnlock(ctx context.Context, o *op) (bson.Raw, error) {
	raw, _, err := o.gather(ctx, o.r.catalog.withConfig())
	return raw, err
}

// compact is for shards alone.
func compact(context.Context, *op) (bson.Raw, error) {
	return nil, mongoerr.New(mongoerr.CommandNotSupported, "compact not allowed through mongos")
}
