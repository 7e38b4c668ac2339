package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/api"
)

// TestWritesDuringTheWholeCopyArrive writes from before the copy until after
// it, to all collections, and commits.
func TestWritesDuringTheWholeCopyArrive(t *testing.T) {
	m := newMove(t, envInt(t, "SHARDFERRY_TEST_DOCS", 20_000))
	rate := envInt(t, "SHARDFERRY_TEST_RATE", 500)

	m.dst.slow(t, 2, "insert")
	began := time.Now()
	_, stop := m.write(t, rate/10) // transactions, arrays, schema changes
	stopBurst := m.burst(t, rate)
	p := m.sync(t)
	copied := m.reach(t, p, "the end of the copy", func(pr api.Progress) bool {
		return pr.Detail.TasksTotal > 0 && pr.Detail.TasksDone == pr.Detail.TasksTotal
	})
	took := time.Since(began)
	m.dst.slow(t, 0, "insert")
	known := m.reach(t, p, "a known lag", func(pr api.Progress) bool { return pr.LagTimeSeconds != nil })
	assert.Less(t, *known.LagTimeSeconds, int64(5))
	caughtUp := m.reach(t, p, "a commit to be possible", func(pr api.Progress) bool { return pr.CanCommit })
	t.Logf("the copy took %v, lag %d s at its end; %d s when a commit was possible; %d events, %d repairs",
		took, *known.LagTimeSeconds, *caughtUp.LagTimeSeconds, caughtUp.TotalEvents, copied.Detail.Repairs)
	p.terminate()

	p = m.sync(t, "--commit")
	done := p.await("committed")
	require.Equal(t, 0, p.wait())
	others, _ := stop()
	changed, wrote := stopBurst()
	checked := m.equal(t)
	assert.Equal(t, true, done["verified"])
	t.Logf("%d documents changed in %v (%.0f/s) beside %d other operations; %d documents at the end, %v",
		changed, wrote, float64(changed)/wrote.Seconds(), others, checked.Documents, done)
}
