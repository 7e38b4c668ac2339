package mongod

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Peers carries a command to the primary of a shard, for the coordinator of a
// transaction. It may delay or lose it. It is called from many goroutines.
type Peers func(ctx context.Context, shardID string, req *command.Request) (*command.Response, error)

// A coordination is the commit of a transaction on several shards, by the shard
// that its router has chosen. What has to outlive a primary is in a document of
// config.transaction_coordinators: the participants before any is asked, the
// decision before any hears of it. A primary that finds one goes on with it.
type coordination struct {
	node   *Node
	client *command.Client
	coordinated
	decision decision
	patience time.Duration // how long it waits for votes; zero: forever
}

// coordinated says which transaction it is.
type coordinated struct {
	lsid         bson.Raw
	number       int64
	participants []string
}

// A decision is what is to become of a transaction; the zero value is none yet.
type decision struct {
	commitTimestamp bson.Timestamp
	abort           *mongoerr.Error // why
}

func (d decision) made() bool { return !d.commitTimestamp.IsZero() || d.abort != nil }

func (d decision) commits() bool { return !d.commitTimestamp.IsZero() }

// err is what a client hears of a decision.
func (d decision) err() error {
	if d.abort == nil {
		return nil
	}
	return d.abort
}

// voteLimit is how long a client waits for the votes of participants that cannot
// be reached; the coordinator goes on waiting.
const voteLimit = 10 * time.Second

// answerLimit is how long a participant may take before it is asked again.
const answerLimit = 10 * time.Second

// decide brings about a decision that no election undoes.
func (c *coordination) decide(ctx context.Context) error {
	if c.decision.made() {
		return c.keep(ctx) // an earlier primary may not have come so far
	}
	points := c.node.cfg.FailPoints
	if err := points.Hold(ctx, failpoint.BeforeParticipants); err != nil {
		return err
	}
	if err := c.keep(ctx); err != nil {
		return err
	}
	if err := points.Hold(ctx, failpoint.BeforePrepare); err != nil {
		return err
	}
	d, err := c.vote(ctx)
	if err != nil {
		return err
	}
	if err := points.Hold(ctx, failpoint.BeforeDecision); err != nil {
		return err
	}
	c.decision = d
	if err := c.keep(ctx); err != nil {
		c.decision = decision{}
		return err
	}
	return nil
}

// vote prepares every participant, and says what follows from their answers: the
// commit counts from the latest of their times on, or all abort.
func (c *coordination) vote(ctx context.Context) (decision, error) {
	if c.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.patience, errVotesMissing)
		defer cancel()
	}
	g, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex
	var latest bson.Timestamp
	for _, shard := range c.participants {
		g.Go(func() error {
			at, err := c.prepare(ctx, shard)
			if err != nil {
				return err // one is enough
			}
			mu.Lock()
			defer mu.Unlock()
			if at.After(latest) {
				latest = at
			}
			return nil
		})
	}
	err := g.Wait()
	var e *mongoerr.Error
	if errors.As(err, &e) && !passing(err) {
		return decision{abort: e}, nil
	}
	return decision{commitTimestamp: latest}, err
}

// prepare asks a participant until it has answered, and a majority of its members
// has the answer.
func (c *coordination) prepare(ctx context.Context, shard string) (bson.Timestamp, error) {
	for {
		body, err := c.ask(ctx, shard, "prepareTransaction")
		switch {
		case err != nil && !passing(err):
			return bson.Timestamp{}, err
		case err == nil && body.Lookup("writeConcernError").Type == 0:
			t, i := body.Lookup("prepareTimestamp").Timestamp()
			return bson.Timestamp{T: t, I: i}, nil
		}
		if err := c.pause(ctx, err); err != nil {
			return bson.Timestamp{}, err
		}
	}
}

// pause waits before a participant is asked again. It fails if this node is not
// the one to ask any more.
func (c *coordination) pause(ctx context.Context, err error) error {
	if !c.node.topo.isPrimary() {
		return notPrimary()
	}
	timer := time.NewTimer(coordinatorPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		if err != nil && errors.Is(context.Cause(ctx), errVotesMissing) {
			return err
		}
		return context.Cause(ctx)
	}
}

// coordinatorPause is how soon a participant that did not answer is asked again.
const coordinatorPause = 100 * time.Millisecond

var errVotesMissing = mongoerr.New(mongoerr.ExceededTimeLimit, "participants have not voted in time")

