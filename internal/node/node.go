package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/peer"
)

// ErrOtherJob reports a data directory that belongs to another pair of clusters.
var ErrOtherJob = errors.New("the data directory belongs to another job: give it its own --data-dir, or remove the directory to start over")

// Node is one process of shardferry.
type Node struct {
	cfg   Config
	coord *coordinator.Coordinator
	port  *peer.Port    // nil: it works alone
	ready chan struct{} // closed once ends is set and the state is read
	ends  *ends

	before    *Resumed // set before ready is closed, nil if this is the first run
	catalogue catalogue
	reports   *coordinator.Reports
	clock     sourceClock
	window    window
	blocking  sync.Mutex // held while the destination's write block is switched
}

// New returns a Node that is not running. Call Run once.
func New(cfg Config) (*Node, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, ready: make(chan struct{})}
	peers, err := n.connectPeers()
	if err != nil {
		return nil, err
	}
	n.coord, err = coordinator.New(coordinator.Config{
		ID:    cfg.ID,
		Dir:   cfg.DataDir,
		Peers: peers,
		Reconcilers: n.onceReady(
			&coordinator.Assignments{Hosts: n.hosts},
			coordinator.Setup{Preparer: preparer{n}},
			coordinator.Schema{Applier: applier{n}},
			coordinator.Owners{Watcher: &ownerWatch{Node: n}},
			coordinator.Cutover{Clusters: cutover{n}, Carrier: carrier{n}},
			coordinator.Turn{},
			coordinator.Recopy{Recopier: &recopier{Node: n}},
			&guard{Node: n},
			&lookout{Node: n},
		),
		Patience: func() coordinator.Patience { return &mongoconn.Patience{Limit: cfg.GiveUpAfter} },
		Logger:   cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	n.answerPeers()
	n.reports = coordinator.NewReports(n.coord.Propose)
	return n, nil
}

// onceReady lets reconcilers wait until it is known that the state is about these
// two clusters: they write.
func (n *Node) onceReady(all ...coordinator.Reconciler) []coordinator.Reconciler {
	for i, r := range all {
		all[i] = patient{Reconciler: r, node: n}
	}
	return all
}

// A patient Reconciler does nothing before a node is ready.
type patient struct {
	coordinator.Reconciler

	node *Node
}

// Idle implements coordinator.Idler.
func (p patient) Idle() time.Duration { return coordinator.IdleOf(p.Reconciler) }

// Reconcile implements coordinator.Reconciler.
func (p patient) Reconcile(ctx context.Context, s *state.Sync) ([]state.Command, error) {
	select {
	case <-p.node.ready:
		if err := p.node.sameJob(s); err != nil {
			return nil, err // the node is about to end
		}
		return p.Reconciler.Reconcile(ctx, s)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Ready is closed once the node can take commands. It stays open if Run fails.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Run connects to both clusters and works until ctx ends or the node cannot go
// on. It returns after everything it started has ended.
func (n *Node) Run(ctx context.Context) (err error) {
	ends, err := connect(ctx, n.cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ends.close(ctx)) }()
	n.ends = ends

	g, ctx := errgroup.WithContext(ctx)
	if n.port != nil {
		g.Go(func() error { return n.port.Run(ctx) })
	}
	g.Go(func() error { return n.coord.Run(ctx) })
	g.Go(func() error {
		if err := n.belong(ctx, g); err != nil {
			return err
		}
		if err := n.recall(ctx); err != nil {
			return err
		}
		close(n.ready)
		s := supervisor{node: n, workers: map[shardferry.ShardID]*running{}, patience: map[shardferry.ShardID]*patience{}}
		g.Go(func() error { return n.nudge(ctx) })
		g.Go(func() error { return n.returned(ctx) })
		g.Go(func() error { return n.reports.Run(ctx) })
		g.Go(func() error { return n.mind(ctx) })
		return s.run(ctx)
	})
	return g.Wait()
}

// leaderTimeout bounds the wait for a leader at start, of a node that is alone: it
// needs a fraction of a second. Others may have to wait for a majority to start.
const leaderTimeout = 30 * time.Second

var errNoLeader = fmt.Errorf("the coordinator has had no leader for %v", leaderTimeout)

// recall waits until the state of earlier runs is known, and makes sure that it
// is about these two clusters.
func (n *Node) recall(ctx context.Context) error {
	if err := n.catchUp(ctx); err != nil {
		return err
	}
	s, _ := n.coord.Watch()
	if err := n.sameJob(s); err != nil || s.State == shardferry.StateIdle {
		return err
	}
	r := resumed(s)
	n.before = &r
	n.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "resumed", slog.String("state", string(s.State)), slog.String("phase", r.Phase),
		slog.Int("tasks_done", r.TasksDone), slog.Int("tasks", r.Tasks), slog.Int64("docs_copied", r.Documents),
		slog.Any("resume_point", r.ResumePoint))
	return nil
}

// catchUp waits until everything that was recorded is known here.
func (n *Node) catchUp(ctx context.Context) error {
	if n.port == nil {
		wait, cancel := context.WithTimeoutCause(ctx, leaderTimeout, errNoLeader)
		defer cancel()
		if _, err := n.coord.Leads(wait); err != nil {
			return err
		}
		return n.coord.CaughtUp(ctx)
	}
	for {
		if _, err := n.coord.Leads(ctx); err != nil {
			return err
		}
		err := n.coord.CaughtUp(ctx)
		if !errors.Is(err, shardferry.ErrNotLeader) || ctx.Err() != nil {
			return err
		}
		n.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "no majority of the nodes is there yet", slog.Any("error", err))
	}
}

// Resumed says what an earlier run had done, if there was one. It may be called
// once the node is ready.
func (n *Node) Resumed() (Resumed, bool) {
	if n.before == nil {
		return Resumed{}, false
	}
	return *n.before, true
}

// State returns this node's copy of the replicated state, which nobody changes,
// and a channel that is closed when there is a newer one.
func (n *Node) State() (*state.Sync, <-chan struct{}) { return n.coord.Watch() }

// Resumed says what a sync that goes on had done before.
type Resumed struct {
	State       shardferry.State
	Phase       string
	Tasks       int
	TasksDone   int
	Documents   int64
	ResumePoint shardferry.ClusterTime
}

func resumed(s *state.Sync) Resumed {
	r := Resumed{State: s.State, Phase: string(s.Leg.Phase), Tasks: s.Leg.Tasks.Len(), ResumePoint: s.Leg.ResumePoint()}
	for t := range s.Leg.Tasks.All() {
		r.Documents += t.Docs
		if t.Done {
			r.TasksDone++
		}
	}
	return r
}
