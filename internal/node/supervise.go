package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/shardworker"
	"github.com/shardferry/shardferry/topology"
)

// restartPause is how long a shard rests after its worker failed.
const restartPause = time.Second

// A supervisor keeps one worker running for each shard of the current leg, and
// none when there is nothing to do.
type supervisor struct {
	node    *Node
	workers map[shardferry.ShardID]*running // owned by run

	patience map[shardferry.ShardID]*patience // with workers that end again and again; owned by run
}

// A patience is that with one shard. Progress is what its workers have applied.
type patience struct {
	mongoconn.Patience
	applied shardferry.ClusterTime
}

// failed notes that a worker of a shard has failed, and returns nil if it should
// start again.
func (s *supervisor) failed(st *state.Sync, e ended) error {
	if errors.Is(e.err, shardferry.ErrStaleEpoch) || errors.Is(e.err, shardferry.ErrNotLeader) || errors.Is(e.err, shardferry.ErrOutcomeUnknown) {
		return nil
	}
	p := s.patience[e.shard]
	if p == nil {
		p = &patience{Patience: mongoconn.Patience{Limit: s.node.cfg.GiveUpAfter}}
		s.patience[e.shard] = p
	}
	if sh := shardAt(st, e.shard); sh != nil && sh.Applied.After(p.applied) {
		p.Progress()
		p.applied = sh.Applied
	}
	enough := p.Again(e.err)
	if enough != nil {
		p.Progress() // whoever lets it go on has mended something
	}
	return enough
}

// running is a worker that has not been seen to end.
type running struct {
	leg    int
	cancel context.CancelCauseFunc
	rests  <-chan time.Time // set when it has ended and is to be started again after a pause
}

type ended struct {
	shard shardferry.ShardID
	leg   int
	err   error
}

var errNotWanted = errors.New("the worker is not wanted any more")

func (s *supervisor) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	ends := make(chan ended)
	tick := time.NewTicker(restartPause)
	g.Go(func() error {
		defer tick.Stop()
		for {
			st, changed := s.node.coord.Watch()
			s.stopUnwanted(st)
			s.startMissing(ctx, g, st, ends)
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-changed:
			case <-tick.C:
			case e := <-ends:
				s.took(ctx, st, e)
			}
		}
	})
	return g.Wait()
}

func (s *supervisor) stopUnwanted(st *state.Sync) {
	for id, w := range s.workers {
		if w.rests == nil && (!st.Active() || w.leg != st.Leg.Number || !s.node.owns(st, id)) {
			w.cancel(errNotWanted)
		}
	}
}

