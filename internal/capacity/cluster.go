package capacity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
)

const nodes = 3

var (
	errToldToStop = errors.New("told to stop")
	errNoLeader   = errors.New("no node leads")
)

// A cluster is what is measured.
type cluster struct {
	all []*node
}

type node struct {
	*coordinator.Coordinator
	stop  context.CancelCauseFunc
	ended chan error
	lost  *losses
}

// losses counts how often a node has stopped to lead.
type losses struct {
	slog.Handler
	n *atomic.Int64
}

func (l losses) Enabled(context.Context, slog.Level) bool { return true }

func (l losses) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "leadership lost" {
		l.n.Add(1)
	}
	return nil
}

// begin starts nodes that keep their logs under dir, and waits for a leader.
func begin(ctx context.Context, dir string) (*cluster, error) {
	var voters []raft.Server
	var transports []*raft.NetworkTransport
	for i := range nodes {
		t, err := raft.NewTCPTransport("127.0.0.1:0", nil, 3, 10*time.Second, io.Discard)
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		transports = append(transports, t)
		voters = append(voters, raft.Server{ID: raft.ServerID(fmt.Sprintf("n%d", i+1)), Address: t.LocalAddr()})
	}
	c := &cluster{}
	for i, v := range voters {
		l := &losses{Handler: slog.DiscardHandler, n: &atomic.Int64{}}
		one, err := coordinator.New(coordinator.Config{
			ID: string(v.ID), Dir: filepath.Join(dir, string(v.ID)), Voters: voters, Transport: transports[i], Logger: slog.New(l),
		})
		if err != nil {
			return nil, err
		}
		nctx, stop := context.WithCancelCause(ctx)
		n := &node{Coordinator: one, stop: stop, ended: make(chan error, 1), lost: l}
		transport := transports[i]
		go func() { n.ended <- errors.Join(one.Run(nctx), transport.Close()) }()
		c.all = append(c.all, n)
	}
	if err := c.record(ctx, state.Created{}); err != nil { // changes nothing before the start
		return nil, errors.Join(err, c.end())
	}
	return c, nil
}

// leader returns the node that leads, and nil if none does.
func (c *cluster) leader() *node {
	for _, n := range c.all {
		for _, m := range n.Members() {
			if m.Leader {
				for i, l := range c.all {
					if m.ID == fmt.Sprintf("n%d", i+1) && l.stop != nil {
						return l
					}
				}
			}
		}
	}
	return nil
}

const leaderLimit = 30 * time.Second

// record proposes a command to whichever node leads, until one has taken it.
func (c *cluster) record(ctx context.Context, cmd state.Command) error {
	ctx, cancel := context.WithTimeoutCause(ctx, leaderLimit, errNoLeader)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if l := c.leader(); l != nil {
			err := l.Propose(ctx, cmd)
			// What these commands do may be done twice.
			if !errors.Is(err, shardferry.ErrNotLeader) && !errors.Is(err, shardferry.ErrOutcomeUnknown) {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// losses returns how often leadership was lost.
func (c *cluster) losses() (n int64) {
	for _, one := range c.all {
		n += one.lost.n.Load()
	}
	return n
}

// lose ends the leader.
func (c *cluster) lose() error {
	l := c.leader()
	if l == nil {
		return errNoLeader
	}
	return l.end()
}

func (c *cluster) end() (err error) {
	for _, n := range c.all {
		err = errors.Join(err, n.end())
	}
	return err
}

func (n *node) end() error {
	if n.stop == nil {
		return nil
	}
	n.stop(errToldToStop)
	n.stop = nil
	if err := <-n.ended; !errors.Is(err, errToldToStop) {
		return err
	}
	return nil
}
