package mongos

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/mongotest/internal/apiversion"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/schema"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Router is one mongos. It implements command.Handler.
type Router struct {
	cfg       Config
	catalog   *Catalog
	known     *knowledge
	processID atomic.Pointer[bson.ObjectID]
	started   time.Time
	cursors   *cursorTable
	sessions  *sessionTable
	commits   *commitQueue
	lasting   lasting
	commands  map[string]commandFunc
	points    *failpoint.Set
	skew      atomic.Int64 // of its clock, in nanoseconds
}

// FailPoints returns the fail points of this mongos.
func (r *Router) FailPoints() *failpoint.Set { return r.points }

// A commandFunc carries out one command and returns its reply without ok.
type commandFunc func(ctx context.Context, o *op) (bson.Raw, error)

// Handle implements command.Handler. With an error it may return a response
// too, whose times belong on the error reply.
func (r *Router) Handle(ctx context.Context, req *command.Request) (*command.Response, error) {
	resp, err := r.handle(r.asSender(ctx), req)
	if err != nil && !errors.Is(err, command.ErrHangUp) {
		err = r.label(req, err)
	}
	return resp, err
}

func (r *Router) handle(ctx context.Context, req *command.Request) (*command.Response, error) {
	f, ok := r.commands[req.Name]
	if !ok {
		return nil, mongoerr.New(mongoerr.CommandNotFound, "no such command: '%s'", req.Name)
	}
	if err := schema.Check(req); err != nil {
		return nil, err
	}
	if err := apiversion.Check(req); err != nil {
		return nil, err
	}
	if err := command.CheckReadConcern(req); err != nil {
		return nil, err
	}
	if err := r.cfg.Version.Check(req); err != nil {
		return nil, err
	}
	if err := r.gossip(req.Body); err != nil {
		return nil, err
	}
	req, err := r.catalog.toBuckets(req)
	if err != nil {
		return nil, err
	}
	o := &op{r: r, req: req}
	if ms := getInt(req.Body, "maxTimeMS", 0); ms > 0 && req.Name != "getMore" && req.Name != "hello" && !r.points.On(failpoint.NoTimeOut) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(ms)*time.Millisecond, timeExpired()) // shards, which may be the first to notice, say it too
		defer cancel()
	}
	if old := r.sessions.supersede(req.Body); old != nil {
		r.abandon(ctx, old)
	}
	if o.txn, err = r.sessions.enter(req.Body, req.Name); err != nil {
		return nil, err
	}
	if o.txn != nil && !allowedInTxn(req.Name) {
		return nil, mongoerr.New(mongoerr.OperationNotSupportedInTransaction, "Cannot run '%s' in a multi-document transaction.", req.Name)
	}
	if err := o.choosePreference(); err != nil {
		return nil, err
	}
	o.pinSnapshot()
	leave, err := o.startChange(ctx)
	if err != nil {
		return o.response(nil), err
	}
	defer leave()
	body, err := f(ctx, o)
	o.r.noticeChange(req, err)
	if err != nil && ctx.Err() != nil && !isServerError(err) {
		err = interrupted(ctx, err)
	}
	if o.txn != nil {
		body, err = o.settle(ctx, body, err)
	}
	if err != nil {
		return o.response(nil), cloak(err)
	}
	return o.response(cloakReply(body)), nil
}

func isServerError(err error) bool {
	var e *mongoerr.Error
	return errors.As(err, &e)
}

// settle finishes a statement of a transaction: any failure aborts it on all
// shards, and every reply says where its outcome can be asked for.
func (o *op) settle(ctx context.Context, body bson.Raw, err error) (bson.Raw, error) {
	if o.req.Name == "commitTransaction" || o.req.Name == "abortTransaction" {
		return body, err
	}
	if err != nil || has(body, "writeErrors") {
		abortErr := o.abort(context.WithoutCancel(ctx))
		if err == nil {
			err = abortErr
		}
	}
	if err != nil {
		return nil, err
	}
	return set(body, bson.E{Key: "recoveryToken", Value: o.txn.recoveryToken()}), nil
}

// Run closes idle cursors, forgets idle sessions and tells config.mongos that
// this mongos lives, until ctx ends. It returns nil then.
func (r *Router) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(r.asSender(ctx))
	g.Go(func() error {
		tick := time.NewTicker(time.Minute)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case now := <-tick.C:
				r.expire(ctx, now.Add(-r.cfg.CursorIdle))
				for _, t := range r.sessions.expire(now) {
					r.abandon(ctx, t)
				}
			}
		}
	})
	g.Go(func() error {
		tick := time.NewTicker(30 * time.Second)
		defer tick.Stop()
		for {
			if err := r.ping(ctx); err != nil && ctx.Err() == nil {
				r.cfg.Logger.WarnContext(ctx, "config.mongos not written", "error", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
	g.Go(func() error {
		<-ctx.Done()
		r.lasting.end()
		return nil
	})
	g.Go(func() error {
		r.balance(ctx)
		return nil
	})
	g.Go(func() error {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				r.finishCommits(ctx)
				r.deleteOrphans(ctx)
			}
		}
	})
	return g.Wait()
}

// abandon aborts a transaction that has outlived its limit or whose session has
// begun another one, so that its locks hold up nobody any longer.
func (r *Router) abandon(ctx context.Context, t *txn) {
	o := &op{r: r, req: r.internal(), txn: t}
	if err := o.abort(ctx); err != nil {
		r.cfg.Logger.DebugContext(ctx, "abandoned transaction left to the shards", "error", err)
	}
}

// ping writes this router's row of config.mongos.
func (r *Router) ping(ctx context.Context) error {
	now := time.Now()
	w := r.catalog.writes()
	w.put("mongos", bson.E{Key: "_id", Value: r.cfg.Name}, bson.D{
		{"_id", r.cfg.Name},
		{"advisoryHostFQDNs", bson.A{}},
		{"created", bson.NewDateTimeFromTime(r.started)},
		{"mongoVersion", r.cfg.Version.String()},
		{"ping", bson.NewDateTimeFromTime(now)},
		{"up", int64(now.Sub(r.started).Seconds())},
		{"waiting", true},
	})
	return w.send(ctx)
}

// child is a command that this router runs on behalf of o, in its session and
// transaction.
func (o *op) child(db string, cmd bson.D) *op {
	if !o.at.IsZero() && o.txn == nil {
		concern, _ := value.Get(o.req.Body, "readConcern")
		cmd = append(cmd, bson.E{Key: "readConcern", Value: concern})
	}
	return &op{r: o.r, txn: o.txn, at: o.at, prefer: o.prefer, req: &command.Request{
		Name: cmd[0].Key, DB: db, Client: o.req.Client, Body: rawDoc(append(cmd, o.inherited()...)),
	}}
}

// inherited are the client's fields that a child command keeps. The txnNumber
// of a retryable write is not among them: it stands for the client's own
// statements.
func (o *op) inherited() bson.D {
	var d bson.D
	for _, name := range []string{"lsid", "comment", "writeConcern"} {
		if v, ok := value.Get(o.req.Body, name); ok {
			d = append(d, bson.E{Key: name, Value: v})
		}
	}
	return d
}

// run carries out a command of this router on behalf of o.
func (o *op) run(ctx context.Context, db string, cmd bson.D) (bson.Raw, error) {
	c := o.child(db, cmd)
	var err error
	if c.req, err = o.r.catalog.toBuckets(c.req); err != nil {
		return nil, err
	}
	body, err := o.r.commands[c.req.Name](ctx, c)
	o.keep(c.time)
	return body, err
}
