package capacity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
)

// reportEvery is how often a worker reports (node.Config.ReportInterval).
const reportEvery = 250 * time.Millisecond

// docsPerReport is how far a task gets between two reports.
const docsPerReport = 5000

var errEnough = errors.New("measured for long enough")

// report lets a worker for each shard report for a time. Workers of a node share
// commands, as in the node, and each reads its assignment whenever the state of its
// node has changed.
func (r *Result) report(ctx context.Context, c *cluster, lasts time.Duration) error {
	var commands atomic.Int64
	var on []*coordinator.Reports
	for range nodes {
		on = append(on, coordinator.NewReports(func(ctx context.Context, cmd state.Command) error {
			if ctx.Err() == nil {
				commands.Add(1)
			}
			return c.record(ctx, cmd)
		}))
	}
	before, err := cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	mctx, cancel := context.WithTimeoutCause(ctx, lasts, errEnough)
	defer cancel()
	took := make([][]time.Duration, r.Shards)
	g, gctx := errgroup.WithContext(mctx)
	for _, reports := range on {
		g.Go(func() error { return reports.Run(gctx) })
	}
	for i := range r.Shards {
		w := &worker{shard: shardID(i), on: on[i%nodes], at: c.all[i%nodes]}
		g.Go(func() error {
			defer func() { took[i] = w.took }()
			return w.work(gctx, reportEvery*time.Duration(i)/time.Duration(r.Shards))
		})
		g.Go(func() error { return w.follow(gctx) })
	}
	if err := g.Wait(); !errors.Is(err, errEnough) {
		return err
	}
	seconds := time.Since(began).Seconds()
	after, err := cpu()
	if err != nil {
		return err
	}
	all := slices.Concat(took...)
	if len(all) == 0 {
		return fmt.Errorf("no report came through in %v", lasts)
	}
	slices.Sort(all)
	r.Wanted = float64(r.Shards) / reportEvery.Seconds()
	r.Reports, r.Commands = float64(len(all))/seconds, float64(commands.Load())/seconds
	r.P50, r.P99 = ms(all[len(all)/2]), ms(all[len(all)*99/100])
	r.CPU, r.Heap = (after-before).Seconds()/seconds, heap()
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// A worker is the worker of one shard as the coordinator sees it.
type worker struct {
	shard shardferry.ShardID
	on    *coordinator.Reports
	at    *node
	took  []time.Duration
}

// work reports again and again, and beside that copies one task after the other.
func (w *worker) work(ctx context.Context, after time.Duration) error {
	s, _ := w.at.Watch()
	tasks := slices.Collect(s.Leg.Tasks.Of(w.shard))
	tick := time.NewTimer(after)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		now := time.Now()
		at := shardferry.ClusterTime{T: uint32(began.Unix()) + uint32(n), I: 1}
		r := shardferry.Report{Shard: w.shard, Epoch: 1, Applied: at, Seen: at, Events: int64(n) * 500}
		if len(tasks) > 0 {
			task := tasks[n/8%len(tasks)]
			p := shardferry.TaskProgress{ID: task.ID, Docs: int64(n%8+1) * docsPerReport, Done: n%8 == 7}
			p.Bytes, p.Resume = p.Docs*1024, document("_id", key(int(task.ID), n))
			r.Tasks = []shardferry.TaskProgress{p}
		}
		if err := w.on.Report(ctx, 1, r); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("shard %s: %w", w.shard, err)
		}
		w.took = append(w.took, time.Since(now))
		tick.Reset(max(0, reportEvery-time.Since(now)))
	}
}

// follow reads what the worker is to do whenever something has changed.
func (w *worker) follow(ctx context.Context) error {
	for {
		s, changed := w.at.Watch()
		var open []shardferry.CopyTask
		for t := range s.Leg.Tasks.Of(w.shard) {
			if !t.Done {
				open = append(open, t)
			}
		}
		_ = s.Leg.Catalogued()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}
