package rehearse

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
)

// A failover counts from the loss to the first answer of another leader, and a shard
// as still from when its position was last seen to move.
func TestWhatAFailoverCosts(t *testing.T) {
	w := newFailoverWatch()
	began := time.Unix(1000, 0)
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	tell := func(ms int, leader string, a, b uint32, tasks int) {
		p := api.Progress{CoordinatorID: leader, State: shardferry.StateRunning}
		p.Detail.TasksDone = tasks
		p.Detail.Shards = []api.Shard{{ID: "a", Applied: api.Time{T: a}}, {ID: "b", Applied: api.Time{T: b}}}
		w.progressed(p, at(ms))
	}
	tell(0, "n1", 1, 1, 3)
	w.wrote("batch 1")
	tell(100, "n1", 2, 2, 3)
	w.killed("n1", "copying", at(200))
	assert.False(t, w.over())
	tell(300, "n1", 2, 2, 3) // late news
	tell(1200, "", 2, 2, 1)  // not the leader's word: it has not heard of all yet
	tell(1300, "n2", 2, 2, 3)
	assert.False(t, w.over(), "another leads, and nothing has moved")
	tell(1800, "n2", 3, 2, 3)
	assert.False(t, w.over(), "one shard is still")
	w.wrote("batch 1")
	w.wrote("batch 2")
	tell(2500, "n2", 4, 3, 4)
	assert.True(t, w.over())
	w.killed("n2", "streaming", at(3000))
	tell(4000, "n3", 5, 5, 2)
	all, undone := w.ended()
	assert.Equal(t, []Failover{
		{Node: "n1", Phase: "copying", Leaderless: 1100 * time.Millisecond, Still: 2400 * time.Millisecond, Again: 1},
		{Node: "n2", Phase: "streaming", Leaderless: time.Second, Still: 1500 * time.Millisecond},
	}, all)
	assert.Equal(t, 2, undone, "two tasks that were done are not done any more")
}
