package mongotest

import (
	"fmt"
	"strconv"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/mongod"
	"github.com/shardferry/shardferry/mongotest/internal/mongos"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/wire"
)

// build makes the cluster's processes. Addresses are taken in the order in
// which ListenAndServe counts ports: routers, shards, config server.
func (c *Cluster) build() error {
	addrs, err := newAddresses(c.opts)
	if err != nil {
		return err
	}
	users, err := c.users()
	if err != nil {
		return err
	}
	if c.opts.Shards == 0 {
		c.shards = []*member{c.newMember("rs0", addrs.take("rs0-0"), false)}
		return c.serveAll(users)
	}
	for i := range c.opts.Mongos {
		c.routers = append(c.routers, &router{addr: addrs.take("mongos" + strconv.Itoa(i)), clock: oplog.NewClock()})
	}
	for i := range c.opts.Shards {
		id := "shard" + strconv.Itoa(i)
		c.shards = append(c.shards, c.newMember(id, addrs.take(id+"-0"), true))
	}
	c.config = c.newMember(mongos.ConfigShard, addrs.take("config-0"), true)
	if err := c.buildRouters(); err != nil {
		return err
	}
	return c.serveAll(users)
}

// newMember makes a replica set of one node.
func (c *Cluster) newMember(id, addr string, sharded bool) *member {
	clock := oplog.NewClock()
	log := oplog.NewLog(clock, oplog.Options{MaxEntries: c.opts.OplogEntries})
	cfg := mongod.Config{
		Name:         addr,
		SetName:      id,
		Version:      c.opts.Version,
		ConfigServer: id == mongos.ConfigShard,
		Engine:       storage.NewEngine(log, clock),
		Log:          log,
		Clock:        clock,
		NoopInterval: c.opts.NoopInterval,
		TTLInterval:  c.opts.TTLInterval,
		Logger:       c.opts.Logger.With("member", addr),
	}
	if sharded {
		cfg.ShardID = id
	}
	return &member{id: id, addr: addr, node: mongod.New(cfg)}
}

// buildRouters makes the catalog and the routers that share it.
func (c *Cluster) buildRouters() error {
	cfg := mongos.CatalogConfig{Version: c.opts.Version, Clock: c.config.node.Clock(), Transport: c.transport, OrphanDelay: c.opts.OrphanDelay}
	for _, m := range c.shards {
		cfg.Shards = append(cfg.Shards, mongos.Shard{ID: m.id, Host: m.id + "/" + m.addr})
	}
	catalog, err := mongos.NewCatalog(cfg)
	if err != nil {
		return fmt.Errorf("mongotest: %w", err)
	}
	c.catalog = catalog
	for _, m := range c.shards {
		m.node.SetOwnership(catalog.Owns(m.id))
	}
	for _, r := range c.routers {
		r.mongo, err = mongos.NewRouter(mongos.Config{
			Name:      r.addr,
			Version:   c.opts.Version,
			Catalog:   catalog,
			Clock:     r.clock,
			Transport: c.transport,
			Logger:    c.opts.Logger.With("router", r.addr),
		})
		if err != nil {
			return fmt.Errorf("mongotest: %w", err)
		}
	}
	return nil
}

// users derives the credentials of the options' users.
func (c *Cluster) users() (wire.UserList, error) {
	var list wire.UserList
	for _, u := range c.opts.Users {
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
		user, err := wire.NewUser(u.DB, u.Name, u.Password, roles)
		if err != nil {
			return nil, fmt.Errorf("mongotest: %w", err)
		}
		list = append(list, user)
	}
	return list, nil
}

// serveAll puts the wire protocol in front of every process.
func (c *Cluster) serveAll(users wire.UserList) error {
	type process struct {
		handler    command.Handler
		failPoints *failpoint.Set
	}
	processes := map[string]process{}
	for _, m := range c.members() {
		processes[m.addr] = process{m.node, m.node.Config().FailPoints}
	}
	for _, r := range c.routers {
		processes[r.addr] = process{r.mongo, r.mongo.FailPoints()}
	}
	for addr, p := range processes {
		srv, err := wire.New(wire.Config{
			Handler:     p.handler,
			Users:       users,
			RequireAuth: c.opts.RequireAuth,
			Fault:       func(req *command.Request) *wire.Fault { return c.net.fault(addr, req) },
			FailPoints:  p.failPoints,
			Logger:      c.opts.Logger,
		})
		if err != nil {
			return fmt.Errorf("mongotest: %s: %w", addr, err)
		}
		c.servers[addr] = srv
	}
	return nil
}
