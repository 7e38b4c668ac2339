package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/mortal"
	"github.com/shardferry/shardferry/internal/rehearse"
)

// Run plays the run of one seed in virtual time and returns what it showed. It
// takes a second or so of real time, and is not to be interrupted: what a
// bubble contains cannot be ended from outside.
func Run(seed uint64) Result { return run(NewPlan(seed), nil) }

func run(plan Plan, spoil func(ctx context.Context, s *scenario) error) Result {
	began := time.Now()
	res := Result{Seed: plan.Seed, Plan: plan, Ending: plan.Ending, Faults: len(plan.Faults) + len(plan.NodeFaults), Shards: [2]int{plan.SourceShards, plan.DestShards}}
	// Real files, because a node that dies must find what it had written.
	dir, err := os.MkdirTemp("", "shardferry-chaos-")
	if err == nil {
		err = mortal.Bubble(func(ctx context.Context) error { return inside(ctx, plan, dir, spoil, &res) })
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		res.Violations = append(res.Violations, err.Error())
	}
	res.Passed, res.Real = len(res.Violations) == 0, time.Since(began)
	return res
}

var errOver = errors.New("chaos: the run is over")

// inside runs two clusters and the scenario between them.
func inside(ctx context.Context, plan Plan, dir string, spoil func(context.Context, *scenario) error, res *Result) error {
	t := &trace{began: time.Now()}
	defer func() { res.Trace, res.Virtual = t.all(), time.Since(t.began) }()
	stage, err := rehearse.NewStage(rehearse.StageOptions{
		SourceShards: plan.SourceShards, DestinationShards: plan.DestShards,
		Members: plan.Members, ElectionTimeout: electionTimeout, Logger: t.logger().With("at", "simulator"),
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
		if err := between(gctx, stage, plan, dir, spoil, t, res); err != nil {
			return err
		}
		return errOver
	})
	if err := g.Wait(); !errors.Is(err, errOver) {
		return err
	}
	return nil
}

// between connects everybody, plays the scenario and judges it.
func between(ctx context.Context, stage *rehearse.Stage, plan Plan, dir string, spoil func(context.Context, *scenario) error, t *trace, res *Result) (err error) {
	bad := &violations{trace: t}
	s := &scenario{plan: plan, r: rand.New(rand.NewPCG(plan.Seed, 3)), bad: bad, trace: t, spoil: spoil}
	s.crowd = &crowd{plan: plan, ledger: newLedger(), bad: bad, trace: t}
	closeAll, err := s.connect(stage)
	defer closeAll(ctx)
	if err != nil {
		return err
	}
	if err := prepare(ctx, s.crowd.clients[0], stage.Source.Shards(), plan.SourceShards > 0, plan.Ending != Stay); err != nil {
		return err
	}
	docs, err := load(ctx, s.crowd.clients[0], s.crowd.ledger, s.r, plan.Docs)
	if err != nil {
		return err
	}
	s.sides = newSides(stage, plan)
	s.crowd.sides = s.sides
	s.crew(stage, dir)

	err = s.whole(ctx, docs, res)
	if err != nil {
		t.add("FAILED: %v", err)
	}
	res.Violations = bad.all()
	res.Kills, res.Probes = s.fleet.kills(), s.probes
	res.Nodes = s.fleet.told(plan)
	res.Writes, res.Unknown, res.Commits, res.Blocked = s.crowd.counts()
	return err
}

// whole plays the scenario with the applications beside it, lets everything
// settle, and judges.
func (s *scenario) whole(ctx context.Context, docs []*document, res *Result) (err error) {
	defer func() { err = errors.Join(err, s.fleet.stop()) }()
	if err := s.fleet.start(ctx); err != nil {
		return err
	}
	working, stopWork := context.WithCancelCause(ctx)
	defer stopWork(nil)
	crowd := make(chan error, 1)
	go func() { crowd <- s.crowd.run(working, docs) }()
	s.faults = &errgroup.Group{}
	tending, over := context.WithCancelCause(ctx)
	defer over(nil)
	s.faults.Go(func() error { return s.fleet.tend(tending) })

	err = s.play(ctx)
	over(errOver)
	s.trace.add("the applications stop")
	stopWork(errOver)
	if cerr := <-crowd; !errors.Is(cerr, errOver) {
		err = errors.Join(err, cerr)
	}
	if ferr := s.faults.Wait(); ferr != nil {
		err = errors.Join(err, fmt.Errorf("a fault: %w", ferr))
	}
	if err != nil {
		return err
	}
	s.trace.add("all faults are over")
	if err := s.settle(ctx); err != nil {
		return err
	}
	s.trace.add("settled: %s", describe(s.last))
	res.Documents, err = s.judge(ctx)
	return err
}

func disconnect(ctx context.Context, c *mongo.Client) {
	_ = mongoconn.Disconnect(ctx, c, 10*time.Second) // the cluster goes away with it
}
