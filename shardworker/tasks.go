package shardworker

import (
	"cmp"
	"slices"
	"sync"

	"github.com/shardferry/shardferry"
)

// A taskBoard says which copy tasks are to do and how far each is. Every method
// may be called from any goroutine.
type taskBoard struct {
	mu       sync.Mutex
	tasks    []shardferry.CopyTask
	started  map[int64]bool // in this epoch
	progress map[int64]shardferry.TaskProgress
	changed  map[int64]bool // since the last report that was taken
	added    chan struct{}  // closed when tasks is replaced
}

func newTaskBoard(tasks []shardferry.CopyTask) *taskBoard {
	return &taskBoard{
		tasks:    tasks,
		started:  map[int64]bool{},
		progress: map[int64]shardferry.TaskProgress{},
		changed:  map[int64]bool{},
		added:    make(chan struct{}),
	}
}

// assign replaces the list of tasks that are not done.
func (b *taskBoard) assign(tasks []shardferry.CopyTask) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tasks = tasks
	close(b.added)
	b.added = make(chan struct{})
}

// take gives the next task that nobody has started, or a channel that is closed
// when there may be one. Capped collections come first: the stream may have to
// wait for them.
func (b *taskBoard) take() (shardferry.CopyTask, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, capped := range []bool{true, false} {
		for _, t := range b.tasks {
			if !t.Done && !b.started[t.ID] && naturalOrder(t.Index) == capped {
				b.started[t.ID] = true
				return t, nil
			}
		}
	}
	return shardferry.CopyTask{}, b.added
}

// advance notes what is on the destination. Progress is a total.
func (b *taskBoard) advance(p shardferry.TaskProgress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.progress[p.ID] = p
	b.changed[p.ID] = true
}

// news returns what changed since the last report that was taken, by task.
func (b *taskBoard) news() []shardferry.TaskProgress {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []shardferry.TaskProgress
	for id := range b.changed {
		out = append(out, b.progress[id])
	}
	slices.SortFunc(out, func(a, b shardferry.TaskProgress) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// taken notes that a report with these entries was taken.
func (b *taskBoard) taken(reported []shardferry.TaskProgress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range reported {
		now := b.progress[p.ID]
		if now.Docs == p.Docs && now.Done == p.Done && string(now.Resume) == string(p.Resume) {
			delete(b.changed, p.ID)
			if p.Done {
				delete(b.progress, p.ID)
			}
		}
	}
}
