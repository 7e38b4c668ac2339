package node_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/node"
	"github.com/shardferry/shardferry/internal/peer"
	"github.com/shardferry/shardferry/internal/peer/virtual"
)

// An ensemble is several nodes on one stage.
type ensemble struct {
	*stage
	net   *virtual.Network
	nodes []*player
}

type player struct {
	*node.Node
	host   string
	cancel context.CancelCauseFunc
	ended  chan error
}

// without returns an ensemble without nodes.
func without(s *stage) *ensemble {
	return &ensemble{stage: s, net: virtual.New(time.Millisecond)}
}

// several starts so many nodes that belong together.
func several(s *stage, n int) *ensemble {
	s.t.Helper()
	e := without(s)
	for i := range n {
		join := ""
		if i > 0 {
			join = "n1:1"
		}
		e.enter(join, nil)
		if i == 0 {
			require.NoError(s.t, e.nodes[0].InitCluster(s.t.Context()))
		}
	}
	for _, p := range e.nodes {
		e.ready(p)
	}
	return e
}

func (e *ensemble) enter(join string, set func(*node.Config)) *player {
	e.t.Helper()
	host := fmt.Sprintf("n%d", len(e.nodes)+1)
	cfg := e.config()
	cfg.ID = host
	cfg.Peers = &node.PeersConfig{Join: join, Port: peer.Config{Listen: host + ":1", Network: e.net.Host(host), Insecure: true}}
	if set != nil {
		set(&cfg)
	}
	made, err := node.New(cfg)
	require.NoError(e.t, err)
	p := &player{Node: made, host: host, ended: make(chan error, 1)}
	var ctx context.Context
	ctx, p.cancel = context.WithCancelCause(context.WithoutCancel(e.t.Context()))
	go func() { p.ended <- made.Run(ctx) }()
	e.nodes = append(e.nodes, p)
	return p
}

func (e *ensemble) ready(p *player) {
	e.t.Helper()
	select {
	case <-p.Ready():
	case err := <-p.ended:
		require.NoError(e.t, err)
	}
}

// down ends the nodes that are left.
func (e *ensemble) down() {
	for _, p := range e.nodes {
		if p.cancel != nil {
			p.cancel(errToldToStop)
		}
	}
	for _, p := range e.nodes {
		if p.cancel != nil {
			assert.ErrorIs(e.t, <-p.ended, errToldToStop)
		}
	}
}

// kill ends a node; to the others it is as if its machine were gone.
func (e *ensemble) kill(p *player) {
	for _, o := range e.nodes {
		e.net.Cut(p.host, o.host)
		e.net.Cut(o.host, p.host)
	}
	p.cancel(errToldToStop)
	assert.ErrorIs(e.t, <-p.ended, errToldToStop)
	p.cancel = nil
}

// leader returns the node that leads, and another one that runs.
func (e *ensemble) leader() (leads, other *player) {
	e.t.Helper()
	for range 100 {
		for _, p := range e.nodes {
			if p.cancel == nil {
				continue
			}
			got, err := p.Progress(e.t.Context())
			require.NoError(e.t, err)
			if leads = nil; got.CoordinatorID == p.host {
				leads = p
			}
			for _, o := range e.nodes {
				if o != leads && o.cancel != nil {
					other = o
				}
			}
			if leads != nil {
				return leads, other
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	require.FailNow(e.t, "nobody leads")
	return nil, nil
}

func (p *player) until(t *testing.T, what string, holds func(*state.Sync) bool) {
	t.Helper()
	for range 1200 {
		if s, _ := p.State(); holds(s) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	s, _ := p.State()
	require.FailNow(t, what, "%s %s %s, shards %+v", s.State, s.Leg.Phase, s.Hold, s.Leg.Shards)
}

// A sync is begun on one node, loses its leader and the nodes that work on it, and
// is committed on another one.
func TestASyncOutlivesItsLeader(t *testing.T) {
	play(t, setting{srcShards: 2, dstShards: 2}, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, upTo(200)...))
		e := several(s, 3)
		defer e.down()
		first, other := e.leader()
		require.NoError(t, other.Start(t.Context(), api.StartRequest{Source: "cluster0", Destination: "cluster1"}, "test"))
		other.until(t, "stream", func(s *state.Sync) bool { return s.Leg.Phase == state.PhaseStreaming })

		e.kill(first)
		require.NoError(t, s.insert(s.app, 1000, 1001, 1002))
		next, last := e.leader()
		require.NotEqual(t, first, next)
		var err error
		for range 60 {
			if err = last.Commit(t.Context(), "test"); err == nil {
				break
			}
			time.Sleep(time.Second)
		}
		require.NoError(t, err)
		last.until(t, "commit", func(s *state.Sync) bool { return s.State == shardferry.StateCommitted })
		assert.Len(t, docs(t, s.guest), 203)
		assert.ElementsMatch(t, docs(t, s.from), docs(t, s.to))
	})
}

// Every node tells the same, and who does what.
func TestProgressIsTheSameEverywhere(t *testing.T) {
	play(t, setting{srcShards: 2, dstShards: 1}, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, 1, 2, 3))
		e := several(s, 3)
		defer e.down()
		first, other := e.leader()
		require.NoError(t, other.Start(t.Context(), api.StartRequest{Source: "cluster0", Destination: "cluster1"}, "test"))
		other.until(t, "stream", func(s *state.Sync) bool { return s.Leg.Phase == state.PhaseStreaming })
		time.Sleep(5 * time.Second)
		for _, p := range e.nodes {
			got, err := p.Progress(t.Context())
			require.NoError(t, err)
			assert.Equal(t, p.host, got.MongosyncID)
			assert.Equal(t, first.host, got.CoordinatorID)
			assert.True(t, got.CanCommit, got.Detail.Waiting)
			require.NotNil(t, got.Lag)
			require.Len(t, got.Detail.Nodes, 3)
			for _, n := range got.Detail.Nodes {
				assert.Equal(t, n.ID == first.host, n.Leader)
				require.NotNil(t, n.Alive)
				assert.True(t, *n.Alive)
			}
			for _, sh := range got.Detail.Shards {
				assert.NotEmpty(t, sh.Node)
			}
		}
		e.kill(other)
		time.Sleep(3 * time.Second)
		_, rest := e.leader()
		got, err := rest.Progress(t.Context())
		require.NoError(t, err)
		for _, n := range got.Detail.Nodes {
			assert.Equal(t, n.ID != other.host, *n.Alive, "%+v", n)
		}
	})
}

