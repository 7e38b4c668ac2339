package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/rehearse"
	"github.com/shardferry/shardferry/mongotest"
)

// slowest is how long a delayed command waits at most.
const slowest = time.Second

// A weather is what one cluster's network does to commands: a latency that is
// always there, and the faults of the moment.
type weather struct {
	cluster *mongotest.Cluster
	latency time.Duration

	mu     sync.Mutex
	r      *rand.Rand
	fleet  *fleet  // whose commands may be the moment of a fault
	active []Fault // with odds, those that hold now
	losses int     // disturbances so far
	during int     // disturbances in progress
}

func newWeather(c *mongotest.Cluster, latency time.Duration, r *rand.Rand) *weather {
	w := &weather{cluster: c, latency: latency, r: r}
	c.SetFaults(mongotest.Faults{Command: w.command, Route: w.route})
	return w
}

// befall lets the commands of a fleet be moments at which faults strike its nodes.
func (w *weather) befall(f *fleet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fleet = f
}

// command decides what happens to a client's command.
func (w *weather) command(cmd mongotest.Command) mongotest.Fault {
	if !worksWithData(cmd.Name) {
		return mongotest.Fault{}
	}
	w.mu.Lock()
	fleet := w.fleet
	w.mu.Unlock()
	out, slower := fleet.sent(cmd.AppName, cmd.Name) // it may end connections, and wait for nothing
	w.mu.Lock()
	defer w.mu.Unlock()
	if slower > 0 {
		out.Delay += time.Duration(w.r.Int64N(int64(slower)))
	}
	out.Delay += time.Duration(w.r.Int64N(int64(w.latency) + 1))
	for _, f := range w.active {
		if f.Kind == LoseRouted || !concerns(f.Only, cmd.AppName) || w.r.Float64() >= f.Odds {
			continue
		}
		switch f.Kind {
		case LoseRequests:
			out.DropRequest = true
		case LoseReplies:
			out.DropReply = true
		case Slow:
			out.Delay += time.Duration(w.r.Int64N(int64(slowest)))
		case SlowCopy:
			if cmd.Name == "insert" || cmd.Name == "find" {
				out.Delay += time.Duration(w.r.Int64N(int64(2 * slowest)))
			}
		case KillNode, KillConns, LoseRouted, StepDown, Cut, Freeze, Lag, Lose, RollBack, Divide, Sever, HoldMajority, FillDisk, Skew:
		}
	}
	return out
}

// route decides what happens to a router's command.
func (w *weather) route(cmd mongotest.Command) mongotest.Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := mongotest.Fault{Delay: time.Duration(w.r.Int64N(int64(w.latency)/4 + 1))}
	for _, f := range w.active {
		if f.Kind == LoseRouted && concerns(f.Only, cmd.AppName) && w.r.Float64() < f.Odds {
			if w.r.IntN(2) == 0 {
				out.DropReply = true
			} else {
				out.DropRequest = true
			}
		}
	}
	return out
}

// worksWithData is false for what drivers send to watch servers and to log in:
// that has no effect that could be lost.
func worksWithData(name string) bool {
	switch name {
	case "hello", "isMaster", "ismaster", "saslStart", "saslContinue", "endSessions", "ping":
		return false
	}
	return true
}

func concerns(only, app string) bool {
	switch only {
	case "node":
		return app == nodeApp || strings.HasPrefix(app, nodeApp+" ")
	case "application":
		return app == ""
	}
	return true
}

// calm returns how many disturbances there have been, and whether none is in
// progress. If both are the same before and after an operation, what the cluster
// answered is the whole truth.
func (w *weather) calm() (int, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.losses, w.during == 0
}

// begin notes that a fault begins.
func (w *weather) begin(f Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.losses++
	w.during++
	if f.Odds > 0 {
		w.active = append(w.active, f)
	}
}

func (w *weather) end(f Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.during--
	for i, a := range w.active {
		if a == f {
			w.active = append(w.active[:i:i], w.active[i+1:]...)
			return
		}
	}
}

// do carries a fault out and returns when it is over.
func (w *weather) do(ctx context.Context, f Fault) error {
	w.begin(f)
	defer w.end(f)
	switch f.Kind {
	case KillConns:
		w.cluster.KillConnections()
		return nil
	case StepDown:
		return w.stepDown(ctx, f)
	case Lag, Lose, RollBack:
		return w.members(ctx, f)
	case Divide, Sever, HoldMajority, FillDisk, Skew:
		return w.disturb(ctx, f)
	case Cut:
		addr := w.process(f.Shard)
		w.cluster.Cut(addr)
		defer w.cluster.Heal(addr)
	case Freeze:
		addr := w.process(f.Shard)
		w.cluster.Pause(addr)
		err := mongoconn.Sleep(ctx, f.For)
		w.cluster.Resume(addr)
		return errors.Join(err, mongoconn.Sleep(ctx, notice))
	case KillNode, LoseRequests, LoseReplies, LoseRouted, Slow, SlowCopy:
	}
	return mongoconn.Sleep(ctx, f.For)
}

// process returns the address of a process by number: the shards first.
func (w *weather) process(n int) string {
	shards := w.cluster.Shards()
	if n < len(shards) {
		if addr, err := w.cluster.Addr(shards[n]); err == nil {
			return addr
		}
	}
	return w.cluster.Addrs()[0] // a router, or the replica set
}

// nodeApp is the name under which a node's connections appear.
const nodeApp = "shardferry"

// sides are the two clusters with their weather.
type sides [2]*weather

// stepDown takes a shard's primary away. One that was taken away already, by a
// fault before, stays so.
func (w *weather) stepDown(ctx context.Context, f Fault) error {
	err := w.cluster.StepDown(ctx, w.cluster.Shards()[f.Shard], f.For)
	if errors.Is(err, mongotest.ErrNoPrimary) {
		return nil
	}
	return err
}

func newSides(st *rehearse.Stage, p Plan) sides {
	return sides{
		newWeather(st.Source, p.Latency, rand.New(rand.NewPCG(p.Seed, 1))),
		newWeather(st.Destination, p.Latency, rand.New(rand.NewPCG(p.Seed, 2))),
	}
}
