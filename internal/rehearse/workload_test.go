package rehearse

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
)

var (
	errBlocked = mongo.CommandError{Code: mongoconn.CodeUserWritesBlocked}
	errLost    = mongo.CommandError{Labels: []string{"NetworkError"}, Wrapped: io.EOF}
	errTheEnd  = errors.New("the test ends")
)

func operator(t *testing.T, c *mongotest.Cluster) *mongo.Client {
	t.Helper()
	client, err := mongoconn.Connect(Operator(c))
	require.NoError(t, err)
	t.Cleanup(func() { disconnect(context.WithoutCancel(t.Context()), client) })
	return client
}

// What a cluster did not acknowledge counts for nothing; an outage lasts from
// the first refusal until a write has certainly landed.
func TestTheLedgerOfAWorkload(t *testing.T) {
	type outcome struct {
		wrote bool
		err   error
	}
	took, found, blocked, lost := outcome{wrote: true}, outcome{}, outcome{err: errBlocked}, outcome{err: errLost}
	for name, c := range map[string]struct {
		steps  []outcome // ten milliseconds each
		writes int64
		outage time.Duration
		moved  bool
	}{
		"all is well":                   {[]outcome{took, took, found, took}, 4, 0, false},
		"a lost answer":                 {[]outcome{took, lost, took}, 2, 0, false},
		"a refusal turns it round":      {[]outcome{took, blocked, took}, 2, 10 * time.Millisecond, true},
		"refused by both":               {[]outcome{took, blocked, blocked, blocked, took}, 2, 30 * time.Millisecond, true},
		"a delete of nothing says none": {[]outcome{blocked, found, found, took}, 3, 30 * time.Millisecond, true},
		"it lasts still":                {[]outcome{took, blocked, found}, 2, 0, true},
		"only the last one":             {[]outcome{blocked, blocked, took, blocked, took}, 2, 10 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				home, other := new(mongo.Client), new(mongo.Client)
				var w Workload
				w.SetClusters(home, other)
				steps := c.steps
				err := w.every(t.Context(), 10*time.Millisecond, func(context.Context, *mongo.Client) (bool, error) {
					if len(steps) == 0 {
						return false, errTheEnd
					}
					next := steps[0]
					steps = steps[1:]
					return next.wrote, next.err
				})
				require.ErrorIs(t, err, errTheEnd, "an error of no application's everyday life")
				assert.Equal(t, c.writes, w.Writes())
				assert.Equal(t, c.outage, w.LastOutage())
				assert.Equal(t, name == "it lasts still", w.Refused())
				assert.Equal(t, c.moved, w.current() == other)
			})
		})
	}
}

// A refusal by the cluster that the applications have left is no outage: their
// writes are taken by the other one.
func TestALateRefusalIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, other := new(mongo.Client), new(mongo.Client)
		var w Workload
		w.SetClusters(home, other)
		w.refused(home)
		time.Sleep(3 * time.Second)
		w.acknowledged(true)
		w.refused(home) // sent before the other writers turned
		time.Sleep(40 * time.Millisecond)
		w.acknowledged(true)
		assert.Equal(t, 3*time.Second, w.LastOutage())
		assert.Same(t, other, w.current())
	})
}

// Both ends of a workload agree on what happened, and when the clusters change
// their parts the applications go along.
func TestAWorkloadFollowsTheClusters(t *testing.T) {
	bubble(t, 0, 2, func(t *testing.T, s *Stage, from, to *mongo.Client) {
		var taken atomic.Int64
		count := mongotest.Faults{Command: func(c mongotest.Command) mongotest.Fault {
			switch {
			case c.DB == "admin" && c.Name == "commitTransaction":
				taken.Add(1)
			case c.Name == "insert" || c.Name == "delete" || c.Name == "update":
				if _, err := c.Body.LookupErr("autocommit"); err != nil {
					taken.Add(1)
				}
			}
			return mongotest.Fault{}
		}}
		s.Source.SetFaults(count)
		dba := [2]*mongo.Client{operator(t, s.Source), operator(t, s.Destination)}
		w := &Workload{Rate: 100, Seed: 1}
		w.SetClusters(from, to)
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		require.NoError(t, mongoconn.SetWriteBlock(t.Context(), dba[1], true))
		go func() { ended <- w.Run(ctx) }()

		time.Sleep(10*time.Second + time.Millisecond)
		assert.InDelta(t, 1000, w.Writes(), 8)
		assert.Equal(t, taken.Load(), w.Writes())
		assert.Zero(t, w.LastOutage())

		require.NoError(t, mongoconn.SetWriteBlock(t.Context(), dba[0], true))
		s.Source.SetFaults(mongotest.Faults{})
		time.Sleep(3 * time.Second)
		require.NoError(t, mongoconn.SetWriteBlock(t.Context(), dba[1], false))
		time.Sleep(2 * time.Second)
		assert.InDelta(t, 3*time.Second, w.LastOutage(), float64(100*time.Millisecond))
		for c, want := range map[*mongo.Client]bool{from: false, to: true} {
			assert.Equal(t, want, w.current() == c)
		}
		before := w.Writes()
		time.Sleep(time.Second)
		assert.InDelta(t, before+100, w.Writes(), 8)
		n, err := to.Database(shop).Collection("orders").EstimatedDocumentCount(t.Context())
		require.NoError(t, err)
		assert.Positive(t, n)

		cancel(errTheEnd)
		require.ErrorIs(t, <-ended, errTheEnd)
	})
}

// A benchmark's report divides by what it measured, and says nothing of what it
// did not.
func TestRatesAndCostsOfABenchmark(t *testing.T) {
	cpu := 3.0
	w := BenchWork{Documents: 500, Bytes: 2e9, Seconds: 4, BenchCost: BenchCost{CPU: &cpu}}
	w.conclude()
	assert.InEpsilon(t, 125, w.Rate, 1e-9)
	assert.InEpsilon(t, 500, w.MBRate, 1e-9)
	assert.InEpsilon(t, 1.5, *w.CPUPerGB, 1e-9)
	e := BenchEvents{Events: 2_000_000, Seconds: 8, BenchCost: BenchCost{CPU: &cpu}}
	e.conclude()
	assert.InEpsilon(t, 250_000, e.Rate, 1e-9)
	assert.InEpsilon(t, 1.5, *e.CPUPerMillion, 1e-9)
	unknown, idle := BenchWork{Bytes: 1, Seconds: 1}, BenchEvents{BenchCost: BenchCost{CPU: &cpu}}
	unknown.conclude()
	idle.conclude()
	assert.Nil(t, unknown.CPUPerGB)
	assert.Nil(t, idle.CPUPerMillion)
	assert.Zero(t, idle.Rate)
}
