package mongos

import (
	"context"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// An unfinished commit is one whose coordinator may not have told everybody yet.
// The locks of the transaction are held until it has.
type unfinished struct {
	txn         *txn
	coordinator string
}

// commitQueue holds the unfinished commits of a router. Run asks for them.
type commitQueue struct {
	mu    sync.Mutex
	tasks []unfinished
}

func (q *commitQueue) add(t *txn, coordinator string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tasks = append(q.tasks, unfinished{t, coordinator})
}

// take empties the queue.
func (q *commitQueue) take() []unfinished {
	q.mu.Lock()
	defer q.mu.Unlock()
	tasks := q.tasks
	q.tasks = nil
	return tasks
}

// finishCommits asks once more after every unfinished commit. One that its
// coordinator does not know any more has ended.
func (r *Router) finishCommits(ctx context.Context) {
	for _, u := range r.commits.take() {
		o := &op{r: r, req: r.internal(), txn: u.txn}
		body, err := o.coordinate(ctx, u.coordinator, nil, bson.E{Key: "peek", Value: true})
		if err == nil && !getBool(body, "finished", false) || err != nil && (retriable(err) || ctx.Err() != nil) {
			r.commits.add(u.txn, u.coordinator)
			continue
		}
		u.txn.unlock()
	}
}
