package coordinator_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/peer"
	"github.com/shardferry/shardferry/internal/peer/virtual"
)

// A member is one node of a cluster in a bubble: a real port on a virtual network,
// and real files.
type member struct {
	t      *testing.T
	net    *virtual.Network
	host   string
	id     string // default the host
	dir    string
	memory *coordinator.Memory // in place of files
	others *[]*member

	c      *coordinator.Coordinator
	cancel context.CancelCauseFunc
	ended  chan error
}

var errToldToStop = errors.New("told to stop")

// start lets the node run. It ends with the test, or with stop or kill.
func (m *member) start(reconcilers ...coordinator.Reconciler) {
	m.t.Helper()
	port, err := peer.New(peer.Config{Listen: m.host + ":1", Network: m.net.Host(m.host), Insecure: true})
	require.NoError(m.t, err)
	cfg := coordinator.Config{
		ID: cmp.Or(m.id, m.host), Dir: m.dir, Peers: port, Reconcilers: reconcilers,
		Patience: func() coordinator.Patience { return &calm{tries: math.MaxInt} },
	}
	if m.memory != nil {
		m.memory.Keep(&cfg)
	}
	m.c, err = coordinator.New(cfg)
	require.NoError(m.t, err)
	for name, answer := range m.c.Answers() {
		port.Answers(name, answer)
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(m.t.Context()))
	m.cancel = cancel
	ported, ended := make(chan error, 1), make(chan error, 1)
	go func() { ported <- port.Run(ctx) }()
	go func(c *coordinator.Coordinator) {
		err := c.Run(ctx)
		cancel(err)
		assert.ErrorIs(m.t, <-ported, context.Cause(ctx))
		ended <- err
	}(m.c)
	m.ended = ended
	m.t.Cleanup(m.stop)
}

func (m *member) stop() {
	if m.cancel == nil {
		return
	}
	m.cancel(errToldToStop)
	var err error
	select {
	case err = <-m.ended:
	case <-time.After(time.Minute):
		err = errors.New(m.host + " was told to stop, and does not end")
	}
	if !errors.Is(err, errToldToStop) {
		assert.ErrorIs(m.t, err, coordinator.ErrRemoved)
	}
	m.cancel = nil
}

// isolate cuts all ways from and to the node.
func (m *member) isolate() { m.silence(); m.deafen() }

func (m *member) silence() {
	for _, o := range *m.others {
		m.net.Cut(m.host, o.host)
	}
}

func (m *member) deafen() {
	for _, o := range *m.others {
		m.net.Cut(o.host, m.host)
	}
}

func (m *member) heal() {
	for _, o := range *m.others {
		m.net.Heal(m.host, o.host)
		m.net.Heal(o.host, m.host)
	}
}

// kill ends the node without a farewell.
func (m *member) kill() {
	m.isolate()
	m.net.Kill(m.host)
	m.stop()
	m.heal()
}

// vacant returns so many nodes that are not started, without files if dir is empty.
func vacant(t *testing.T, dir string, n int) []*member {
	t.Helper()
	all := make([]*member, n)
	net := virtual.New(time.Millisecond)
	for i := range all {
		host := fmt.Sprintf("n%d", i+1)
		all[i] = &member{t: t, net: net, host: host, others: &all}
		if dir != "" {
			all[i].dir = filepath.Join(dir, host)
		}
	}
	return all
}

// settled returns a cluster of so many voters.
func settled(t *testing.T, dir string, n int) []*member {
	t.Helper()
	all := vacant(t, dir, n)
	all[0].start()
	require.NoError(t, all[0].c.Init(t.Context()))
	for _, m := range all[1:] {
		m.start()
		require.NoError(t, m.c.Join(t.Context(), "n1:1", true))
	}
	return all
}

// leads returns who leads by the word of a majority, and waits for that.
func leads(t *testing.T, all []*member) *member {
	t.Helper()
	for range 2000 {
		votes := map[string]int{}
		for _, m := range all {
			if m.cancel == nil {
				continue
			}
			for _, o := range m.c.Members() {
				if o.Leader {
					votes[o.ID]++
				}
			}
		}
		for _, m := range all {
			if m.cancel != nil && votes[m.host] > len(all)/2 {
				return m
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	require.FailNow(t, "nobody leads after 20 seconds")
	return nil
}

// follower returns a node that runs and is none of these.
func follower(all []*member, but ...*member) *member {
next:
	for _, m := range all {
		for _, b := range but {
			if m == b {
				continue next
			}
		}
		if m.cancel != nil {
			return m
		}
	}
	return nil
}

func hosts(members []coordinator.Member) (ids []string) {
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	return ids
}

func phase(m *member) state.Phase {
	s, _ := m.c.Watch()
	return s.Leg.Phase
}
