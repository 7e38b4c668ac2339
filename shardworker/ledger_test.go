package shardworker

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/shardferry/shardferry"
)

// Every report that is taken makes a new assignment. If that asked for a report
// at once, a worker would report as fast as the coordinator can take it.
func TestOnlyNewsInAnAssignmentAskForAReport(t *testing.T) {
	at := func(i uint32) shardferry.ClusterTime { return shardferry.ClusterTime{T: 10, I: i} }
	plan := shardferry.Assignment{Shard: "s", Epoch: 1, From: at(1)}
	l := newLedger("s", plan, nil)
	urgent := func() bool {
		select {
		case <-l.urgent:
			return true
		default:
			return false
		}
	}

	plan.From = at(2)
	l.assign(plan)
	assert.False(t, urgent(), "a position that was reported")

	plan.Barrier = &shardferry.Barrier{ID: 1, Time: at(3)}
	l.assign(plan)
	assert.True(t, urgent(), "a barrier")
	assert.Zero(t, l.report().Ready)

	l.pass(at(4))
	assert.True(t, urgent(), "standing still at the barrier")
	assert.Equal(t, int64(1), l.report().Ready)
	l.assign(plan)
	l.pass(at(5))
	assert.False(t, urgent(), "still standing")

	plan.Barrier, plan.Resolved = nil, shardferry.SchemaPoint{Time: at(3)}
	l.assign(plan)
	assert.True(t, urgent(), "a schema change that is resolved")

	plan.Barrier, plan.Until = nil, at(7)
	l.assign(plan)
	assert.True(t, urgent(), "a commit that waits")
	ticket := l.frontier.begin(at(7))
	l.report()
	l.pass(at(9))
	assert.False(t, urgent(), "an event at the end is not applied yet")
	l.finish([]uint64{ticket}, 0)
	assert.True(t, urgent(), "all that the commit needs is applied")
	assert.Equal(t, at(9), l.report().Applied)
	l.pass(at(10))
	assert.False(t, urgent(), "it has been said")
}
