package mongotest

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sync/errgroup"
)

// Serve accepts TCP connections to one process on ln until ctx ends, and closes
// ln: the router with that index, or the member of a plain replica set for 0.
// Run must be running too, and serves the connections. The names in hello and
// config.shards are those of the options whatever ln's address is: a client of
// a replica set then needs directConnection=true.
func (c *Cluster) Serve(ctx context.Context, ln net.Listener, router int) error {
	addrs := c.front()
	if router < 0 || router >= len(addrs) {
		_ = ln.Close() // the caller's error is the index
		return fmt.Errorf("mongotest: serve: no router %d", router)
	}
	return c.listen(ctx, ln, addrs[router])
}

// ListenAndServe serves every process of the cluster on its TCP address, that
// is, Options.Listen and the ports that follow it, until ctx ends. Run must be
// running too. It fails if one of the addresses is taken.
func (c *Cluster) ListenAndServe(ctx context.Context) error {
	if c.opts.Listen == "" {
		return errors.New("mongotest: ListenAndServe without Options.Listen")
	}
	var cfg net.ListenConfig
	listeners := map[string]net.Listener{}
	for _, addr := range c.Addrs() {
		ln, err := cfg.Listen(ctx, "tcp", addr)
		if err != nil {
			for _, open := range listeners {
				_ = open.Close() // served nobody
			}
			return fmt.Errorf("mongotest: %w", err)
		}
		listeners[addr] = ln
	}
	g, ctx := errgroup.WithContext(ctx)
	for addr, ln := range listeners {
		g.Go(func() error { return c.listen(ctx, ln, addr) })
	}
	return g.Wait()
}

// listen hands what ln accepts to Run.
func (c *Cluster) listen(ctx context.Context, ln net.Listener, addr string) error {
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() }) // ends Accept
	defer stop()
	defer func() { _ = ln.Close() }() // may be closed already
	for {
		conn, err := ln.Accept()
		if err != nil {
			return ended(ctx, fmt.Errorf("mongotest: %s: %w", addr, err))
		}
		if c.net.refuses(addr) {
			_ = conn.Close() // as good as a refusal
			continue
		}
		if err := c.hand(ctx, connection{addr: addr, conn: conn}); err != nil {
			_ = conn.Close() // nobody serves it
			return ended(ctx, err)
		}
	}
}

// front returns the addresses that clients of the cluster connect to.
func (c *Cluster) front() []string {
	if len(c.routers) == 0 {
		return []string{c.shards[0].members[0].addr}
	}
	addrs := make([]string, len(c.routers))
	for i, r := range c.routers {
		addrs[i] = r.addr
	}
	return addrs
}

// Addrs returns the host:port of every process: the routers, the shards'
// members, the config server's.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, r := range c.routers {
		addrs = append(addrs, r.addr)
	}
	for _, m := range c.members() {
		addrs = append(addrs, m.addr)
	}
	return addrs
}
