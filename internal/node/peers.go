package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/peer"
)

// What nodes ask the one that leads, beside what the coordinator does.
const (
	askClock    = "clock"
	askProgress = "progress"
)

// leaderAnswer bounds a question to the leader.
const leaderAnswer = time.Second

// connectPeers makes the port for other nodes, if there are to be any.
func (n *Node) connectPeers() (coordinator.Peers, error) {
	if n.cfg.Peers == nil {
		return nil, nil
	}
	var err error
	if n.port, err = peer.New(n.cfg.Peers.Port); err != nil {
		return nil, err
	}
	return n.port, nil
}

// answerPeers says what other nodes may ask.
func (n *Node) answerPeers() {
	if n.port == nil {
		return
	}
	for name, answer := range n.coord.Answers() {
		n.port.Answers(name, answer)
	}
	n.port.Answers(askClock, func(context.Context, []byte) ([]byte, error) {
		s, _ := n.coord.Watch()
		now, known := n.clock.read(s.Leg.Number)
		return bson.Marshal(clockAnswer{Leg: s.Leg.Number, Now: now, Known: known})
	})
	n.port.Answers(askProgress, func(ctx context.Context, _ []byte) ([]byte, error) {
		p, err := n.progress(ctx)
		if err != nil {
			return nil, err
		}
		return json.Marshal(p)
	})
}

type clockAnswer struct {
	Leg   int                    `bson:"leg"`
	Now   shardferry.ClusterTime `bson:"now"`
	Known bool                   `bson:"known"`
}

// Leads reports whether this node leads, by its own word. One that is alone does.
func (n *Node) Leads() bool {
	mine, _ := n.coord.Leading()
	return n.port == nil || mine
}

var errNobodyLeads = errors.New("no node leads at the moment")

// askLeader asks the node that leads.
func (n *Node) askLeader(ctx context.Context, name string) ([]byte, error) {
	_, leader := n.coord.Leading()
	if leader.Addr == "" {
		return nil, errNobodyLeads
	}
	ctx, cancel := context.WithTimeout(ctx, leaderAnswer)
	defer cancel()
	return n.port.Call(ctx, leader.Addr, name, nil)
}

// setClock takes the source's time from the leader. Notes of every node would only
// be more notes.
func (n *Node) setClock(ctx context.Context) {
	b, err := n.askLeader(ctx, askClock)
	var c clockAnswer
	if err == nil {
		err = bson.Unmarshal(b, &c)
	}
	if err != nil {
		n.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "the leader does not tell the source's time", slog.Any("error", err))
		return
	}
	if c.Known {
		n.clock.set(c.Leg, c.Now)
	}
}

// Progress implements api.Controller. It is the leader's, which alone knows what
// its reconcilers wait for. If the leader does not answer it is what this node knows,
// which may be a little old, and names no coordinator.
func (n *Node) Progress(ctx context.Context) (api.Progress, error) {
	if err := n.wait(ctx); err != nil {
		return api.Progress{}, err
	}
	if !n.Leads() {
		b, err := n.askLeader(ctx, askProgress)
		var p api.Progress
		if err == nil {
			err = json.Unmarshal(b, &p)
		}
		if err == nil {
			p.MongosyncID = n.cfg.ID
			return p, nil
		}
		n.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "the leader does not tell the progress", slog.Any("error", err))
	}
	return n.progress(ctx)
}

// nodes lists the nodes for the progress.
func (n *Node) nodes() []api.Node {
	out := []api.Node{}
	mine, _ := n.coord.Leading()
	for _, m := range n.coord.Members() {
		one := api.Node{ID: m.ID, Addr: m.Addr, Voter: m.Voter, Leader: m.Leader}
		if mine || m.ID == n.cfg.ID {
			alive := m.FailingSince.IsZero()
			one.Alive = &alive
		}
		out = append(out, one)
	}
	return out
}

// belong returns once the node belongs to a cluster and knows its state, and
// meanwhile has it join the one it was told of.
func (n *Node) belong(ctx context.Context, g *errgroup.Group) error {
	if n.port == nil {
		return nil
	}
	if n.cfg.Peers.Join != "" {
		// A voter that starts again has nothing to wait for here.
		has, err := n.coord.HasState(ctx)
		if err != nil {
			return err
		}
		join := func() error { return n.coord.Join(ctx, n.cfg.Peers.Join, !n.cfg.Peers.NoVote) }
		if !has {
			if err := join(); err != nil {
				return fmt.Errorf("join %s: %w", n.cfg.Peers.Join, err)
			}
			return nil
		}
		g.Go(join)
	}
	return n.coord.AwaitMember(ctx)
}

// sameJob makes sure that a state is about the clusters of this node. Every node
// has their URIs from its own operator.
func (n *Node) sameJob(s *state.Sync) error {
	if s.State == shardferry.StateIdle {
		return nil
	}
	if s.Job.Source.ID != n.ends.source.info.ID || s.Job.Destination.ID != n.ends.destination.info.ID {
		return fmt.Errorf("%s holds the sync of %s to %s: %w", n.cfg.DataDir, s.Job.Source.Hosts, s.Job.Destination.Hosts, ErrOtherJob)
	}
	return nil
}

// mind ends the node when a sync between other clusters is started on another one.
func (n *Node) mind(ctx context.Context) error {
	for {
		s, changed := n.coord.Watch()
		if err := n.sameJob(s); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
