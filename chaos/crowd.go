package chaos

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

// A crowd is all applications. They use one cluster; when it refuses their
// writes they turn to the other one. Now and then one of them strays to the
// cluster that it should not use, and must be refused there.
type crowd struct {
	plan    Plan
	clients [2]*mongo.Client
	sides   sides
	ledger  *ledger
	bad     *violations
	trace   *trace

	mu       sync.Mutex
	home     Side      // where they turn to
	strays   bool      // the write blocks are meant to hold
	owner    Side      // which cluster last began to take writes
	owned    time.Time // since when
	switches int       // how often the owner changed
	acked    int64
	unknown  int64
	refused  time.Time // since when no write was taken, zero if one was
	blocked  time.Duration
}

// run writes until ctx ends.
func (c *crowd) run(ctx context.Context, docs []*document) error {
	g, gctx := errgroup.WithContext(ctx)
	for i := range c.plan.Writers {
		a := &application{crowd: c, r: rand.New(rand.NewPCG(c.plan.Seed, 100+uint64(i))), next: int64(i+1) << 20}
		for n := i; n < len(docs); n += c.plan.Writers {
			a.docs = append(a.docs, docs[n])
		}
		g.Go(func() error { return c.every(gctx, c.plan.Pace, a.step) })
	}
	if c.plan.Nodes > 1 {
		g.Go(func() error { return c.every(gctx, sentinelPace, c.try) })
	}
	if c.plan.Schema {
		a := &administrator{crowd: c, r: rand.New(rand.NewPCG(c.plan.Seed, 99))}
		g.Go(func() error { return c.every(gctx, 20*c.plan.Pace, a.step) })
	}
	return g.Wait()
}

// every calls step again and again until ctx ends. A step is never interrupted,
// so that its outcome is known as often as possible.
func (c *crowd) every(ctx context.Context, pause time.Duration, step func(ctx context.Context)) error {
	for {
		if err := mongoconn.Sleep(ctx, pause); err != nil {
			return err
		}
		step(context.WithoutCancel(ctx))
	}
}

// where returns the cluster for the next write of an application.
func (c *crowd) where(r *rand.Rand) Side {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.strays && r.IntN(25) == 0 {
		return 1 - c.home
	}
	return c.home
}

// took notes that a cluster took a write that was begun at the given time. It
// is a change of owner unless it was begun before the present owner's first.
func (c *crowd) took(side Side, begun time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked++
	c.note()
	c.refused = time.Time{}
	if side != c.owner && begun.After(c.owned) {
		c.owner, c.owned, c.home = side, time.Now(), side
		c.switches++
		c.trace.add("the %v takes the applications' writes", side)
	}
}

// writesTo reports whether the given cluster is the one that took the last write.
func (c *crowd) writesTo(side Side) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.owner == side
}

// refuse notes that a cluster is write-blocked.
func (c *crowd) refuse(side Side) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if side != c.home {
		return
	}
	if c.refused.IsZero() {
		c.refused = time.Now()
	}
	c.note()
	c.home = 1 - c.home
}

// note measures for how long nothing was taken. The caller holds mu.
func (c *crowd) note() {
	if !c.refused.IsZero() {
		c.blocked = max(c.blocked, time.Since(c.refused))
	}
}

func (c *crowd) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unknown++
}

// guard tells the applications that only one cluster is to take writes from now
// on.
func (c *crowd) guard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.strays = true
}

// counts returns what was measured so far.
func (c *crowd) counts() (acked, unknown int64, switches int, blocked time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note()
	return c.acked, c.unknown, c.switches, c.blocked
}