// What a node shows by itself may lack what the leader has recorded last, and done
// work would seem to be undone: it does not pass for the leader's.
func TestProgressWithoutTheLeaderNamesNone(t *testing.T) {
	play(t, setting{srcShards: 1, dstShards: 1}, func(t *testing.T, s *stage) {
		e := several(s, 3)
		defer e.down()
		first, other := e.leader()
		got, err := other.Progress(t.Context())
		require.NoError(t, err)
		require.Equal(t, first.host, got.CoordinatorID)
		e.kill(first)
		got, err = other.Progress(t.Context()) // which has not missed the leader yet
		require.NoError(t, err)
		assert.Empty(t, got.CoordinatorID)
		next, other := e.leader()
		got, err = other.Progress(t.Context())
		require.NoError(t, err)
		assert.Equal(t, next.host, got.CoordinatorID)
	})
}

// The lag is known on every node, so that every node can judge a commit.
func TestTheSourcesTimeIsKnownEverywhere(t *testing.T) {
	play(t, setting{srcShards: 1, dstShards: 1}, func(t *testing.T, s *stage) {
		e := several(s, 3)
		defer e.down()
		_, other := e.leader()
		require.NoError(t, other.Start(t.Context(), api.StartRequest{Source: "cluster0", Destination: "cluster1"}, "test"))
		other.until(t, "stream", func(s *state.Sync) bool { return s.Leg.Phase == state.PhaseStreaming })
		time.Sleep(5 * time.Second)
		require.NoError(t, other.Commit(t.Context(), "test"))
	})
}

// A node whose own clusters are others writes nothing, and ends.
func TestANodeOfOtherClustersEnds(t *testing.T) {
	play(t, setting{srcShards: 1, dstShards: 1}, func(t *testing.T, s *stage) {
		elsewhere := s.cluster("elsewhere", 1)
		e := several(s, 3)
		defer e.down()
		odd := e.enter("n1:1", func(c *node.Config) {
			c.Destination = mongoconn.Config{URI: uri(elsewhere, "operator"), Dialer: elsewhere.Dialer()}
		})
		e.ready(odd)
		first, _ := e.leader()
		require.NoError(t, first.Start(t.Context(), api.StartRequest{Source: "cluster0", Destination: "cluster1"}, "test"))
		require.ErrorIs(t, <-odd.ended, node.ErrOtherJob)
		odd.cancel = nil
	})
}

// A command to a node that finds no other one is answered, and says that nothing was
// done.
func TestANodeWithoutALeaderAnswers(t *testing.T) {
	play(t, setting{}, func(t *testing.T, s *stage) {
		e := &ensemble{stage: s, net: virtual.New(time.Millisecond)}
		lost := e.enter("n9:1", nil)
		defer e.down()
		for name, ask := range map[string]func() error{
			"commit":   func() error { return lost.Commit(t.Context(), "test") },
			"progress": func() error { _, err := lost.Progress(t.Context()); return err },
		} {
			began := time.Now()
			require.ErrorIs(t, ask(), shardferry.ErrNotLeader, name)
			assert.Equal(t, 10*time.Second, time.Since(began), name)
		}
	})
}
