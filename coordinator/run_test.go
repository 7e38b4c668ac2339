package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
)

var (
	errShaky  = errors.New("the network is shaky")
	errBroken = errors.New("broken for good")
)

// script is a reconciler made of a function.
type script struct {
	reconcile func(ctx context.Context, s *state.Sync) ([]state.Command, error)
}

func (script) Name() string { return "script" }

func (f script) Reconcile(ctx context.Context, s *state.Sync) ([]state.Command, error) {
	return f.reconcile(ctx, s)
}

// A calm bears errShaky so many times in a row, and no other error.
type calm struct{ tries, failed int }

func (c *calm) Progress() { c.failed = 0 }

func (c *calm) Again(err error) error {
	if c.failed++; errors.Is(err, errShaky) && c.failed <= c.tries {
		return nil
	}
	return err
}

// run starts a coordinator that ends with the test, or with the returned stop.
func run(t *testing.T, cfg coordinator.Config) (*coordinator.Coordinator, func()) {
	t.Helper()
	if cfg.ID == "" {
		cfg.ID = "n1"
	}
	if cfg.Patience == nil {
		cfg.Patience = func() coordinator.Patience { return &calm{tries: math.MaxInt} }
	}
	c, err := coordinator.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		assert.ErrorIs(t, <-ended, context.Canceled)
	}
	t.Cleanup(stop)
	return c, stop
}

func propose(t *testing.T, c *coordinator.Coordinator, cmds ...state.Command) {
	t.Helper()
	for _, cmd := range cmds {
		err := c.Propose(t.Context(), cmd)
		for range 100 { // until it leads
			if !errors.Is(err, shardferry.ErrNotLeader) {
				break
			}
			time.Sleep(100 * time.Millisecond)
			err = c.Propose(t.Context(), cmd)
		}
		require.NoError(t, err, "%T", cmd)
	}
}

var (
	begin   = state.Start{From: "op", Job: state.Job{Reversible: true, CommitBudget: 60_000}}
	planned = state.Planned{Plan: bson.Raw{5, 0, 0, 0, 0}, Start: shardferry.ClusterTime{T: 100}, Shards: []shardferry.ShardID{"s0"}, Reversible: true}
)

func TestARestartGoesOnFromTheDataDirectory(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c, stop := run(t, coordinator.Config{Dir: dir})
		propose(t, c, begin, planned, state.Created{})
		before, _ := c.Watch()
		stop()

		again, _ := run(t, coordinator.Config{Dir: dir})
		time.Sleep(5 * time.Second)
		require.NoError(t, again.CaughtUp(t.Context()))
		after, _ := again.Watch()
		assert.Equal(t, before, after)
		propose(t, again, state.Pause{From: "op"})
	})
}

func TestADataDirectoryHasOneUser(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c, _ := run(t, coordinator.Config{Dir: dir})
		propose(t, c, begin)
		second, err := coordinator.New(coordinator.Config{ID: "n2", Dir: dir})
		require.NoError(t, err)
		require.ErrorIs(t, second.Run(t.Context()), coordinator.ErrInUse)
	})
}

func TestConfigIsChecked(t *testing.T) {
	_, err := coordinator.New(coordinator.Config{})
	require.ErrorContains(t, err, "ID")
	_, err = coordinator.New(coordinator.Config{ID: "a", Voters: make([]raft.Server, 3)})
	require.ErrorContains(t, err, "Transport")
}

func TestProposeEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := coordinator.New(coordinator.Config{ID: "n1"})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, c.Propose(ctx, begin), context.DeadlineExceeded, "it never ran")
	})
}

func TestATransientErrorIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c, _ := run(t, coordinator.Config{Reconcilers: []coordinator.Reconciler{script{func(_ context.Context, s *state.Sync) ([]state.Command, error) {
			if s.State != shardferry.StateRunning || s.Leg.Phase != state.PhasePlanning {
				return nil, nil
			}
			if calls++; calls < 5 {
				return nil, fmt.Errorf("plan: %w", errShaky)
			}
			return []state.Command{planned}, nil
		}}}})
		propose(t, c, begin)
		time.Sleep(time.Minute)
		s, _ := c.Watch()
		assert.Equal(t, 5, calls)
		assert.Equal(t, shardferry.StateRunning, s.State)
		assert.Equal(t, state.PhaseCreating, s.Leg.Phase)
	})
}

