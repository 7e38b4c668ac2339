package coordinator_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
)

// Nodes join, and what was recorded before they came is there.
func TestNodesJoin(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := vacant(t, dir, 4)
		for _, m := range all {
			m.start()
		}
		require.NoError(t, all[0].c.Init(t.Context()))
		require.NoError(t, all[0].c.Propose(t.Context(), begin))
		require.NoError(t, all[1].c.Join(t.Context(), "n1:1", true))
		assert.Equal(t, state.PhasePlanning, phase(all[1]))
		require.NoError(t, all[2].c.Join(t.Context(), "n2:1", true), "by way of a follower")
		require.NoError(t, all[3].c.Join(t.Context(), "n3:1", false))
		require.NoError(t, all[3].c.Propose(t.Context(), planned))

		members, err := all[3].c.ClusterMembers(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"n1", "n2", "n3", "n4"}, hosts(members))
		for i, m := range members {
			assert.Equal(t, i < 3, m.Voter, "%+v", m)
			assert.Equal(t, i == 0, m.Leader, "%+v", m)
			assert.Equal(t, m.ID+":1", m.Addr)
		}
		require.NoError(t, all[2].c.Join(t.Context(), "n1:1", true), "it is a member: nothing to do")
	})
}

// A node gets a vote only when it knows all: before that it would hold the others
// up.
func TestAVoteComesLast(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := vacant(t, dir, 2)
		all[0].start()
		all[1].start()
		require.NoError(t, all[0].c.Init(t.Context()))
		require.NoError(t, all[0].c.Propose(t.Context(), begin))
		joined := make(chan error, 1)
		go func() { joined <- all[1].c.Join(t.Context(), "n1:1", true) }()
		for len(all[1].c.Members()) < 2 {
			time.Sleep(time.Millisecond)
		}
		all[1].deafen() // it is heard, and does not hear
		time.Sleep(10 * time.Second)
		require.NoError(t, all[0].c.Propose(t.Context(), planned), "it waits for nobody")
		all[1].heal()
		require.NoError(t, <-joined)
		assert.Equal(t, state.PhaseCreating, phase(all[1]))
	})
}

// A node that has forgotten what it had voted and taken must not pass for the one
// it was.
func TestAnEmptyDirectoryTakesNoPlace(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		l := leads(t, all)
		f := follower(all, l)
		f.kill()
		f.dir += "-again"
		f.start()
		err := f.c.Join(t.Context(), l.host+":1", true)
		require.ErrorIs(t, err, coordinator.ErrMembership)
		require.ErrorContains(t, err, "cluster leave --node-id "+f.host)

		require.NoError(t, l.c.Leave(t.Context(), f.host))
		require.NoError(t, f.c.Join(t.Context(), l.host+":1", true))
		require.NoError(t, f.c.Propose(t.Context(), begin))
	})
}

// Neither a name nor an address is given twice.
func TestNamesAndAddressesAreOnesOwn(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		f := follower(all, leads(t, all))
		f.kill()
		for _, other := range []*member{{host: f.host, id: "other"}, {host: "elsewhere", id: f.host}} {
			other.t, other.net, other.others, other.dir = t, f.net, f.others, dir+"/new-"+other.host
			other.start()
			err := other.c.Join(t.Context(), leads(t, all).host+":1", true)
			require.ErrorIs(t, err, coordinator.ErrMembership)
			require.ErrorContains(t, err, "cluster leave --node-id "+f.host)
			other.stop()
		}
	})
}

// What is no question of a node is answered, and does nothing.
func TestNonsenseDoesNotJoin(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 1)
		for _, body := range [][]byte{nil, {5, 0, 0, 0, 0}, []byte("nonsense")} {
			_, err := all[0].c.Answers()["join"](t.Context(), body)
			require.NoError(t, err)
		}
		members, err := all[0].c.ClusterMembers(t.Context())
		require.NoError(t, err)
		assert.Len(t, members, 1)
	})
}

