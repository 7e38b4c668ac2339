package coordinator_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/internal/linear"
)

// Whatever happens to three nodes, those who give commands, report and read are
// answered as if there were one: nothing accepted is lost, nothing is done twice, and
// who asks for what is current is not shown the past. SHARDFERRY_HISTORIES says how
// many histories, SHARDFERRY_HISTORY which one: it has the same faults and clients
// again, though not the same order of what happens at one moment.
func TestTheControlPlaneIsOneMachine(t *testing.T) {
	first, n := 0, number(t, "SHARDFERRY_HISTORIES", historiesPlayed)
	if _, ok := os.LookupEnv("SHARDFERRY_HISTORY"); ok {
		first, n = number(t, "SHARDFERRY_HISTORY", 0), 1
	}
	var sum tally
	t.Cleanup(func() { t.Log(sum.String()) })
	workers := min(runtime.GOMAXPROCS(0), n)
	for w := range workers {
		t.Run(fmt.Sprint("worker ", w), func(t *testing.T) {
			t.Parallel()
			for seed := first + w; seed < first+n && !t.Failed(); seed += workers {
				dir := t.TempDir()
				p := &piece{seed: uint64(seed), says: &linear.History{}}
				synctest.Test(t, func(t *testing.T) { p.play(t, dir) })
				require.NoError(t, os.RemoveAll(dir))
				sum.add(p.says)
				p.judge(t)
			}
		})
	}
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	s, ok := os.LookupEnv(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	require.NoError(t, err, name)
	return n
}

// A tally counts what histories were made of: a test of faults that never meet a
// command shows nothing.
type tally struct {
	histories, operations, unknown, withdrawn atomic.Int64
}

func (s *tally) String() string {
	return fmt.Sprintf("%d histories of %d operations, %d of unknown outcome, %d that were not taken",
		s.histories.Load(), s.operations.Load(), s.unknown.Load(), s.withdrawn.Load())
}

func (s *tally) add(h *linear.History) {
	s.histories.Add(1)
	s.operations.Add(int64(h.Count(0)))
	s.unknown.Add(int64(h.Count(linear.Unknown)))
	s.withdrawn.Add(int64(h.Count(linear.Withdrawn)))
}

// A piece is one history as it is played.
type piece struct {
	t     *testing.T
	seed  uint64
	seats []*seat
	says  *linear.History
	ids   atomic.Int64 // of attempts
	keys  atomic.Int64
	ticks atomic.Int64 // of the source
	did   []string     // faults
}

const onDisk = 40 // one of so many histories has its logs in files

// play plays the history in a bubble.
func (p *piece) play(t *testing.T, dir string) {
	p.t = t
	rnd := rand.New(rand.NewPCG(p.seed, 0))
	p.open(dir, p.seed%onDisk == onDisk-1)
	p.prelude(rnd.IntN(len(prelude) + 1))
	var playing sync.WaitGroup
	for i := range 3 {
		c := &client{piece: p, number: i + 1, rnd: rand.New(rand.NewPCG(p.seed, uint64(i+1)))}
		playing.Go(func() { c.run(3 + c.rnd.IntN(8)) })
	}
	n := &nemesis{piece: p, rnd: rand.New(rand.NewPCG(p.seed, 100))}
	playing.Go(n.run)
	playing.Wait()
	p.finish()
}

// judge looks for an order that explains the history. It takes real time.
func (p *piece) judge(t *testing.T) {
	v := p.says.Check(time.Minute)
	if v.Right() && !t.Failed() {
		return
	}
	page := filepath.Join(t.ArtifactDir(), fmt.Sprintf("history-%d.html", p.seed))
	require.NoError(t, v.Draw(page))
	t.Errorf("seed %d: %v (%s shows it, with go test -artifacts)\nfaults: %v\n%s\nthe longest order that explains some of it:\n%s", p.seed, v.Result, page, p.did, p.says, v.Explained())
}

// open starts three nodes.
func (p *piece) open(dir string, files bool) {
	all := vacant(p.t, "", 3)
	for i, m := range all {
		m.dir = filepath.Join(dir, m.host)
		if !files {
			m.memory, m.dir = coordinator.NewMemory(), ""
		}
		p.seats = append(p.seats, &seat{member: m, number: i})
		m.start()
		if i == 0 {
			require.NoError(p.t, m.c.Init(p.t.Context()))
		} else {
			require.NoError(p.t, m.c.Join(p.t.Context(), "n1:1", true))
		}
		p.seats[i].sit()
	}
}

// finish waits until all nodes know all, which must then be the same.
func (p *piece) finish() {
	var views [][]byte
	for range 2 { // what was still under way in the first round is known in the second
		views = nil
		for _, s := range p.seats {
			c := &client{piece: p, number: 0}
			require.Eventually(p.t, func() bool { return c.read(s) }, time.Minute, 100*time.Millisecond,
				"seed %d: %s does not recover\n%s", p.seed, s.host, p.says)
			now, _ := s.c.Watch()
			b, err := bson.Marshal(now)
			require.NoError(p.t, err)
			views = append(views, b)
		}
	}
	for i := range views {
		assert.Equal(p.t, bson.Raw(views[0]).String(), bson.Raw(views[i]).String(), "seed %d: copies differ", p.seed)
	}
}
