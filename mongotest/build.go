package mongotest

import (
	"fmt"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/access"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/mongod"
	"github.com/shardferry/shardferry/mongotest/internal/mongos"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/wire"
)

// build makes the cluster's processes. Addresses are taken in the order in
// which ListenAndServe counts ports: routers, shards, config server.
func (c *Cluster) build() error {
	addrs, err := newAddresses(c.opts)
	if err != nil {
		return err
	}
	if c.users, err = newUsers(c.opts.Users); err != nil {
		return err
	}
	if c.opts.Shards == 0 {
		c.shards = []*replicaSet{c.newSet("rs0", addrs, false)}
		return c.serveAll()
	}
	for i := range c.opts.Mongos {
		c.routers = append(c.routers, &router{addr: addrs.take("mongos" + strconv.Itoa(i)), clock: oplog.NewClock()})
	}
	for i := range c.opts.Shards + c.opts.Spares {
		c.shards = append(c.shards, c.newSet(shardName(i), addrs, true))
	}
	for _, s := range c.opts.ReplicaSets {
		set, err := c.newAlone(s, addrs)
		if err != nil {
			return err
		}
		c.shards = append(c.shards, set)
	}
	c.config = c.newSet(mongos.ConfigShard, addrs, true)
	if err := c.buildRouters(); err != nil {
		return err
	}
	return c.serveAll()
}

// buildRouters makes the catalog and the routers that share it.
func (c *Cluster) buildRouters() error {
	cfg := mongos.CatalogConfig{Version: c.version, Clock: c.config.any().Clock(), Transport: c.transportOf(c.configAddr), Spares: c.opts.Spares, OrphanDelay: c.opts.OrphanDelay}
	cfg.ConfigHost = c.config.id + "/" + c.config.hosts()
	for _, s := range c.shards {
		shard := mongos.Shard{ID: s.id, Host: s.id + "/" + s.hosts()}
		if s.alone {
			cfg.Alone = append(cfg.Alone, shard)
		} else {
			cfg.Shards = append(cfg.Shards, shard)
		}
	}
	cfg.Enlist = c.enlist
	catalog, err := mongos.NewCatalog(cfg)
	if err != nil {
		return fmt.Errorf("mongotest: %w", err)
	}
	c.catalog = catalog
	for _, s := range c.sets() {
		if !s.alone {
			c.join(s)
		}
	}
	for _, r := range c.routers {
		r.mongo, err = mongos.NewRouter(mongos.Config{
			Name:      r.addr,
			Version:   c.version,
			Catalog:   catalog,
			Clock:     r.clock,
			Transport: c.transportOf(func() string { return r.addr }),
			Logger:    c.opts.Logger.With("router", r.addr),
		})
		if err != nil {
			return fmt.Errorf("mongotest: %w", err)
		}
	}
	return nil
}

// join makes the members of a set those of a shard.
func (c *Cluster) join(s *replicaSet) {
	for _, m := range s.members {
		m.node.SetPeers(mongod.Peers(c.transportOf(func() string { return m.addr })))
		m.node.SetSharding(c.catalog.Part(s.id))
	}
}

// enlist makes a replica set that was started by itself a shard.
func (c *Cluster) enlist(shard mongos.Shard, cluster bson.ObjectID) error {
	s, err := c.set(shard.ID)
	if err == nil {
		err = s.any().Set().Identify(mongod.ShardIdentity{Shard: shard.ID, Cluster: cluster, Config: c.config.id + "/" + c.config.hosts()})
	}
	if err == nil {
		c.join(s)
	}
	return err
}

// newAlone makes a replica set that is no part of the cluster.
func (c *Cluster) newAlone(o ReplicaSet, addrs *addresses) (*replicaSet, error) {
	s := c.newSet(o.Name, addrs, false, func(cfg *mongod.Config) { cfg.ShardServer = o.ShardServer || o.Taken })
	s.alone = true
	if o.Taken {
		other := mongod.ShardIdentity{Shard: o.Name, Cluster: bson.NewObjectID(), Config: "config/config.elsewhere.sim:27017"}
		return s, s.any().Set().Identify(other)
	}
	return s, nil
}

// configAddr is where what the config server does by itself comes from.
func (c *Cluster) configAddr() string {
	if m := c.config.primary(); m != nil {
		return m.addr
	}
	return c.config.members[0].addr
}

// addUsers stores the options' users in every replica set: a mongos asks the
// config server, a shard its own. It does so once the sets run.
func (c *Cluster) addUsers() error {
	for _, u := range c.users {
		for _, s := range c.sets() {
			if _, ok := s.any().Accounts().User(u.DB, u.Name); ok {
				continue // it is on the disk
			}
			if err := s.any().Accounts().Add(u); err != nil {
				return fmt.Errorf("mongotest: user %s: %w", u.Name, err)
			}
		}
	}
	return nil
}

// newUsers derives the credentials of the options' users.
func newUsers(list []User) ([]access.User, error) {
	var users []access.User
	for _, u := range list {
		if u.DB == "" {
			u.DB = "admin"
		}
		var roles []command.Role
		for _, r := range u.Roles {
			if r.DB == "" {
				r.DB = u.DB
			}
			roles = append(roles, command.Role(r))
		}
		user, err := access.NewUser(u.DB, u.Name, u.Password, roles)
		if err != nil {
			return nil, fmt.Errorf("mongotest: %w", err)
		}
		users = append(users, user)
	}
	return users, nil
}

// serveAll puts the wire protocol in front of every process.
func (c *Cluster) serveAll() error {
	for _, m := range c.members() {
		if err := c.serveOn(m.addr, m.node, m.node.Accounts(), m.node.Config().FailPoints); err != nil {
			return err
		}
	}
	for _, r := range c.routers {
		if err := c.serveOn(r.addr, r.mongo, c.config.any().Accounts(), r.mongo.FailPoints()); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) serveOn(addr string, h command.Handler, users wire.Users, points *failpoint.Set) error {
	beside := map[string]command.Handler{}
	if c.opts.FaultCommands {
		beside[simulateName] = command.HandlerFunc(c.simulate)
	}
	srv, err := wire.New(wire.Config{
		Beside:      beside,
		Handler:     h,
		Users:       users,
		RequireAuth: c.opts.RequireAuth,
		TLS:         c.opts.TLS,
		Fault:       func(req *command.Request) *wire.Fault { return c.net.fault(addr, req) },
		FailPoints:  points,
		Logger:      c.opts.Logger,
	})
	if err != nil {
		return fmt.Errorf("mongotest: %s: %w", addr, err)
	}
	c.servers[addr] = srv
	return nil
}