// What fails is told while it fails, and pauses the sync when it has failed for
// too long. Resumed, it has the whole patience again.
func TestAStepThatKeepsFailingIsToldAndThenPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c, _ := run(t, coordinator.Config{
			Patience: func() coordinator.Patience { return &calm{tries: 6} },
			Reconcilers: []coordinator.Reconciler{script{func(_ context.Context, s *state.Sync) ([]state.Command, error) {
				if s.State != shardferry.StateRunning || s.Leg.Phase != state.PhasePlanning {
					return nil, nil
				}
				if calls++; calls < 12 {
					return nil, fmt.Errorf("plan: %w", errShaky)
				}
				return []state.Command{planned}, nil
			}}},
		})
		propose(t, c, begin)
		time.Sleep(time.Second)
		require.Len(t, c.Waits(), 1)
		assert.Equal(t, "script", c.Waits()[0].What)
		assert.Contains(t, c.Waits()[0].Why, errShaky.Error())
		time.Sleep(time.Minute)
		s, _ := c.Watch()
		require.Equal(t, shardferry.StatePaused, s.State)
		assert.Contains(t, s.Hold, errShaky.Error())
		assert.Empty(t, c.Waits())
		assert.Equal(t, 7, calls)
		propose(t, c, state.Resume{From: "op"})
		time.Sleep(time.Minute)
		s, _ = c.Watch()
		assert.Equal(t, state.PhaseCreating, s.Leg.Phase, "%s %s", s.State, s.Hold)
	})
}

func TestAPermanentErrorPausesWithItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := run(t, coordinator.Config{Reconcilers: []coordinator.Reconciler{script{func(_ context.Context, s *state.Sync) ([]state.Command, error) {
			if s.State == shardferry.StateRunning {
				return nil, errBroken
			}
			return nil, nil
		}}}})
		propose(t, c, begin)
		time.Sleep(time.Minute)
		s, _ := c.Watch()
		assert.Equal(t, shardferry.StatePaused, s.State)
		assert.Equal(t, "script: broken for good", s.Hold)
	})
}

// What was done is recorded even if a later part of the same step failed.
func TestPartsOfAFailedStepAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := run(t, coordinator.Config{Reconcilers: []coordinator.Reconciler{script{func(_ context.Context, s *state.Sync) ([]state.Command, error) {
			if s.State == shardferry.StateRunning && s.Leg.Phase == state.PhasePlanning {
				return []state.Command{planned}, errBroken
			}
			return nil, nil
		}}}})
		propose(t, c, begin)
		time.Sleep(time.Minute)
		s, _ := c.Watch()
		assert.Equal(t, state.PhaseCreating, s.Leg.Phase)
		assert.Equal(t, shardferry.StatePaused, s.State)
	})
}

// The state may move on while a reconciler works. What it records then is
// refused, and that is no reason to stop a sync.
func TestARefusedCommandDoesNotPauseTheSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *coordinator.Coordinator
		overtaken := false
		c, _ = run(t, coordinator.Config{Reconcilers: []coordinator.Reconciler{script{func(ctx context.Context, s *state.Sync) ([]state.Command, error) {
			if s.Leg.Phase != state.PhasePlanning {
				return nil, nil
			}
			if !overtaken {
				overtaken = true
				require.NoError(t, c.Propose(ctx, planned))
			}
			return []state.Command{planned}, nil
		}}}})
		propose(t, c, begin)
		time.Sleep(time.Minute)
		s, _ := c.Watch()
		assert.Equal(t, shardferry.StateRunning, s.State)
		assert.Empty(t, s.Hold)
		assert.Equal(t, state.PhaseCreating, s.Leg.Phase)
	})
}

// Only the leader reconciles; when it is lost, another goes on, and nothing
// that was accepted is forgotten.
func TestLeaderLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leads := make([]atomic.Int64, 3) // calls per node since the last reset
		cl := startCluster(t, 3, func(i int) coordinator.Reconciler {
			return script{func(context.Context, *state.Sync) ([]state.Command, error) { leads[i].Add(1); return nil, nil }}
		})
		leader := cl.propose(t, begin)
		time.Sleep(10 * time.Second)
		for i := range leads {
			n := leads[i].Load()
			assert.Equal(t, i == leader, n > 0, "node %d reconciled %d times", i, n)
		}
		cl.isolate(leader)
		time.Sleep(10 * time.Second)
		for i := range leads {
			leads[i].Store(0)
		}
		time.Sleep(10 * time.Second)
		assert.Zero(t, leads[leader].Load(), "a leader without followers reconciles")
		next := cl.propose(t, planned)
		assert.NotEqual(t, leader, next)
		assert.Positive(t, leads[next].Load())
		require.ErrorIs(t, cl.nodes[leader].CaughtUp(t.Context()), shardferry.ErrNotLeader)
		s, _ := cl.nodes[leader].Watch()
		assert.Equal(t, state.PhasePlanning, s.Leg.Phase, "it cannot know")

		cl.heal(leader)
		time.Sleep(10 * time.Second)
		for i, n := range cl.nodes {
			s, _ := n.Watch()
			assert.Equal(t, state.PhaseCreating, s.Leg.Phase, "node %d", i)
			ok, err := n.Leads(t.Context())
			require.NoError(t, err)
			assert.Equal(t, i == next, ok)
		}
	})
}

