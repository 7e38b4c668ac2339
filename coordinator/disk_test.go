package coordinator

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// A tank is a store in memory that can be full.
type tank struct {
	*raft.InmemStore
	full atomic.Bool
}

func (s *tank) unlessFull(do func() error) error {
	if s.full.Load() {
		return syscall.ENOSPC
	}
	return do()
}

func (s *tank) StoreLog(l *raft.Log) error {
	return s.unlessFull(func() error { return s.InmemStore.StoreLog(l) })
}

func (s *tank) StoreLogs(l []*raft.Log) error {
	return s.unlessFull(func() error { return s.InmemStore.StoreLogs(l) })
}

func (s *tank) SetUint64(k []byte, v uint64) error {
	return s.unlessFull(func() error { return s.InmemStore.SetUint64(k, v) })
}

// After one write that failed none succeeds, whatever becomes of the disk: raft does
// not know what it has kept.
func TestNothingIsWrittenAfterAFailure(t *testing.T) {
	s := &tank{InmemStore: raft.NewInmemStore()}
	d := newDisk(s, s)
	require.NoError(t, d.StoreLogs([]*raft.Log{{Index: 1}}))
	require.NoError(t, d.why())
	s.full.Store(true)
	err := d.StoreLogs([]*raft.Log{{Index: 2}})
	require.ErrorIs(t, err, ErrDisk)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorIs(t, d.watch(t.Context()), syscall.ENOSPC)
	s.full.Store(false)
	require.ErrorIs(t, d.StoreLog(&raft.Log{Index: 2}), ErrDisk)
	require.ErrorIs(t, d.Set([]byte("LastVoteCand"), nil), ErrDisk, "it votes for nobody")
	require.ErrorIs(t, d.SetUint64([]byte("LastVoteTerm"), 7), ErrDisk)
	require.ErrorIs(t, d.DeleteRange(1, 1), ErrDisk)
	require.NoError(t, d.SetUint64([]byte(currentTerm), 7), "raft would panic")
	last, err := d.LastIndex()
	require.NoError(t, err)
	assert.Equal(t, uint64(1), last)
}

// The disk of the leader is full: it ends and says so, another one leads, and what was
// decided before is known.
func TestAnotherNodeLeadsWhenTheLeadersDiskIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var voters []raft.Server
		var transports []*raft.InmemTransport
		for i := range 3 {
			addr, transport := raft.NewInmemTransport(raft.ServerAddress(fmt.Sprintf("n%d", i+1)))
			for _, other := range transports {
				other.Connect(addr, transport)
				transport.Connect(other.LocalAddr(), other)
			}
			transports = append(transports, transport)
			voters = append(voters, raft.Server{ID: raft.ServerID(addr), Address: addr})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // what hangs fails
		defer cancel()
		var all []*Coordinator
		var tanks []*tank
		var ends []chan error
		for i, v := range voters {
			s := &tank{InmemStore: raft.NewInmemStore()}
			c, err := New(Config{ID: string(v.ID), Voters: voters, Transport: transports[i]})
			require.NoError(t, err)
			c.cfg.stored = func(st *stores) { st.logs, st.stable = s, s }
			ended := make(chan error, 1)
			go func() { ended <- c.Run(ctx) }()
			<-c.ready
			all, tanks, ends = append(all, c), append(tanks, s), append(ends, ended)
		}
		leader := func(not int) int {
			for range 300 {
				for i, c := range all {
					if i != not && c.raft.State() == raft.Leader {
						return i
					}
				}
				time.Sleep(100 * time.Millisecond)
			}
			require.Fail(t, "no node leads")
			return -1
		}
		time.Sleep(time.Second)
		first := leader(-1)
		require.NoError(t, all[first].Propose(ctx, samples[0]))
		tanks[first].full.Store(true)
		require.Error(t, all[first].Propose(ctx, state.Pause{At: moment}))
		err := <-ends[first]
		require.ErrorIs(t, err, ErrDisk)
		require.ErrorIs(t, err, syscall.ENOSPC)

		next := leader(first)
		require.NoError(t, all[next].CaughtUp(ctx))
		s, _ := all[next].Watch()
		assert.Equal(t, shardferry.StateRunning, s.State)
		require.NoError(t, all[next].Propose(ctx, state.Pause{At: moment}))
		cancel()
		for i, ended := range ends {
			if i != first {
				require.ErrorIs(t, <-ended, context.Canceled)
			}
		}
		for _, transport := range transports {
			require.NoError(t, transport.Close())
		}
	})
}
