package mongod_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// writers runs many clients that insert until stop is closed, and returns how
// many inserts were acknowledged.
func (f *fixture) writers(seed uint64, stop <-chan struct{}) (wait func() int) {
	var wg sync.WaitGroup
	counts := make([]int, 4)
	for w := range counts {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(w)))
			session := lsid()
			for i := int64(1); ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rnd.IntN(1000)) * time.Microsecond):
				}
				insert := []any{
					"insert", "c", "documents",
					[]bson.Raw{value.D("_id", value.D("w", w, "i", i))},
					"lsid", session, "txnNumber", i,
				}
				r, err := f.try(f.t.Context(), "db", insert...)
				for err != nil { // as a driver does after a retryable error
					time.Sleep(50 * time.Millisecond)
					r, err = f.try(f.t.Context(), "db", insert...)
				}
				counts[w] += int(num(r.Body, "n"))
			}
		})
	}
	return func() int {
		wg.Wait()
		total := 0
		for _, n := range counts {
			total += n
		}
		return total
	}
}

func TestNoUserWriteIsLoggedAfterTheBlockStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const seed = 7
		f := newFixture(t)
		stop := make(chan struct{})
		wait := f.writers(seed, stop)
		for range 20 {
			time.Sleep(5 * time.Millisecond)
			f.run("admin", "setUserWriteBlockMode", 1, "global", true)
			last := f.Log().Last()
			time.Sleep(5 * time.Millisecond)
			assert.Equal(t, last, f.Log().Last(), "seed %d", seed)
			f.run("admin", "setUserWriteBlockMode", 1, "global", false)
		}
		close(stop)
		assert.EqualValues(t, wait(), num(f.run("db", "count", "c"), "n"))
	})
}

func TestRetriedWritesHappenOnceAcrossStepdowns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const seed = 11
		f := newFixture(t)
		f.run("db", "create", "c")
		stop := make(chan struct{})
		wait := f.writers(seed, stop)
		for range 10 {
			time.Sleep(20 * time.Millisecond)
			require.NoError(t, f.StepDown(t.Context(), 100*time.Millisecond))
		}
		close(stop)
		acknowledged := wait()
		assert.NotZero(t, acknowledged)
		entries, err := f.Log().Read(f.Log().First(), true, f.Log().Len())
		require.NoError(t, err)
		inserts := 0
		for _, e := range entries {
			if e.Op == oplog.Insert {
				inserts++
			}
		}
		assert.Equal(t, acknowledged, inserts, "seed %d", seed)
	})
}
