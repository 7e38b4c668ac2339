package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/mortal"
	"github.com/shardferry/shardferry/internal/rehearse"
	"github.com/shardferry/shardferry/mongotest"
)

// An Endurance is one long run at a steady rate of writes, between clusters on
// which chunks move, primaries are deposed and the schema changes all the time.
// It ends with a commit.
type Endurance struct {
	Seed uint64
	For  time.Duration // of virtual time
	Rate int           // events per virtual second
}

// Endured is what an endurance run has shown.
type Endured struct {
	Seed       uint64        `json:"seed"`
	Passed     bool          `json:"passed"`
	Violations []string      `json:"violations"`
	Writes     int64         `json:"writes"`     // of documents that were acknowledged
	Moves      int           `json:"moves"`      // of chunks
	Elections  int           `json:"elections"`  // on both clusters
	Schema     int           `json:"schema"`     // changes of collections and indexes
	Documents  int64         `json:"documents"`  // compared before the commit
	MaxLag     time.Duration `json:"max_lag_ns"` // of the resume point behind the source, while it streamed
	HeapMiB    []int         `json:"heap_mib"`   // in use after each virtual minute, of clusters and node together
	Virtual    time.Duration `json:"virtual_ns"`
	Real       time.Duration `json:"real_ns"`

	Trace []string `json:"-"`
}

// Endure plays an endurance run in virtual time. It calls each after every
// virtual minute with what it has shown so far.
func Endure(e Endurance, each func(Endured)) Endured {
	began := time.Now()
	out := Endured{Seed: e.Seed}
	dir, err := os.MkdirTemp("", "shardferry-endurance-")
	if err == nil {
		err = mortal.Bubble(func(ctx context.Context) error { return e.inside(ctx, dir, &out, each) })
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		out.Violations = append(out.Violations, err.Error())
	}
	if out.grows() {
		out.Violations = append(out.Violations, fmt.Sprintf("the heap grows: %d MiB by the minute", out.HeapMiB))
	}
	out.Passed, out.Real = len(out.Violations) == 0, time.Since(began)
	return out
}

// oplogEntries bounds the oplogs of an endurance run: minutes of its writes.
const oplogEntries = 500_000

// grows reports that the heap was clearly larger in the last third of the run
// than in the one before it. The first third is for filling what has bounds:
// oplogs, and the clusters' history for snapshot reads.
func (e Endured) grows() bool {
	n := len(e.HeapMiB)
	if n < shortestTrend {
		return false
	}
	middle, late := slices.Max(e.HeapMiB[n/3:2*n/3]), slices.Max(e.HeapMiB[2*n/3:])
	return late > middle+middle/4
}

// shortestTrend is how many minutes are needed to tell growth from filling.
const shortestTrend = 15

// plan is what the parts of an ordinary run need to know.
func (e Endurance) plan() Plan {
	return Plan{Seed: e.Seed, SourceShards: 3, DestShards: 2, Members: 3, BatchDocs: 500, Ending: Commit}
}

// inside runs the clusters and what happens between them.
func (e Endurance) inside(ctx context.Context, dir string, out *Endured, each func(Endured)) error {
	t := &trace{began: time.Now()}
	defer func() { out.Trace, out.Virtual = t.all(), time.Since(t.began) }()
	p := e.plan()
	stage, err := rehearse.NewStage(rehearse.StageOptions{
		SourceShards: p.SourceShards, DestinationShards: p.DestShards, Members: p.Members,
		ElectionTimeout: electionTimeout, OplogEntries: oplogEntries,
	})
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return stage.Run(gctx) })
	g.Go(func() error {
		if err := stage.WaitReady(gctx); err != nil {
			return err
		}
		if err := e.between(gctx, stage, dir, t, out, each); err != nil {
			return err
		}
		return errOver
	})
	if err := g.Wait(); !errors.Is(err, errOver) {
		return err
	}
	return nil
}

