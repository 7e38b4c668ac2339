package capacity_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/capacity"
)

// No speed is asserted: that would fail on a busy machine.
func TestEverythingIsMeasured(t *testing.T) {
	r, err := capacity.Measure(t.Context(), capacity.Load{Shards: 4, Tasks: 100}, t.TempDir(), time.Second)
	require.NoError(t, err)
	assert.Equal(t, 10, r.Collections)
	for name, v := range map[string]float64{
		"election": r.Election, "plan": r.PlanTime, "reports": r.Reports, "commands": r.Commands, "p50": r.P50, "p99": r.P99, "cpu": r.CPU,
		"snapshot": r.SnapshotTime, "failover": r.Failover,
	} {
		assert.Positive(t, v, name)
	}
	for name, v := range map[string]int64{"plan": r.PlanSize, "heap": r.Heap, "snapshot": r.SnapshotSize, "state": r.PlainSize, "log": r.LogSize} {
		assert.Positive(t, v, name)
	}
	assert.InDelta(t, 16, r.Wanted, 0)
	table := capacity.Table([]capacity.Result{r, r})
	for line := range strings.Lines(table) {
		assert.Equal(t, 4, strings.Count(line, "|"), "%s", line)
	}
}

// The largest state that is promised, half copied.
func TestASnapshotOfVeryManyTasksIsSmall(t *testing.T) {
	s := state.New()
	plan := capacity.Plan(1000, 10_000, 100_000)
	require.NoError(t, capacity.Start().Apply(s))
	for i := range plan.Tasks {
		if i%2 == 0 {
			task := &plan.Tasks[i]
			task.Resume, task.Docs, task.Bytes = task.Max, int64(i)*7919, int64(i)*7919*1021
		}
	}
	require.NoError(t, plan.Apply(s))
	var b bytes.Buffer
	require.NoError(t, coordinator.WriteSnapshot(&b, s))
	t.Logf("%d bytes", b.Len())
	assert.Less(t, b.Len(), 16<<20)
}
