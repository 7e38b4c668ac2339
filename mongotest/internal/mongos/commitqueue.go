package mongos

import (
	"context"
	"sync"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// An unfinished commit has been decided, for all participants are prepared, but
// some have not heard of it, or have it on too few of their members.
type unfinished struct {
	txn    *txn
	shards []string
}

// commitQueue holds the unfinished commits of a router. Run delivers them.
type commitQueue struct {
	mu    sync.Mutex
	tasks []unfinished
}

func (q *commitQueue) add(t *txn, shards []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tasks = append(q.tasks, unfinished{t, shards})
}

// take empties the queue.
func (q *commitQueue) take() []unfinished {
	q.mu.Lock()
	defer q.mu.Unlock()
	tasks := q.tasks
	q.tasks = nil
	return tasks
}

// finishCommits tries once more to deliver every unfinished commit. The locks
// of a transaction are held until all its participants have it.
func (r *Router) finishCommits(ctx context.Context) {
	for _, u := range r.commits.take() {
		o := &op{r: r, req: r.internal(), txn: u.txn}
		for len(u.shards) > 0 {
			resp, err := o.send(ctx, u.shards[0], o.ending("commitTransaction"))
			if err == nil && has(resp.Body, "writeConcernError") || err != nil && retriable(err) {
				break
			}
			if err != nil && ctx.Err() == nil {
				r.cfg.Logger.ErrorContext(ctx, "a participant lost its part of a committed transaction",
					"shard", u.shards[0], "error", mongoerr.From(err))
			}
			u.shards = u.shards[1:]
		}
		if len(u.shards) > 0 {
			r.commits.add(u.txn, u.shards)
			continue
		}
		u.txn.unlock()
	}
}
