package mongotest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/mongos"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// ErrNoPrimary is returned by StepDown for a shard whose primary has stepped
// down already.
var ErrNoPrimary = errors.New("the shard has no primary")

// Shards returns the ids of the shards and of the spare ones, or the name of the
// plain replica set.
func (c *Cluster) Shards() []string { return c.names(false) }

// ReplicaSets returns the names of those of Options.ReplicaSets. Wherever the id
// of a shard is asked for, they may be given too.
func (c *Cluster) ReplicaSets() []string { return c.names(true) }

func (c *Cluster) names(alone bool) []string {
	var ids []string
	for _, s := range c.shards {
		if s.alone == alone {
			ids = append(ids, s.id)
		}
	}
	return ids
}

// Routers returns the host:port of each router.
func (c *Cluster) Routers() []string {
	addrs := make([]string, len(c.routers))
	for i, r := range c.routers {
		addrs[i] = r.addr
	}
	return addrs
}

// Members returns the host:port of each of a shard's members.
func (c *Cluster) Members(shard string) ([]string, error) {
	s, err := c.set(shard)
	if err != nil {
		return nil, err
	}
	var addrs []string
	for _, m := range s.members {
		addrs = append(addrs, m.addr)
	}
	return addrs, nil
}

// Addr returns the host:port of a shard's primary, or ErrNoPrimary.
func (c *Cluster) Addr(shard string) (string, error) {
	s, err := c.set(shard)
	if err != nil {
		return "", err
	}
	if m := s.primary(); m != nil {
		return m.addr, nil
	}
	return "", fmt.Errorf("mongotest: %s: %w", shard, ErrNoPrimary)
}

// SetFaults replaces the fault hooks. The zero Faults ends all disturbance that
// hooks cause.
func (c *Cluster) SetFaults(f Faults) { c.net.set(f) }

// KillConnections closes the clients' connections to the given addresses, all
// connections if none is given, and returns how many. Clients may reconnect at
// once. Commands in progress are interrupted.
func (c *Cluster) KillConnections(addrs ...string) int { return c.net.kill(addrs...) }

// Pause freezes a process, as SIGSTOP would: it accepts connections and
// commands but answers none until Resume. Commands in progress go on. The other
// members of a replica set miss it, and elect another primary if it was that.
func (c *Cluster) Pause(addr string) {
	c.net.pause(addr)
	if m, err := c.memberAt(addr); err == nil {
		m.node.Pause()
	}
}

// Resume ends Pause. What was sent meanwhile is answered now, by a process that
// does not know yet what has happened.
func (c *Cluster) Resume(addr string) {
	c.net.resume(addr)
	if m, err := c.memberAt(addr); err == nil {
		m.node.Continue()
	}
}

// Cut makes a process unreachable for clients and routers: its connections are
// closed and new ones refused until Heal. It keeps its state.
func (c *Cluster) Cut(addr string) {
	c.net.setCut(addr, true)
	c.net.kill(addr)
}

// Heal ends Cut.
func (c *Cluster) Heal(addr string) { c.net.setCut(addr, false) }

// HoldRouting keeps a router, given by its address, at what it knows now of where
// documents are, until ReleaseRouting: what moves meanwhile it looks for in the
// wrong place. The shards refuse that, and so, after some attempts, does the
// router (StaleConfig, or NoProgressMade for a write); with read concern available
// it is not refused.
func (c *Cluster) HoldRouting(addr string) error {
	return c.withRouter(addr, (*mongos.Router).HoldRouting)
}

// ReleaseRouting ends HoldRouting.
func (c *Cluster) ReleaseRouting(addr string) error {
	return c.withRouter(addr, (*mongos.Router).ReleaseRouting)
}

func (c *Cluster) withRouter(addr string, f func(*mongos.Router)) error {
	for _, r := range c.routers {
		if r.addr == addr {
			f(r.mongo)
			return nil
		}
	}
	return fmt.Errorf("mongotest: no router at %q", addr)
}

// StepDown makes a shard's primary step down. Another member takes over at
// once; without one the shard has no primary until d is over. The id is one of
// Shards, or "config".
func (c *Cluster) StepDown(ctx context.Context, shard string, d time.Duration) error {
	s, err := c.set(shard)
	if err != nil {
		return err
	}
	m := s.primary()
	if m == nil {
		return fmt.Errorf("mongotest: step down %s: %w", shard, ErrNoPrimary)
	}
	secs := max(1, int64(d/time.Second))
	req := &command.Request{
		Name:   "replSetStepDown",
		DB:     "admin",
		Body:   value.D("replSetStepDown", secs, "secondaryCatchUpPeriodSecs", int64(0), "force", true, "$db", "admin"),
		Client: &command.Client{Addr: "mongotest", AppName: "mongotest"},
	}
	_, err = m.node.Handle(ctx, req)
	if mongoerr.Is(err, mongoerr.NotWritablePrimary) {
		return fmt.Errorf("mongotest: step down %s: %w", shard, ErrNoPrimary)
	}
	if err != nil {
		return fmt.Errorf("mongotest: step down %s: %w", shard, err)
	}
	return nil
}

// TruncateOplog drops the entries of a shard's oplog that are older than
// before, as if it had rolled over; for the zero time all but the last. Change
// streams that need them fail with ChangeStreamHistoryLost.
func (c *Cluster) TruncateOplog(shard string, before bson.Timestamp) error {
	s, err := c.set(shard)
	if err != nil {
		return err
	}
	for _, m := range s.members {
		log, to := m.node.Log(), before
		if to.IsZero() {
			to = log.Last()
		}
		log.Truncate(to)
	}
	return nil
}

// ClusterTime returns the latest time that any process of the cluster knows.
// Others may not have heard of it: what a client does next may be earlier.
func (c *Cluster) ClusterTime() bson.Timestamp {
	var latest bson.Timestamp
	for _, s := range c.sets() {
		if now := s.any().Clock().Now(); now.After(latest) {
			latest = now
		}
	}
	for _, r := range c.routers {
		if now := r.clock.Now(); now.After(latest) {
			latest = now
		}
	}
	return latest
}

// OplogWindow returns the times of the oldest and the newest entry of a shard's
// oplog, zero if it is empty.
func (c *Cluster) OplogWindow(shard string) (first, last bson.Timestamp, err error) {
	s, err := c.set(shard)
	if err != nil {
		return first, last, err
	}
	return s.log().First(), s.log().Last(), nil
}