// between connects everybody, goes through the run and judges it.
func (e Endurance) between(ctx context.Context, stage *rehearse.Stage, dir string, t *trace, out *Endured, each func(Endured)) (err error) {
	p := e.plan()
	bad := &violations{trace: t}
	s := &scenario{plan: p, r: rand.New(rand.NewPCG(e.Seed, 3)), bad: bad, trace: t, faults: &errgroup.Group{}}
	s.crowd = &crowd{plan: p, bad: bad, trace: t}
	closeAll, err := s.connect(stage)
	defer closeAll(ctx)
	if err != nil {
		return err
	}
	if err := prepare(ctx, s.crowd.clients[Source], stage.Source.Shards(), true, true); err != nil {
		return err
	}
	s.sides = newSides(stage, p)
	s.crowd.sides = s.sides
	s.crew(stage, dir)
	h := newHardship(s, e)
	defer func() {
		out.Violations = append(out.Violations, bad.all()...)
		h.tell(out)
	}()
	defer func() { err = errors.Join(err, s.fleet.stop()) }()
	if err := s.fleet.start(ctx); err != nil {
		return err
	}

	working, stopWork := context.WithCancelCause(ctx)
	defer stopWork(nil)
	work := make(chan error, 1)
	go func() { work <- h.run(working) }()
	err = e.last(ctx, s, h, out, each)
	stopWork(errOver)
	if werr := <-work; !errors.Is(werr, errOver) {
		err = errors.Join(err, werr)
	}
	if err != nil {
		return err
	}
	return e.end(ctx, s, out)
}

// last lets the run last: the copy, and then minute after minute.
func (e Endurance) last(ctx context.Context, s *scenario, h *hardship, out *Endured, each func(Endured)) error {
	if err := s.act(ctx, Copying); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	for began := time.Now(); time.Since(began) < e.For; {
		for minute := time.Now(); time.Since(minute) < time.Minute; {
			if err := s.fleet.up(ctx); err != nil {
				return err
			}
			if sync, _ := s.fleet.node().State(); sync.Hold != "" {
				return fmt.Errorf("the sync paused by itself: %s", sync.Hold)
			} else if g := sync.Leg.ResumePoint(); !g.IsZero() {
				s.last = sync
				lag := time.Duration(int64(s.sides[Source].cluster.ClusterTime().T)-int64(g.T)) * time.Second
				out.MaxLag = max(out.MaxLag, lag)
			}
			if err := mongoconn.Sleep(ctx, time.Second); err != nil {
				return err
			}
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		out.HeapMiB = append(out.HeapMiB, int(m.HeapAlloc>>20))
		out.Virtual = time.Since(s.trace.began)
		h.tell(out)
		so := *out
		so.Passed = len(s.bad.all()) == 0
		each(so)
	}
	return nil
}

// end lets everything settle, compares the clusters and commits.
func (e Endurance) end(ctx context.Context, s *scenario, out *Endured) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	checked, err := rehearse.Check(ctx, s.operators[Source], s.operators[Destination])
	if err != nil {
		return err
	}
	out.Documents = checked.Documents
	for _, d := range checked.Differences {
		// Indexes take their final form in the commit.
		if !isIndex(d) {
			s.bad.add("the clusters differ: %s", d)
		}
	}
	if err := s.act(ctx, Committing); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if checked, err = rehearse.Check(ctx, s.operators[Source], s.operators[Destination]); err != nil {
		return err
	}
	for _, d := range checked.Differences {
		s.bad.add("after the commit the clusters differ: %s", d)
	}
	return nil
}

// connect connects the applications and the observers of both clusters.
func (s *scenario) connect(stage *rehearse.Stage) (closeAll func(context.Context), err error) {
	var open []*mongo.Client
	closeAll = func(ctx context.Context) {
		for _, c := range open {
			disconnect(ctx, c)
		}
	}
	for i, c := range []*mongotest.Cluster{stage.Source, stage.Destination} {
		if s.crowd.clients[i], err = rehearse.App(c); err != nil {
			return closeAll, err
		}
		open = append(open, s.crowd.clients[i])
		cfg := rehearse.Operator(c)
		cfg.AppName = "observer"
		if s.operators[i], err = mongoconn.Connect(cfg); err != nil {
			return closeAll, err
		}
		open = append(open, s.operators[i])
	}
	return closeAll, nil
}
