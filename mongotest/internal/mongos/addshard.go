package mongos

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// addShard takes a replica set into the cluster: one of those that were made
// with it and wait, or one that was removed and holds no database any more.
func addShard(ctx context.Context, o *op) (bson.Raw, error) {
	c, host := o.r.catalog, getString(o.req.Body, o.req.Name)
	unlock, err := c.locks.exclusive(ctx, "config.shards")
	if err != nil {
		return nil, err
	}
	defer unlock()
	i := slices.IndexFunc(c.cfg.Shards, func(s Shard) bool { return s.Host == host })
	if i < 0 {
		return nil, mongoerr.New(mongoerr.FailedToSatisfyReadPreference, "Could not find host matching read preference { mode: \"primary\" } for set %s", host)
	}
	s := c.cfg.Shards[i]
	if name := getString(o.req.Body, "name"); name != "" && name != s.ID {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "A shard of the simulated cluster is named after its replica set: %s", s.ID)
	}
	if c.membership(s.ID) == removed {
		if err := o.checkNoDatabases(ctx, s); err != nil {
			return nil, err
		}
		if err := o.admit(ctx, s); err != nil {
			return nil, err
		}
		o.changelog(ctx, "addShard", "", bson.D{{"name", s.ID}, {"host", s.Host}})
	}
	return rawDoc(bson.D{{"shardAdded", s.ID}}), nil
}

// checkNoDatabases refuses a replica set that has databases of its own.
func (o *op) checkNoDatabases(ctx context.Context, s Shard) error {
	resp, err := o.r.own().send(ctx, s.ID, call{name: "listDatabases", db: "admin", safe: true, body: rawDoc(bson.D{{"listDatabases", int32(1)}, {"nameOnly", true}})})
	if err != nil {
		return err
	}
	for _, d := range getDocs(resp.Body, "databases") {
		if name := getString(d, "name"); !internalDB(name) {
			return mongoerr.New(mongoerr.OperationFailed, "can't add shard '%s' because a local database '%s' exists in another cluster", s.Host, name)
		}
	}
	return nil
}

// admit makes a replica set a shard. The streams that are open get it first, so
// that they see everything that ever happens there.
func (o *op) admit(ctx context.Context, s Shard) error {
	c := o.r.catalog
	c.stand(s.ID, joining)
	for _, f := range c.streams.list() {
		if err := f.join(ctx, o.r.own(), s.ID); err != nil {
			c.stand(s.ID, removed)
			return err
		}
	}
	w := c.writes()
	row := c.shardDoc(s, nil)
	w.put("shards", row[0], row)
	if err := w.send(ctx); err != nil {
		c.stand(s.ID, removed)
		return err
	}
	c.stand(s.ID, member)
	return nil
}

// stand changes how a shard stands, for the routers only.
func (c *Catalog) stand(id string, m membership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.standing[id] = m
}
