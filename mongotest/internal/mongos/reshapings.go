package mongos

import (
	"context"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// reshapings are the reshardings under way, and the moves of collections that
// are done alike. They have their collections to themselves, so that who ends
// one must not ask for that lock.
type reshapings struct {
	mu  sync.Mutex
	all map[string]*underway // by namespace
}

// underway is one of them.
type underway struct {
	why    string // the command that is behind it
	cancel context.CancelCauseFunc
	ended  chan struct{} // closed when it has ended
	err    error         // how, once ended is closed

	decided bool // guarded by reshapings.mu: it cannot be aborted any more
}

func newReshapings() *reshapings { return &reshapings{all: map[string]*underway{}} }

// begin registers one, which must say decide before it changes anything that
// counts, and end.
func (rs *reshapings) begin(ctx context.Context, ns, why string) (context.Context, *underway) {
	ctx, cancel := context.WithCancelCause(ctx)
	u := &underway{why: why, cancel: cancel, ended: make(chan struct{})}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.all[ns] = u
	return ctx, u
}

// decide reports whether it may be committed; after that nobody can abort it.
func (rs *reshapings) decide(ctx context.Context, u *underway) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	u.decided = ctx.Err() == nil
	return ctx.Err()
}

func (rs *reshapings) end(ns string, u *underway, err error) {
	rs.mu.Lock()
	delete(rs.all, ns)
	rs.mu.Unlock()
	u.err = err
	u.cancel(nil)
	close(u.ended)
}

// find returns what goes on with a collection on behalf of a command.
func (rs *reshapings) find(ns, why string) (*underway, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if u := rs.all[ns]; u != nil && u.why == why {
		return u, nil
	}
	return nil, mongoerr.New(mongoerr.NoSuchReshardCollection, "Could not find resharding-related metadata that matches the given namespace")
}

// abort ends it if it is not decided, and reports whether it was not.
func (rs *reshapings) abort(u *underway) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if !u.decided {
		u.cancel(mongoerr.New(mongoerr.ReshardCollectionAborted, "aborted"))
	}
	return !u.decided
}

// wait returns when it has ended.
func (u *underway) wait(ctx context.Context) error {
	select {
	case <-u.ended:
		return nil
	case <-ctx.Done():
		return interrupted(ctx, ctx.Err())
	}
}

// abortReshaping is the command that aborts what another command does. It
// answers when nothing of that is left.
func abortReshaping(why string) commandFunc {
	return func(ctx context.Context, o *op) (bson.Raw, error) {
		rs := o.r.catalog.moves.reshapings
		u, err := rs.find(getString(o.req.Body, o.req.Name), why)
		if err != nil {
			return nil, err
		}
		aborted := rs.abort(u)
		if err := u.wait(ctx); err != nil {
			return nil, err
		}
		if !aborted && u.err == nil {
			return nil, mongoerr.New(mongoerr.ReshardCollectionCommitted, "Can't abort resharding operation after the decision has been persisted")
		}
		return rawDoc(bson.D{}), nil
	}
}

// commitReshardCollection makes a resharding commit without waiting until it
// has little left to catch up with. Here none waits for that, so that it is only
// awaited.
func commitReshardCollection(ctx context.Context, o *op) (bson.Raw, error) {
	u, err := o.r.catalog.moves.reshapings.find(getString(o.req.Body, o.req.Name), "reshardCollection")
	if err == nil {
		err = u.wait(ctx)
	}
	if err == nil {
		err = u.err
	}
	return rawDoc(bson.D{}), err
}
