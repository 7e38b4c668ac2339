package coordinator_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
)

// A slowLog takes 10 ms for a command, and applies it to a state.
type slowLog struct {
	mu     sync.Mutex
	sync   *state.Sync
	took   []int // reports of each command
	broken error
}

func (l *slowLog) propose(ctx context.Context, cmd state.Command) error {
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := cmd.(state.Report)
	if !ok {
		return errors.New("not a report")
	}
	l.took = append(l.took, len(r.Reports))
	if l.broken != nil {
		return l.broken
	}
	return cmd.Apply(l.sync)
}

func newSlowLog(shards int) *slowLog {
	l := &slowLog{sync: &state.Sync{State: shardferry.StateRunning, Leg: state.Leg{Number: 1, Phase: state.PhaseStreaming}}}
	for i := range shards {
		l.sync.Leg.Shards = append(l.sync.Leg.Shards, state.Shard{ID: shardOf(i), Epoch: 1})
	}
	return l
}

func shardOf(i int) shardferry.ShardID {
	return shardferry.ShardID([]byte{'s', byte('0' + i/100), byte('0' + i/10%10), byte('0' + i%10)})
}

// sending returns Reports that run until the bubble ends.
func sending(t *testing.T, l *slowLog) *coordinator.Reports {
	t.Helper()
	reports := coordinator.NewReports(l.propose)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- reports.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.ErrorIs(t, <-ended, context.Canceled)
	})
	return reports
}

// reportAll has every shard report at once, and returns the answers.
func reportAll(t *testing.T, l *slowLog, epochs func(i int) uint64) []error {
	t.Helper()
	reports := sending(t, l)
	answers := make([]error, len(l.sync.Leg.Shards))
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			answers[i] = reports.Report(t.Context(), 1, shardferry.Report{Shard: shardOf(i), Epoch: epochs(i), Events: int64(i + 1)})
		})
	}
	all.Wait()
	return answers
}

func TestReportsOfOneNodeShareCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSlowLog(600)
		for _, err := range reportAll(t, l, func(int) uint64 { return 1 }) {
			require.NoError(t, err)
		}
		assert.LessOrEqual(t, len(l.took), 5, "%v", l.took)
		assert.LessOrEqual(t, slices.Max(l.took), 256)
		for i, sh := range l.sync.Leg.Shards {
			assert.Equal(t, int64(i+1), sh.Now.Events)
		}
	})
}

// A worker whose shard is another's by now holds up no other.
func TestOneStaleReportSpoilsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSlowLog(20)
		for i, err := range reportAll(t, l, func(i int) uint64 { return uint64(1 + i%2) }) {
			if i%2 == 0 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, shardferry.ErrStaleEpoch)
			}
		}
	})
}

// What is not known of a command is not known of any report in it, and it is not sent
// again behind the workers' backs.
func TestAnUnknownOutcomeIsThatOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSlowLog(20)
		l.broken = shardferry.ErrOutcomeUnknown
		for _, err := range reportAll(t, l, func(int) uint64 { return 1 }) {
			require.ErrorIs(t, err, shardferry.ErrOutcomeUnknown)
		}
		sum := 0
		for _, n := range l.took {
			sum += n
		}
		assert.Equal(t, 20, sum)
	})
}

// Whoever leaves takes no report of others with him.
func TestAWorkerThatLeavesHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSlowLog(2)
		reports := sending(t, l)
		ctx, cancel := context.WithCancel(t.Context())
		left, stayed := make(chan error, 1), make(chan error, 1)
		go func() { left <- reports.Report(ctx, 1, shardferry.Report{Shard: shardOf(0), Epoch: 1, Events: 7}) }()
		synctest.Wait()
		go func() {
			stayed <- reports.Report(t.Context(), 1, shardferry.Report{Shard: shardOf(1), Epoch: 1, Events: 8})
		}()
		cancel()
		require.ErrorIs(t, <-left, shardferry.ErrOutcomeUnknown)
		require.NoError(t, <-stayed)
		assert.Equal(t, int64(7), l.sync.Leg.Shards[0].Now.Events)
		assert.Equal(t, int64(8), l.sync.Leg.Shards[1].Now.Events)
	})
}

// The last words of a worker come through when its node is ending.
func TestAReportAfterTheEndIsACommandOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSlowLog(1)
		reports := coordinator.NewReports(l.propose)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, reports.Run(ctx), context.Canceled)
		require.NoError(t, reports.Report(t.Context(), 1, shardferry.Report{Shard: shardOf(0), Epoch: 1, Events: 7}))
		assert.Equal(t, int64(7), l.sync.Leg.Shards[0].Now.Events)
	})
}