func (s *supervisor) startMissing(ctx context.Context, g *errgroup.Group, st *state.Sync, ends chan<- ended) {
	if !st.Active() {
		return
	}
	for _, sh := range st.Leg.Shards {
		if sh.Lost || sh.Owner != s.node.cfg.ID {
			continue
		}
		if w, ok := s.workers[sh.ID]; ok {
			if w.rests == nil {
				continue
			}
			select {
			case <-w.rests:
			default:
				continue
			}
		}
		wctx, cancel := context.WithCancelCause(ctx)
		s.workers[sh.ID] = &running{leg: st.Leg.Number, cancel: cancel}
		g.Go(func() error {
			defer cancel(nil)
			e := ended{shard: sh.ID, leg: st.Leg.Number, err: s.node.work(wctx, st.Leg.Number, sh.ID)}
			select {
			case ends <- e:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}
}

// took notes that a worker has ended, and what follows from how it ended.
func (s *supervisor) took(ctx context.Context, st *state.Sync, e ended) {
	log := s.node.cfg.Logger.With(slog.String("shard", string(e.shard)))
	if errors.Is(e.err, errNotWanted) {
		delete(s.workers, e.shard)
		return
	}
	if errors.Is(e.err, shardferry.ErrOplogWindowExceeded) && s.lost(ctx, st, e) {
		delete(s.workers, e.shard)
		return
	}
	if enough := s.failed(st, e); enough == nil {
		log.LogAttrs(ctx, slog.LevelWarn, "worker ended, it starts again", slog.Any("error", e.err))
	} else {
		log.LogAttrs(ctx, slog.LevelError, "worker failed", slog.Any("error", enough))
		e.err = enough
		s.hold(ctx, st, e)
	}
	rests := time.NewTimer(restartPause)
	s.workers[e.shard].rests = rests.C
}

// lost records that a shard has to be copied again, and reports whether that is
// possible. A commit in progress is given up.
func (s *supervisor) lost(ctx context.Context, st *state.Sync, e ended) bool {
	if e.leg != 1 {
		return false // a way back has no copy that could be made again
	}
	why := fmt.Sprintf("%v; shardferry resume --recopy-lost reads this shard again: what differs is repaired, and what is only on the destination is deleted there", e.err)
	err := s.node.coord.Propose(ctx, state.Lost{Leg: e.leg, Shard: e.shard, At: time.Now(), Why: why})
	if err != nil {
		s.node.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the loss could not be recorded", slog.Any("error", err))
		return false
	}
	if st.State == shardferry.StateCommitting {
		s.hold(ctx, st, e)
	}
	return true
}

// hold stops a sync one of whose workers cannot go on. After a commit there is
// nothing to pause: the shard is tried again.
func (s *supervisor) hold(ctx context.Context, st *state.Sync, e ended) {
	var err error
	switch st.State {
	case shardferry.StateRunning:
		err = s.node.coord.Propose(ctx, state.Pause{At: time.Now(), From: "worker", Hold: e.err.Error()})
	case shardferry.StateCommitting:
		err = s.node.coord.Propose(ctx, state.Abort{Leg: e.leg, Reason: e.err.Error()})
	case shardferry.StateIdle, shardferry.StatePaused, shardferry.StateCommitted, shardferry.StateReversing:
	}
	if err != nil {
		s.node.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the failure could not be recorded", slog.Any("error", err))
	}
}

// work takes a shard over and runs its worker: the epoch rises, the sessions of
// earlier epochs are closed on the destination, and only then is anything
// written.
func (n *Node) work(ctx context.Context, leg int, shard shardferry.ShardID) error {
	if s, _ := n.coord.Watch(); n.sameJob(s) != nil {
		return n.sameJob(s) // the node is about to end
	}
	if err := n.coord.Propose(ctx, state.Take{Leg: leg, Shard: shard, Owner: n.cfg.ID}); err != nil {
		return cause(ctx, err)
	}
	st, _ := n.coord.Watch()
	at := shardAt(st, shard)
	if st.Leg.Number != leg || !n.owns(st, shard) {
		return fmt.Errorf("shard %s: %w", shard, shardferry.ErrStaleEpoch)
	}
	from, to := n.ends.from(&st.Leg), n.ends.to(&st.Leg)
	route, err := routeOf(st)
	if err != nil {
		return err
	}
	if err := n.fence(ctx, leg, at, to); err != nil {
		return cause(ctx, err)
	}
	w, err := shardworker.New(shardworker.Config{
		Shard:       shard,
		Source:      from.client,
		Destination: to.client,
		Sharded:     from.info.Kind == topology.Sharded,
		Assignments: &feed{node: n, leg: leg, shard: shard, epoch: at.Epoch},
		Reporter:    reporter{n, leg},
		SessionsStarted: func(ctx context.Context, ids []bson.Raw) error {
			return n.coord.Propose(ctx, state.Sessions{Leg: leg, Shard: shard, Epoch: at.Epoch, IDs: ids})
		},
		Filters: route.Filters(),
		Lanes:   n.cfg.Lanes, Copiers: n.cfg.Copiers, BatchDocs: n.cfg.BatchDocs,
		// The other half is for replies before they are counted, for the driver, and
		// for what the garbage collector has not got yet.
		Memory: n.cfg.Memory / 2 / int64(len(st.Leg.Shards)),
		Times:  shardworker.Times{ReportInterval: n.cfg.ReportInterval, GiveUpAfter: n.cfg.GiveUpAfter},
		Logger: n.cfg.Logger,
	})
	if err != nil {
		return err
	}
	return cause(ctx, w.Run(ctx))
}

// cause returns why ctx ended if it has, because everything that fails then
// fails for that reason.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (n *Node) owns(s *state.Sync, id shardferry.ShardID) bool {
	at := shardAt(s, id)
	return at != nil && at.Owner == n.cfg.ID
}

func shardAt(s *state.Sync, id shardferry.ShardID) *state.Shard {
	for i := range s.Leg.Shards {
		if s.Leg.Shards[i].ID == id {
			return &s.Leg.Shards[i]
		}
	}
	return nil
}
