package mongos

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// How a router repeats what a shard did not take: soon at first, then less and
// less often, and not for longer than primaryWait, which leaves time for an
// election.
const (
	primaryWait = 10 * time.Second
	firstPause  = 10 * time.Millisecond
	longPause   = 500 * time.Millisecond
)

// An op is one client command under way.
type op struct {
	r   *Router
	req *command.Request
	txn *txn           // nil outside a transaction
	at  bson.Timestamp // the time that a snapshot read is of, zero for others

	prefer *command.ReadPreference // which members its reads are for, nil for primaries

	mu   sync.Mutex
	time bson.Timestamp // the highest operationTime of the shards contacted
}

func (o *op) response(body bson.Raw) *command.Response {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.time
	if t.IsZero() {
		t = o.r.cfg.Clock.Now()
	}
	return &command.Response{Body: body, OperationTime: t, ClusterTime: o.r.cfg.Clock.Now()}
}

// A call is one command for one shard.
type call struct {
	name   string
	db     string
	body   bson.Raw // without the fields the router sets for each shard
	seqs   []command.Sequence
	routed *command.Routed
	safe   bool // may be sent again when its outcome is unknown
	to     command.Target
}

// forward makes a call of the client's own command.
func (o *op) forward(drop ...string) call {
	return call{
		name: o.req.Name, db: o.req.DB, seqs: o.req.Sequences,
		body: edit(o.req.Body, append(drop, o.dropped()...)),
	}
}

// dropped are the fields of the client's command that shards do not get as is.
func (o *op) dropped() []string {
	if o.txn == nil {
		return routerFields
	}
	return append([]string{"readConcern", "lsid", "txnNumber", "autocommit"}, routerFields...)
}

// generic are the client's fields that a command of the router's own making
// carries too.
func (o *op) generic() bson.D {
	var d bson.D
	for _, name := range []string{"lsid", "txnNumber", "maxTimeMS", "comment", "readConcern", "apiVersion"} {
		if o.txn != nil && (name == "lsid" || name == "txnNumber" || name == "readConcern") {
			continue
		}
		if v, ok := value.Get(o.req.Body, name); ok {
			d = append(d, bson.E{Key: name, Value: v})
		}
	}
	return d
}

// read makes a call of a reading command of the router's own making.
func (o *op) read(db string, cmd bson.D) call {
	var g bson.D
	for _, e := range o.generic() {
		if e.Key != "txnNumber" && !slices.ContainsFunc(cmd, func(c bson.E) bool { return c.Key == e.Key }) {
			g = append(g, e)
		}
	}
	return call{name: cmd[0].Key, db: db, body: rawDoc(append(cmd, g...)), safe: true}
}

// send runs a call on a shard. A call that may be repeated is, while the shard
// cannot be reached or has no primary.
func (o *op) send(ctx context.Context, shard string, c call) (*command.Response, error) {
	start, pause := time.Now(), firstPause
	joins := o.txn != nil && !o.txn.has(shard)
	for {
		body, err := o.seal(shard, c)
		if err != nil {
			return nil, err
		}
		resp, err := o.r.cfg.Transport(ctx, shard, &command.Request{
			Name: c.name, DB: c.db, Body: body, Sequences: c.seqs, Client: o.req.Client, Routed: routed(c.routed), To: o.target(c),
		})
		if noteErr := o.note(resp); noteErr != nil {
			return nil, noteErr
		}
		if err == nil {
			err = mayBeLost(c.name, resp)
		}
		if o.txn != nil && resp != nil && resp.Wrote {
			o.txn.wrote(shard)
		}
		if err == nil {
			return resp, nil
		}
		if joins && isStale(err) {
			o.txn.leave(shard)
		}
		if !o.repeatable(c, err) || time.Since(start)+pause > primaryWait {
			return nil, err
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, longPause)
		case <-ctx.Done():
			return nil, interrupted(ctx, err)
		}
	}
}

// repeatable reports whether c may be sent again after err. A shard that is no
// primary has not carried it out, so anything may then, but for the statements
// of a transaction, which that shard has forgotten.
func (o *op) repeatable(c call, err error) bool {
	switch {
	case !retriable(err):
		return false
	case o.txn != nil:
		return c.name == "commitTransaction" || c.name == "abortTransaction"
	case c.to.Member != "":
		return false // only that one has the cursor
	case mongoerr.Is(err, mongoerr.NotWritablePrimary), mongoerr.Is(err, mongoerr.NotPrimaryNoSecondaryOk),
		mongoerr.Is(err, mongoerr.FailedToSatisfyReadPreference):
		return c.name != "getMore"
	default:
		return c.safe
	}
}

// routed never is nil: that a command comes from a mongos is itself a fact.
func routed(r *command.Routed) *command.Routed {
	if r == nil {
		return &command.Routed{}
	}
	return r
}

// seal adds what every command to a shard carries: the cluster time, and the
// fields of the transaction.
func (o *op) seal(shard string, c call) (bson.Raw, error) {
	var add bson.D
	if o.txn != nil {
		var err error
		if add, err = o.txn.join(shard); err != nil {
			return nil, err
		}
	}
	if p := o.target(c).Prefer; p != nil {
		add = append(add, bson.E{Key: "$readPreference", Value: p.Doc})
	}
	add = append(add, bson.E{Key: "$clusterTime", Value: bson.D{{"clusterTime", o.r.cfg.Clock.Now()}}})
	return edit(c.body, nil, add...), nil
}

// each runs f for every shard, at the same time outside transactions, and
// returns the first error in the order of shards.
func (o *op) each(ctx context.Context, shards []string, f func(ctx context.Context, i int, shard string) error) error {
	if len(shards) == 1 || o.txn != nil {
		for i, s := range shards {
			if err := f(ctx, i, s); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, len(shards))
	g := errgroup.Group{}
	for i, s := range shards {
		g.Go(func() error {
			errs[i] = f(ctx, i, s)
			return errs[i]
		})
	}
	if g.Wait() == nil {
		return nil
	}
	return errs[slices.IndexFunc(errs, func(err error) bool { return err != nil })]
}

// sendAll runs a call on several shards.
func (o *op) sendAll(ctx context.Context, shards []string, c func(shard string) call) ([]*command.Response, error) {
	resps := make([]*command.Response, len(shards))
	err := o.each(ctx, shards, func(ctx context.Context, i int, shard string) error {
		var err error
		resps[i], err = o.send(ctx, shard, c(shard))
		return err
	})
	return resps, err
}

var retriableCodes = []mongoerr.Code{
	mongoerr.HostUnreachable, mongoerr.HostNotFound, mongoerr.NetworkTimeout, mongoerr.SocketException,
	mongoerr.ShutdownInProgress, mongoerr.PrimarySteppedDown, mongoerr.NotWritablePrimary,
	mongoerr.InterruptedAtShutdown, mongoerr.InterruptedDueToReplStateChange,
	mongoerr.NotPrimaryNoSecondaryOk, mongoerr.NotPrimaryOrSecondary, mongoerr.NetworkInterfaceExceededTimeLimit,
	mongoerr.FailedToSatisfyReadPreference,
}

// retriable reports whether sending again may help.
func retriable(err error) bool {
	var e *mongoerr.Error
	return errors.As(err, &e) && slices.Contains(retriableCodes, e.Code)
}
