package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/coordinator/state"
)

// Config holds what a Coordinator needs.
type Config struct {
	ID  string // this node's name, unique in the cluster
	Dir string // where raft keeps its log and snapshots; empty: in memory, for tests

	// Peers connects several nodes. With it a node without a state waits until Init
	// makes it the first of a cluster, or Join a further one. Without it a node is
	// alone, and begins by itself.
	Peers Peers

	// Voters and Transport make a cluster whose nodes have raft only, for tests.
	Voters    []raft.Server
	Transport raft.Transport

	// LogBytes is how many bytes of commands are applied before there is a new
	// snapshot, and the log is shortened; 0: 64 MiB. Raft makes one sooner if they
	// are many and small.
	LogBytes uint64

	Reconcilers []Reconciler

	// Patience makes what decides about the failures of one reconciler. Nil tries
	// again for ever.
	Patience func() Patience

	Logger *slog.Logger

	stored func(*stores) // puts other stores in their place, in tests
}

// A Patience decides for how long a reconciler that fails is called again. It
// is used by one goroutine.
type Patience interface {
	// Progress notes that it got through.
	Progress()
	// Again notes a failure. It returns nil if it should simply be tried again.
	// Otherwise the error pauses the sync, with everything kept.
	Again(err error) error
}

type endless struct{}

func (endless) Progress()         {}
func (endless) Again(error) error { return nil }

// Coordinator is one node of the replicated coordinator.
type Coordinator struct {
	cfg   Config
	fsm   *fsm
	ready chan struct{} // closed once raft is set
	raft  *raft.Raft
	gate  *gate
	waits waits

	lookout *lookout
	joins   atomic.Bool // Join is under way
	latest  atomic.Pointer[lead]
}

// New returns a Coordinator that is not running. Call Run once.
func New(cfg Config) (*Coordinator, error) {
	if cfg.ID == "" {
		return nil, errors.New("coordinator: ID is required")
	}
	if len(cfg.Voters) > 1 && cfg.Transport == nil {
		return nil, errors.New("coordinator: several voters need a Transport")
	}
	if cfg.Patience == nil {
		cfg.Patience = func() Patience { return endless{} }
	}
	cfg.LogBytes = cmp.Or(cfg.LogBytes, logBytes)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Coordinator{cfg: cfg, fsm: newFSM(), ready: make(chan struct{}), gate: newGate(), lookout: newLookout()}, nil
}

// Run takes part in the cluster until ctx ends or the node cannot go on. It
// returns after raft and every reconciler have stopped.
func (c *Coordinator) Run(ctx context.Context) (err error) {
	st, err := openStores(ctx, c.cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	if c.cfg.stored != nil {
		c.cfg.stored(st)
	}

	notify := make(chan bool, 8) // raft blocks on it; leadership changes seldom
	rc := raftConfig(c.cfg, notify)
	if err := bootstrap(rc, st, c.cfg.Peers == nil); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	kept := newDisk(st.logs, st.stable)
	c.raft, err = raft.NewRaft(rc, c.fsm, kept, kept, st.snapshots, st.transport)
	if err != nil {
		// Raft only says that no snapshot could be read.
		return fmt.Errorf("start raft: %w", cmp.Or(c.fsm.whyBroken(), err))
	}
	if err := c.knowsItself(); err != nil {
		return errors.Join(err, c.raft.Shutdown().Error())
	}
	c.raft.RegisterObserver(c.lookout.by)
	close(c.ready)
	looks := c.look(ctx)
	defer looks()

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.follow(gctx, notify) })
	g.Go(func() error { return c.fsm.watch(gctx) })
	g.Go(func() error { return kept.watch(gctx) })
	g.Go(func() error { return c.shorten(gctx) })
	if c.cfg.Peers != nil {
		g.Go(func() error { return c.belongs(gctx) })
	}
	err = g.Wait()
	return errors.Join(err, c.shutDown())
}

// look starts to take what raft tells of other nodes. The returned function ends
// that, once raft has been shut down.
func (c *Coordinator) look(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.lookout.run(ctx)
	}()
	return func() {
		c.raft.DeregisterObserver(c.lookout.by)
		cancel()
		<-ended
	}
}

// answerLimit bounds the wait for what raft was asked last. Without a majority
// it answers only when it is shut down.
const answerLimit = time.Second

func (c *Coordinator) shutDown() error {
	late := time.NewTimer(answerLimit)
	defer late.Stop()
	select {
	case <-c.gate.close():
	case <-late.C:
	}
	return c.raft.Shutdown().Error()
}

// Watch returns this node's copy of the state, which nobody changes, and a
// channel that is closed when there is a newer one. A follower's copy may be a
// little old. It may be called at any time, from any goroutine.
func (c *Coordinator) Watch() (*state.Sync, <-chan struct{}) { return c.fsm.read() }

// follow runs the reconcilers while this node leads.
func (c *Coordinator) follow(ctx context.Context, notify <-chan bool) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case leads := <-notify:
			if !leads {
				continue
			}
		}
		err := c.lead(ctx, notify)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !errors.Is(err, errNoLongerLeader) {
			return err
		}
		c.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "leadership lost")
	}
}

var errNoLongerLeader = errors.New("this node no longer leads")

func (c *Coordinator) lead(ctx context.Context, notify <-chan bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	term := c.raft.CurrentTerm()
	// What earlier leaders committed must be known before anything is decided.
	if err := c.raft.Barrier(0).Error(); err != nil {
		return errNoLongerLeader
	}
	c.latest.Store(&lead{term: term, since: time.Now()})
	c.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "leading", slog.String("node", c.cfg.ID))
	if err := c.tellAddress(ctx); err != nil {
		return errNoLongerLeader
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, r := range c.cfg.Reconcilers {
		g.Go(func() error { return c.reconcile(gctx, r) })
	}
	g.Go(func() error {
		for {
			select {
			case <-gctx.Done():
				return context.Cause(gctx)
			case leads := <-notify:
				if !leads {
					return errNoLongerLeader
				}
			}
		}
	})
	return g.Wait()
}

// idle is how often a reconciler looks again although nothing was recorded: the
// clusters may have changed.
const idle = time.Second