// deliver tells every participant once what has been decided. It reports whether
// all have heard it, and have it on a majority of their members.
func (c *coordination) deliver(ctx context.Context) bool {
	point, name := failpoint.BeforeCommit, "commitTransaction"
	if !c.decision.commits() {
		point, name = failpoint.BeforeAbort, "abortTransaction"
	}
	if c.node.cfg.FailPoints.Hold(ctx, point) != nil {
		return false
	}
	done := make([]bool, len(c.participants))
	var wg sync.WaitGroup
	for i, shard := range c.participants {
		wg.Go(func() {
			body, err := c.ask(ctx, shard, name)
			done[i] = err == nil && body.Lookup("writeConcernError").Type == 0 || ended(err)
			if ended(err) && c.decision.commits() {
				c.node.cfg.Logger.ErrorContext(ctx, "a participant lost its part of a committed transaction", "shard", shard, "error", err)
			}
		})
	}
	wg.Wait()
	for _, ok := range done {
		if !ok {
			return false
		}
	}
	return true
}

// ended reports whether a participant knows nothing of a transaction any more.
func ended(err error) bool {
	return mongoerr.Is(err, mongoerr.NoSuchTransaction) || mongoerr.Is(err, mongoerr.TransactionTooOld)
}

// finish tells everyone and forgets the transaction. It reports whether it is done
// with it.
func (c *coordination) finish(ctx context.Context) bool {
	if !c.deliver(ctx) || c.node.cfg.FailPoints.Hold(ctx, failpoint.BeforeForgetting) != nil {
		return false
	}
	return c.forget(ctx) == nil
}

// holdsDecision reports whether a fail point will keep the decision from the
// participants, so that the client is not to wait for them.
func (c *coordination) holdsDecision() bool {
	points := c.node.cfg.FailPoints
	return points.On(failpoint.BeforeCommit) || points.On(failpoint.BeforeAbort) || points.On(failpoint.BeforeForgetting)
}

// ask sends a participant what it has to do with its part of the transaction.
func (c *coordination) ask(ctx context.Context, shard, name string) (bson.Raw, error) {
	pairs := []any{name, 1, "lsid", c.lsid, "txnNumber", c.number, "autocommit", false, "writeConcern", majorityConcern()}
	if name == "commitTransaction" {
		pairs = append(pairs, "commitTimestamp", c.decision.commitTimestamp)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, answerLimit, errVotesMissing)
	defer cancel()
	return c.node.askShard(ctx, shard, "admin", c.client, pairs...)
}

func majorityConcern() bson.Raw { return value.D("w", "majority") }

// askShard sends a command to a shard, which may be the node's own.
func (n *Node) askShard(ctx context.Context, shard, db string, client *command.Client, pairs ...any) (bson.Raw, error) {
	pairs = append(pairs, "$clusterTime", value.D("clusterTime", n.cfg.Clock.Now()))
	req := &command.Request{Name: pairs[0].(string), DB: db, Body: value.D(pairs...), Client: client, Routed: &command.Routed{}}
	send := n.peers()
	if shard == n.set.shardID() || send == nil {
		send = func(ctx context.Context, _ string, req *command.Request) (*command.Response, error) {
			return n.Handle(ctx, req)
		}
	}
	resp, err := send(ctx, shard, req)
	if resp != nil && !resp.ClusterTime.IsZero() {
		n.cfg.Clock.Advance(resp.ClusterTime)
	}
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// passing reports whether an error says nothing of the transaction itself, so
// that asking again may help.
func passing(err error) bool {
	var e *mongoerr.Error
	if !errors.As(err, &e) {
		return true
	}
	switch e.Code {
	case mongoerr.HostUnreachable, mongoerr.HostNotFound, mongoerr.NetworkTimeout, mongoerr.SocketException,
		mongoerr.ShutdownInProgress, mongoerr.PrimarySteppedDown, mongoerr.NotWritablePrimary, mongoerr.InterruptedAtShutdown,
		mongoerr.InterruptedDueToReplStateChange, mongoerr.NotPrimaryNoSecondaryOk, mongoerr.NotPrimaryOrSecondary,
		mongoerr.ClientDisconnect, mongoerr.MaxTimeMSExpired, mongoerr.Interrupted, mongoerr.OutOfDiskSpace,
		mongoerr.ExceededTimeLimit, mongoerr.WriteConcernTimeout:
		return true
	default:
		return false
	}
}
