package mongotest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/mongotest/internal/access"
	"github.com/shardferry/shardferry/mongotest/internal/mongos"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/release"
	"github.com/shardferry/shardferry/mongotest/internal/wire"
)

// ErrNotRunning reports that a client dials a cluster whose Run has returned.
var ErrNotRunning = errors.New("mongotest: the cluster is not running")

// A Cluster is a simulated MongoDB cluster. Its methods may be called from any
// goroutine, before, during and after Run.
type Cluster struct {
	opts    Options
	version release.Version
	shards  []*replicaSet
	config  *replicaSet // nil for a plain replica set
	routers []*router
	catalog *mongos.Catalog // nil for a plain replica set
	servers map[string]*wire.Server
	users   []access.User // the options'
	net     *network

	disturbed disturbances

	accepted chan connection // from dialers and listeners to Run
	ready    chan struct{}   // closed when Run serves
	stopped  chan struct{}   // closed when Run returns

	mu      sync.Mutex
	started bool
}

// A router is one mongos.
type router struct {
	addr  string
	clock *oplog.Clock
	mongo *mongos.Router
}

// A connection is one that a client has opened to addr.
type connection struct {
	addr string
	conn net.Conn
}

// New returns a cluster without data. It starts nothing: clients wait until
// Run is called.
func New(o Options) (*Cluster, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	version, err := o.release()
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		opts:    o,
		version: version,
		servers: map[string]*wire.Server{},
		net:     newNetwork(),

		disturbed: disturbances{changed: make(chan struct{})},
		accepted:  make(chan connection),
		ready:     make(chan struct{}),
		stopped:   make(chan struct{}),
	}
	if err := c.build(); err != nil {
		return nil, err
	}
	return c, nil
}

// Run serves clients until ctx ends, and returns nil after the last goroutine
// of the cluster has ended and all connections are closed. An error is a
// failure of the cluster to start. It may be called once.
func (c *Cluster) Run(ctx context.Context) error {
	if err := c.start(); err != nil {
		return err
	}
	defer close(c.stopped)
	d, err := c.openDisk(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	for _, s := range c.sets() {
		if err := s.begin(d.fresh()); err != nil {
			return err
		}
	}
	if err := c.addUsers(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	d.run(ctx, g)
	for _, m := range c.members() {
		g.Go(func() error {
			m.node.Run(ctx)
			return nil
		})
	}
	for _, r := range c.routers {
		g.Go(func() error { return ended(ctx, r.mongo.Run(ctx)) })
	}
	g.Go(func() error {
		c.endDisturbances(ctx)
		return nil
	})
	g.Go(func() error {
		if c.catalog != nil {
			begin := c.catalog.Load
			if d.fresh() {
				begin = c.catalog.Init
			}
			if err := begin(ctx); err != nil {
				return ended(ctx, fmt.Errorf("mongotest: sharding catalog: %w", err))
			}
			c.setClocks()
		}
		if err := d.complete(c.opts.Version); err != nil {
			return err
		}
		close(c.ready)
		c.accept(ctx)
		return nil
	})
	return g.Wait()
}

// setClocks lets the routers know the times of everybody else: a router reads
// the catalog first, and clients may have seen later times before a restart.
func (c *Cluster) setClocks() {
	for _, r := range c.routers {
		for _, s := range c.sets() {
			r.clock.Advance(s.any().Clock().Now())
		}
	}
}

func (c *Cluster) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started {
		return errors.New("mongotest: Run called twice")
	}
	c.started = true
	return nil
}

// ended returns err unless ctx has ended, which is what then ended the rest.
func ended(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// Ready is closed when the cluster serves clients. Those that dial before wait.
func (c *Cluster) Ready() <-chan struct{} { return c.ready }

// accept serves connections until ctx ends and the last one is closed.
func (c *Cluster) accept(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case in := <-c.accepted:
			wg.Go(func() { c.serve(ctx, in) })
		}
	}
}

func (c *Cluster) serve(ctx context.Context, in connection) {
	defer c.net.remove(in)
	if c.net.refuses(in.addr) {
		_ = in.conn.Close() // came while the address was cut off
		return
	}
	if err := c.servers[in.addr].Serve(ctx, c.net.wrap(in)); err != nil && ctx.Err() == nil {
		c.opts.Logger.DebugContext(ctx, "connection ended", "addr", in.addr, "error", err)
	}
}

// sets returns all replica sets: the shards and the config server.
func (c *Cluster) sets() []*replicaSet {
	if c.config == nil {
		return c.shards
	}
	return append(c.shards[:len(c.shards):len(c.shards)], c.config)
}

// members returns the members of all replica sets.
func (c *Cluster) members() []*member {
	var all []*member
	for _, s := range c.sets() {
		all = append(all, s.members...)
	}
	return all
}

// set returns the replica set of a shard, of the config server under the id
// "config", or the plain one under its name.
func (c *Cluster) set(id string) (*replicaSet, error) {
	for _, s := range c.sets() {
		if s.id == id {
			return s, nil
		}
	}
	return nil, fmt.Errorf("mongotest: no shard %q", id)
}
