package rehearse

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/mongotest"
)

func TestPercentilesOfKnownLags(t *testing.T) {
	upTo := func(n int) []time.Duration {
		lags := make([]time.Duration, n)
		for i, at := range rand.New(rand.NewPCG(1, 1)).Perm(n) { // they come in no order
			lags[at] = time.Duration(i+1) * time.Millisecond
		}
		return lags
	}
	for name, c := range map[string]struct {
		lags     []time.Duration
		p50, p99 int // milliseconds
	}{
		"one":           {upTo(1), 1, 1},
		"two":           {upTo(2), 1, 2},
		"an odd number": {upTo(5), 3, 5},
		"ninety-nine":   {upTo(99), 50, 99},
		"a hundred":     {upTo(100), 50, 99},
		"one more":      {upTo(101), 51, 100},
		"a thousand":    {upTo(1000), 500, 990},
	} {
		t.Run(name, func(t *testing.T) {
			var h Heartbeat
			for _, lag := range c.lags {
				h.add(lag)
			}
			for percent, want := range map[int]int{50: c.p50, 99: c.p99} {
				got, ok := h.Percentile(percent)
				assert.True(t, ok)
				assert.Equal(t, time.Duration(want)*time.Millisecond, got, "p%d", percent)
			}
		})
	}
	_, ok := new(Heartbeat).Percentile(50)
	assert.False(t, ok, "of no beats nothing is known")
}

// The lag is the time from before the write on the source until the destination
// shows it, as an application would see it.
func TestABeatMeasuresUntilItArrives(t *testing.T) {
	const late = 200 * time.Millisecond
	bubble(t, 0, 0, func(t *testing.T, s *Stage, from, to *mongo.Client) {
		// Both are the source, and its answers to reads are late.
		s.Source.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) mongotest.Fault {
			if c.Name == "find" {
				return mongotest.Fault{Delay: late}
			}
			return mongotest.Fault{}
		}})
		end := errors.New("the test ends")
		ctx, cancel := context.WithCancelCause(t.Context())
		h, ended := Heartbeat{Every: time.Second}, make(chan error, 1)
		go func() { ended <- h.Run(ctx, from, from) }()
		time.Sleep(10*time.Second + late*2)
		cancel(end)
		require.ErrorIs(t, <-ended, end)
		assert.Len(t, h.lags, 10)
		for _, lag := range h.lags {
			assert.InDelta(t, late, lag, float64(time.Millisecond), "the first one connects as well")
		}
	})
}
