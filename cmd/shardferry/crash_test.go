package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/internal/rehearse"
)

var errTestEnds = errors.New("the test ends")

// write lets applications write to the source until the returned function is
// called, which returns how many operations were acknowledged and for how long.
func (m *move) write(t *testing.T, rate int) (work *rehearse.Workload, stop func() (int64, time.Duration)) {
	t.Helper()
	work = &rehearse.Workload{Rate: rate, Writers: 8, Seed: 1, Schema: 500 * time.Millisecond}
	work.SetClusters(m.src.app, m.src.app) // they stay: what is refused is not written elsewhere
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- work.Run(ctx) }()
	return work, func() (int64, time.Duration) {
		took := time.Since(began)
		cancel(errTestEnds)
		require.ErrorIs(t, <-ended, errTestEnds)
		return work.Writes(), took
	}
}

// TestKilledSyncGoesOn kills the program in the copy, in the stream and in the
// commit, and gives the same command again each time.
func TestKilledSyncGoesOn(t *testing.T) {
	m := newMove(t, envInt(t, "SHARDFERRY_TEST_DOCS", 20_000))
	rate := envInt(t, "SHARDFERRY_TEST_RATE", 200)

	// Batches of 1,000 by 12 copiers: the copy takes three seconds at least.
	m.dst.slow(t, 3_000*12*1000/m.docs, "insert")
	p := m.sync(t, "--commit")
	m.reach(t, p, "the middle of the copy", func(pr api.Progress) bool { return pr.Detail.DocumentsCopied > int64(m.docs/3) })
	p.kill()
	m.dst.slow(t, 0, "insert")
	there := m.dst.documents(t)

	p = m.sync(t, "--commit")
	r := p.await("resumed")
	assert.Equal(t, "copying", r["phase"])
	again := there - int64(r["documentsCopied"].(float64))
	t.Logf("killed in the copy: %d documents were there, %v recorded in %v of %v tasks; %d are copied again",
		there, r["documentsCopied"], r["copyTasksDone"], r["copyTasks"], again)
	assert.Positive(t, r["documentsCopied"])
	assert.GreaterOrEqual(t, again, int64(0), "recorded but not there")
	// Two batches of each copier, and what landed since the last report.
	assert.LessOrEqual(t, again, int64(3*4*3*1000))

	work, stop := m.write(t, rate)
	m.reach(t, p, "the stream", func(pr api.Progress) bool { return pr.Detail.Phase == "building" || pr.Detail.Phase == "streaming" })
	p.kill()
	writes := work.Writes()
	p = m.sync(t, "--commit")
	r = p.await("resumed")
	t.Logf("killed in the stream: %v", r)
	assert.NotEqual(t, "copying", r["phase"])
	assert.Equal(t, r["copyTasks"], r["copyTasksDone"], "no task is done again")

	m.reach(t, p, "the commit", func(pr api.Progress) bool { return pr.State == shardferry.StateCommitting })
	p.kill()
	assert.Greater(t, work.Writes(), writes)
	p = m.sync(t, "--commit")
	r = p.await("resumed")
	t.Logf("killed in the commit: %v", r)
	assert.Equal(t, string(shardferry.StateCommitting), r["state"])

	done := p.await("committed")
	assert.Equal(t, 0, p.wait(), p.complaints())
	n, took := stop()
	assert.Equal(t, true, done["verified"])
	checked := m.equal(t)
	assert.EqualValues(t, checked.Documents, done["documents"])
	t.Logf("%d documents, %d operations in %v, %v", checked.Documents, n, took, done)
}
