package mongos

import (
	"context"
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// addShard takes a replica set into the cluster: one of those that were made
// with it and wait, one that was started by itself, or one that was removed.
func addShard(ctx context.Context, o *op) (bson.Raw, error) {
	c, wanted := o.r.catalog, getString(o.req.Body, o.req.Name)
	s, err := c.candidate(wanted)
	if err != nil {
		return nil, err
	}
	if s.ID == ConfigShard && c.membership(s.ID) == removed {
		return nil, mongoerr.New(mongoerr.OperationFailed, "Cannot add %s as a shard since it is a config server", wanted)
	}
	if name := getString(o.req.Body, "name"); name != "" && name != s.ID {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "A shard of the simulated cluster is named after its replica set: %s", s.ID)
	}
	return rawDoc(bson.D{{"shardAdded", s.ID}}), o.enlist(ctx, s)
}

// candidate finds the replica set that a connection string means: setName/host,
// with some of its members (the server's ShardingCatalogManager::_validateHostAsShard).
func (c *Catalog) candidate(wanted string) (Shard, error) {
	set, hosts, named := strings.Cut(wanted, "/")
	if !named {
		set, hosts = "", wanted
	}
	seeds := strings.Split(hosts, ",")
	for _, s := range c.cfg.Shards {
		members := s.members()
		outside := slices.IndexFunc(seeds, func(h string) bool { return !slices.Contains(members, h) })
		switch {
		case outside < 0 && set == s.set():
			return s, nil
		case outside < 0 && !named:
			return s, mongoerr.New(mongoerr.OperationFailed, "host is part of set %s; use replica set url format <setname>/<server1>,<server2>, ...", s.set())
		case set == s.set() && slices.ContainsFunc(seeds, func(h string) bool { return slices.Contains(members, h) }):
			return s, mongoerr.New(mongoerr.OperationFailed, "in seed list %s, host %s does not belong to replica set %s", wanted, seeds[outside], set)
		}
	}
	return Shard{}, mongoerr.New(mongoerr.FailedToSatisfyReadPreference, "Could not find host matching read preference { mode: \"primary\" } for set %s", set)
}

// set is the name of the shard's replica set.
func (s Shard) set() string {
	name, _, _ := strings.Cut(s.Host, "/")
	return name
}

// enlist makes a replica set a shard, unless it is one. Its databases become
// databases of the cluster.
func (o *op) enlist(ctx context.Context, s Shard) error {
	c := o.r.catalog
	unlock, err := c.locks.exclusive(ctx, "config.shards")
	if err != nil || c.membership(s.ID) != removed {
		if err == nil {
			unlock()
		}
		return err
	}
	defer unlock()
	databases, err := o.newDatabases(ctx, s)
	if err != nil {
		return err
	}
	if c.alone(s) {
		if err := c.cfg.Enlist(s, c.clusterID); err != nil {
			return err
		}
	}
	if err := o.admit(ctx, s, databases); err != nil {
		return err
	}
	o.changelog(ctx, "addShard", "", bson.D{{"name", s.ID}, {"host", s.Host}})
	return nil
}

// newDatabases returns the databases that a replica set brings with it. None may
// exist in the cluster.
func (o *op) newDatabases(ctx context.Context, s Shard) ([]*database, error) {
	c := o.r.catalog
	body, err := c.ask(ctx, s.ID, "admin", bson.D{{"listDatabases", int32(1)}, {"nameOnly", true}})
	if err != nil {
		return nil, err
	}
	var list []*database
	for _, d := range getDocs(body, "databases") {
		name := getString(d, "name")
		if internalDB(name) {
			continue
		}
		if other, ok := c.primary(name); ok {
			return nil, mongoerr.New(mongoerr.OperationFailed, "can't add shard '%s' because a local database '%s' exists in another %s", s.Host, name, other)
		}
		list = append(list, &database{name: name, primary: s.ID, uuid: value.NewUUID(), timestamp: c.cfg.Clock.Tick(1)})
	}
	return list, nil
}

// admit makes a replica set a shard. The streams that are open get it first, so
// that they see everything that happens there from then on.
func (o *op) admit(ctx context.Context, s Shard, databases []*database) (err error) {
	c := o.r.catalog
	views := map[string]view{}
	for _, d := range databases {
		if err := c.readViews(ctx, d, views); err != nil {
			return err
		}
	}
	c.stand(s.ID, joining)
	defer func() {
		if err != nil {
			c.stand(s.ID, removed)
		}
	}()
	if err := o.shareWriteBlock(ctx, s); err != nil {
		return err
	}
	c.cfg.Clock.Advance(o.r.cfg.Clock.Now()) // which has heard of the shard's: what it did before is earlier
	since := c.cfg.Clock.Tick(1)
	o.r.cfg.Clock.Advance(since) // the shard will hear of it, and do nothing that is earlier
	for _, f := range c.streams.list() {
		if err := f.join(ctx, o.r.own(), s.ID, since); err != nil {
			return err
		}
	}
	w := c.writes()
	row := c.shardDoc(s, nil)
	w.put("shards", row[0], row)
	for _, d := range databases {
		w.put("databases", bson.E{Key: "_id", Value: d.name}, d.document())
	}
	if err := w.send(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.standing[s.ID] = member
	for _, d := range databases {
		c.databases[d.name] = d
	}
	maps.Copy(c.views, views)
	return nil
}

// shareWriteBlock blocks user writes on a new shard if they are on the others,
// and only then.
func (o *op) shareWriteBlock(ctx context.Context, s Shard) error {
	in := o.r.own()
	resp, err := in.send(ctx, o.r.catalog.shardIDs()[0], call{name: "serverStatus", db: "admin", safe: true, body: rawDoc(bson.D{{"serverStatus", int32(1)}})})
	if err != nil {
		return err
	}
	on := getInt(getDoc(resp.Body, "repl"), "userWriteBlockMode", 1) == 2 // 1 is off
	_, err = in.send(ctx, s.ID, call{name: "setUserWriteBlockMode", db: "admin", safe: true, body: rawDoc(bson.D{{"setUserWriteBlockMode", int32(1)}, {"global", on}})})
	return err
}

// stand changes how a shard stands, for the routers only.
func (c *Catalog) stand(id string, m membership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.standing[id] = m
}