// There is one truth: a node begins a cluster once, and only if it belongs to none.
func TestAClusterBeginsOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 2)
		for _, m := range all {
			require.ErrorIs(t, m.c.Init(t.Context()), coordinator.ErrMembership)
		}
		all[1].kill()
		all[1].start()
		require.ErrorIs(t, all[1].c.Init(t.Context()), coordinator.ErrMembership, "also after a restart")

		late := vacant(t, dir+"/late", 1)[0]
		late.start()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		joined := make(chan error, 1)
		go func() { joined <- late.c.Join(ctx, "nobody:1", true) }()
		time.Sleep(2 * time.Second)
		require.ErrorIs(t, late.c.Init(t.Context()), coordinator.ErrMembership, "it is about to join another one")
		require.ErrorIs(t, <-joined, context.DeadlineExceeded)
		require.NoError(t, late.c.Init(t.Context()))
	})
}

// A member that is removed is not asked any more, and the others go on.
func TestMembersLeave(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		l := leads(t, all)
		began := time.Now()
		require.NoError(t, l.c.Leave(t.Context(), l.host), "a leader hands over first")
		rest := follower(all, l)
		next := leads(t, all)
		assert.Less(t, time.Since(began), 500*time.Millisecond, "it is not missed first")
		assert.NotEqual(t, l, next)
		members, err := rest.c.ClusterMembers(t.Context())
		require.NoError(t, err)
		assert.NotContains(t, hosts(members), l.host)
		assert.Len(t, members, 2)
		require.ErrorIs(t, rest.c.Leave(t.Context(), "n9"), coordinator.ErrMembership)
		l.kill()
		require.NoError(t, rest.c.Propose(t.Context(), begin))
	})
}

// Leadership goes where the operator wants it.
func TestLeadershipIsHandedOver(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		for _, m := range []*member{all[2], all[1], all[1]} {
			require.NoError(t, all[0].c.TransferLeadership(t.Context(), m.host))
			assert.Equal(t, m, leads(t, all))
		}
		require.NoError(t, all[0].c.TransferLeadership(t.Context(), ""))
		assert.NotEqual(t, all[1], leads(t, all))
		require.ErrorIs(t, all[0].c.TransferLeadership(t.Context(), "n9"), coordinator.ErrMembership)
		require.NoError(t, all[2].c.Propose(t.Context(), begin))
	})
}

// Whoever was removed finds out, although nobody tells it.
func TestARemovedNodeEnds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, dir, 3)
		l := leads(t, all)
		f := follower(all, l)
		f.isolate() // it hears nothing of its removal
		require.NoError(t, l.c.Leave(t.Context(), f.host))
		time.Sleep(10 * time.Second)
		select {
		case err := <-f.ended:
			require.NoError(t, err, "nobody could have told it")
		default:
		}
		f.heal()
		require.ErrorIs(t, <-f.ended, coordinator.ErrRemoved)
		f.cancel = nil
	})
}

// A node that has worked alone becomes the first of a cluster, under its name.
func TestAloneAndThenNot(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		all := vacant(t, dir, 2)
		alone, stop := run(t, coordinator.Config{ID: "n1", Dir: all[0].dir})
		propose(t, alone, begin)
		stop()

		wrong := *all[1]
		wrong.dir = all[0].dir
		wrong.start()
		require.ErrorIs(t, <-wrong.ended, coordinator.ErrOtherNode)
		wrong.cancel = nil

		all[0].start()
		all[1].start()
		require.NoError(t, all[1].c.Join(t.Context(), "n1:1", true))
		assert.Equal(t, state.PhasePlanning, phase(all[1]))
		for _, m := range all[1].c.Members() {
			assert.Equal(t, m.ID+":1", m.Addr)
		}
		all[0].stop()

		again, err := coordinator.New(coordinator.Config{ID: "n1", Dir: all[0].dir})
		require.NoError(t, err)
		require.ErrorIs(t, again.Run(t.Context()), coordinator.ErrOtherNode, "it is not alone any more")
	})
}
