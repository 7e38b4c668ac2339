package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
)

// TestRandomKillsLoseNothing kills the program at random moments while
// applications write, and gives the same command again each time.
func TestRandomKillsLoseNothing(t *testing.T) {
	seed := uint64(envInt(t, "SHARDFERRY_TEST_SEED", 1))
	r := rand.New(rand.NewPCG(seed, 5))
	t.Logf("SHARDFERRY_TEST_SEED=%d", seed)
	m := newMove(t, envInt(t, "SHARDFERRY_TEST_DOCS", 10_000))
	kills := envInt(t, "SHARDFERRY_TEST_KILLS", 4)
	m.dst.slow(t, 40, "insert", "createIndexes", "collMod")
	_, stop := m.write(t, envInt(t, "SHARDFERRY_TEST_RATE", 300))

	h := hunter{move: m, r: r, met: map[[2]any]int{}}
	killed, over := h.hunt(t, kills, func(p *process) bool {
		// Until it is up again nothing happens that a kill could hurt, so mostly
		// wait that long first.
		return r.IntN(5) == 0 || p.event("resumed") != nil || p.event("started") != nil
	}, "--commit")
	m.dst.slow(t, 0, "insert")
	m.dst.slow(t, 60, "collMod")
	if !over {
		more, _ := h.hunt(t, kills, func(*process) bool {
			pr, ok := progress(t.Context(), m.addr)
			return ok && pr.State == shardferry.StateCommitting
		}, "--commit")
		killed += more
	}
	p := m.sync(t, "--commit")
	done := p.await("committed")
	require.Equal(t, 0, p.wait(), "seed %d: %s", seed, p.complaints())
	writes, _ := stop()
	assert.Equal(t, true, done["verified"])
	checked := m.equal(t)
	t.Logf("%d kills, found at %v; %d operations, %d documents, %v", killed, h.met, writes, checked.Documents, done)
}

// TestRandomKillsOnTheWayBackLoseNothing does the same after a commit, while
// applications write to the destination, and during the rollback.
func TestRandomKillsOnTheWayBackLoseNothing(t *testing.T) {
	seed := uint64(envInt(t, "SHARDFERRY_TEST_SEED", 1))
	r := rand.New(rand.NewPCG(seed, 6))
	t.Logf("SHARDFERRY_TEST_SEED=%d", seed)
	m := newMove(t, 1000)
	kills := envInt(t, "SHARDFERRY_TEST_KILLS", 4)
	p := m.sync(t, "--commit")
	p.await("committed")
	require.Equal(t, 0, p.wait())

	back := &move{src: m.dst, dst: m.src, dir: m.dir, addr: m.addr}
	_, stop := back.write(t, envInt(t, "SHARDFERRY_TEST_RATE", 300))
	h := hunter{move: m, r: r, met: map[[2]any]int{}}
	up := func(p *process) bool { return p.event("resumed") != nil }
	killed, _ := h.hunt(t, kills, up)
	p = m.sync(t)
	p.await("resumed")
	m.command(t, 0, "rollback")
	p.kill()
	for range kills {
		var home bool
		p := m.sync(t)
		m.reach(t, p, "an answer", func(pr api.Progress) bool {
			home = pr.Detail.Direction == "forward"
			return true
		})
		if home {
			p.kill()
			break
		}
		h.after(t, p)
		killed++
	}
	p = m.sync(t)
	m.reach(t, p, "the rollback", is(shardferry.StateCommitted, "forward"))
	writes, _ := stop()
	checked := m.equal(t)
	t.Logf("%d kills, found at %v; %d operations, %d documents", killed, h.met, writes, checked.Documents)
	p.terminate()
}

// A hunter kills runs of one sync.
type hunter struct {
	*move
	r   *rand.Rand
	met map[[2]any]int // where the runs found the sync
}

// hunt starts the sync again and again and kills it some time after the
// condition holds. It returns how often, and whether the last run came to its
// end before.
func (h *hunter) hunt(t *testing.T, times int, when func(*process) bool, args ...string) (killed int, over bool) {
	t.Helper()
	for killed < times {
		p := h.sync(t, args...)
		until(t, "the moment", func() bool { return p.ended() || when(p) })
		if h.after(t, p) {
			require.Equal(t, 0, p.code, p.complaints())
			return killed, true
		}
		killed++
	}
	return killed, false
}

// after kills a run within 400 ms, and returns true if it came to its end before.
func (h *hunter) after(t *testing.T, p *process) bool {
	t.Helper()
	at := time.NewTimer(time.Duration(h.r.IntN(400)) * time.Millisecond)
	defer at.Stop()
	select {
	case <-at.C:
	case <-p.done:
	}
	if e := p.event("resumed"); e != nil {
		h.met[[2]any{e["state"], e["phase"]}]++
	}
	if p.ended() {
		return true
	}
	p.kill()
	return false
}
