package rehearse

import (
	"sync"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
)

// Failover is what the loss of a leader cost.
type Failover struct {
	Node       string        // that was killed
	Phase      string        // of the sync
	Leaderless time.Duration // until another node led and answered
	Still      time.Duration // longest time in which a shard's recorded position did not move
	Again      int           // copy batches that were written a second time
}

// A failoverWatch looks at the progress of a sync and at the writes that arrive, and
// says what each loss of a leader costs. What it sees is what an operator sees: a
// shard whose worker goes on while nobody can record it counts as still.
type failoverWatch struct {
	mu     sync.Mutex
	moved  map[string]time.Time // when each shard's position was last seen to move
	at     map[string]api.Time
	tasks  int // copy tasks that were done
	undone int // that were done once and are not any more
	seen   map[string]bool
	again  int

	now   *Failover // the one that is being watched
	since time.Time
	all   []Failover
}

func newFailoverWatch() *failoverWatch {
	return &failoverWatch{moved: map[string]time.Time{}, at: map[string]api.Time{}, seen: map[string]bool{}}
}

// killed begins a failover.
func (w *failoverWatch) killed(node, phase string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
	w.now, w.since, w.again = &Failover{Node: node, Phase: phase}, at, 0
}

// progressed notes an answer that a leader gave.
func (w *failoverWatch) progressed(p api.Progress, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.now; f != nil && f.Leaderless == 0 && p.CoordinatorID != "" && p.CoordinatorID != f.Node {
		f.Leaderless = at.Sub(w.since)
	}
	// What flows back has no tasks; and who does not speak for the leader may not know
	// of all that is done.
	if p.State != shardferry.StateCommitted && p.CoordinatorID != "" {
		w.undone += max(0, w.tasks-p.Detail.TasksDone)
		w.tasks = p.Detail.TasksDone
	}
	for _, s := range p.Detail.Shards {
		last, known := w.moved[s.ID]
		was := shardferry.ClusterTime(w.at[s.ID])
		if known && !was.Before(shardferry.ClusterTime(s.Applied)) {
			continue
		}
		if f := w.now; f != nil && known && at.After(w.since) {
			f.Still = max(f.Still, at.Sub(last))
		}
		w.moved[s.ID], w.at[s.ID] = at, s.Applied
	}
}

// wrote notes a batch of documents of the copy, by its first document.
func (w *failoverWatch) wrote(batch string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[batch] {
		w.again++
	}
	w.seen[batch] = true
}

// over reports whether the failover is over: another node leads, and each shard
// has moved since.
func (w *failoverWatch) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now == nil {
		return true
	}
	for _, at := range w.moved {
		if !at.After(w.since.Add(w.now.Leaderless)) {
			return false
		}
	}
	return w.now.Leaderless > 0
}

// count returns how many leaders were lost.
func (w *failoverWatch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now != nil {
		return len(w.all) + 1
	}
	return len(w.all)
}

// end closes the books of the failover that is being watched. The caller holds mu.
func (w *failoverWatch) end() {
	if w.now != nil {
		w.now.Again = w.again
		w.all = append(w.all, *w.now)
		w.now = nil
	}
}

// ended returns all failovers, and how many copy tasks had to be done again.
func (w *failoverWatch) ended() ([]Failover, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
	return w.all, w.undone
}