// Whoever does not know what became of a command sends it again with its key, to
// whichever node leads then. It is done once.
func TestAKeyOutlivesItsLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl := startCluster(t, 3, nil)
		cl.propose(t, begin)
		asked := state.Asked{At: time.Now(), Command: "pause", By: "alice", Key: "k1", Hash: []byte{1}, Pause: &state.Pause{At: time.Now()}}
		leader := cl.propose(t, asked)
		cl.propose(t, state.Resume{At: time.Now()}) // somebody else decides otherwise
		cl.isolate(leader)
		time.Sleep(10 * time.Second)
		asked.At = time.Now()
		next := cl.propose(t, asked)
		require.NotEqual(t, leader, next)
		s, _ := cl.nodes[next].Watch()
		assert.Equal(t, shardferry.StateRunning, s.State, "it paused again")
		other := asked
		other.Hash = []byte{2}
		require.ErrorIs(t, cl.nodes[next].Propose(t.Context(), other), state.ErrKeyReused)
	})
}

// A command that a lost leader took may or may not take effect, and says so.
func TestACommandToALostLeaderHasAnUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl := startCluster(t, 3, nil)
		leader := cl.propose(t, begin)
		cl.isolate(leader)
		err := cl.nodes[leader].Propose(t.Context(), planned)
		require.ErrorIs(t, err, shardferry.ErrOutcomeUnknown)
	})
}

type cluster struct {
	nodes []*coordinator.Coordinator
	trans []*raft.InmemTransport
}

func startCluster(t *testing.T, n int, reconciler func(i int) coordinator.Reconciler) *cluster {
	t.Helper()
	cl := &cluster{}
	var voters []raft.Server
	for i := range n {
		addr, tr := raft.NewInmemTransport(raft.ServerAddress(fmt.Sprintf("n%d", i)))
		voters = append(voters, raft.Server{ID: raft.ServerID(addr), Address: addr})
		for j, other := range cl.trans {
			tr.Connect(voters[j].Address, other)
			other.Connect(addr, tr)
		}
		cl.trans = append(cl.trans, tr)
	}
	for i := range n {
		cfg := coordinator.Config{ID: string(voters[i].ID), Voters: voters, Transport: cl.trans[i]}
		if reconciler != nil {
			cfg.Reconcilers = []coordinator.Reconciler{reconciler(i)}
		}
		c, _ := run(t, cfg)
		cl.nodes = append(cl.nodes, c)
	}
	return cl
}

// propose sends a command to each node in turn until the leader takes it.
func (cl *cluster) propose(t *testing.T, cmd state.Command) (leader int) {
	t.Helper()
	for range 100 {
		for i, n := range cl.nodes {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := n.Propose(ctx, cmd)
			cancel()
			if err == nil {
				return i
			}
			require.ErrorIs(t, err, shardferry.ErrNotLeader)
		}
		time.Sleep(100 * time.Millisecond)
	}
	require.FailNow(t, "no leader took the command")
	return -1
}

func (cl *cluster) isolate(i int) {
	for j, tr := range cl.trans {
		if j != i {
			tr.Disconnect(cl.trans[i].LocalAddr())
			cl.trans[i].Disconnect(tr.LocalAddr())
		}
	}
}

func (cl *cluster) heal(i int) {
	for j, tr := range cl.trans {
		if j != i {
			tr.Connect(cl.trans[i].LocalAddr(), cl.trans[i])
			cl.trans[i].Connect(tr.LocalAddr(), tr)
		}
	}
}

// Whoever has handed a command to raft hears of it, also when the node ends just
// then: either it has taken effect, or nobody knows, or it never will.
func TestEveryProposalIsAnsweredAtTheEnd(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			c, stop := run(t, coordinator.Config{})
			propose(t, c, begin, planned, state.Created{})
			var callers sync.WaitGroup
			var taken atomic.Int64
			enough := make(chan struct{})
			for range 50 {
				callers.Go(func() {
					for {
						err := c.Propose(t.Context(), state.Assign{Leg: 1, Shard: "s0"})
						if err != nil {
							assert.True(t, errors.Is(err, shardferry.ErrNotLeader) || errors.Is(err, shardferry.ErrOutcomeUnknown), "%v", err)
							return
						}
						if taken.Add(1) == 500 {
							close(enough)
						}
					}
				})
			}
			<-enough // in the middle of it
			stop()
			callers.Wait() // a bubble does not end while anybody waits for ever
		})
	}
}
