package rehearse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/node"
)

// Demo is the whole story: a live cluster moves, the application goes on at its
// new home, and comes back.
type Demo struct {
	Docs         int
	SourceShards int
	DestShards   int
	Seed         uint64
	Rate         int           // operations a second of the applications
	Linger       time.Duration // how long the applications write between the steps
	DataDir      string
	Logger       *slog.Logger
	Say          func(event, format string, args ...any) // reports each step; never nil
}

// Result is what a demo measured.
type Result struct {
	Documents   int64   // compared after the commit
	Bytes       int64   // of these documents
	Events      int64   // change events applied, forward and back
	Writes      int64   // operations that applications had acknowledged
	Repairs     int64   // documents read again from the source
	Seconds     float64 // from the start of the sync to the end
	Copy        float64 // seconds until the commit was possible
	CutoverMS   int64   // how long applications could not write at the commit
	RollbackMS  int64   // the same at the rollback
	LagP50MS    int64
	LagP99MS    int64
	Verified    bool // after the commit nothing differed
	RolledBack  bool // after the rollback nothing differed
	Differences []string
}

// ErrDifferent reports a demo in which the clusters were not equal.
var ErrDifferent = errors.New("the clusters differ")

var errFinished = errors.New("the demo has ended")

// Run plays the story. It returns what it measured also when it fails.
func (d *Demo) Run(ctx context.Context) (Result, error) {
	var res Result
	stage, err := NewStage(StageOptions{SourceShards: d.SourceShards, DestinationShards: d.DestShards, Logger: d.Logger})
	if err != nil {
		return res, err
	}
	return res, stage.Play(ctx, func(ctx context.Context) error { return d.play(ctx, stage, &res) })
}

// play connects the actors and runs them beside the plot.
func (d *Demo) play(ctx context.Context, stage *Stage, res *Result) error {
	src, err := App(stage.Source)
	if err != nil {
		return err
	}
	defer disconnect(ctx, src)
	dst, err := App(stage.Destination)
	if err != nil {
		return err
	}
	defer disconnect(ctx, dst)

	began := time.Now()
	n, err := Load(ctx, src, stage.Source.Shards(), d.Docs, d.Seed)
	if err != nil {
		return err
	}
	d.Say("loaded", "loaded %d documents into %d source shards in %.1f s", n, d.SourceShards, time.Since(began).Seconds())

	boat, err := node.New(node.Config{
		DataDir: d.DataDir, Source: Operator(stage.Source), Destination: Operator(stage.Destination), Logger: d.Logger,
	})
	if err != nil {
		return err
	}
	work := &Workload{Rate: d.Rate, Schema: 700 * time.Millisecond, Seed: d.Seed, Logger: d.Logger}
	work.SetClusters(src, dst)
	plot := plot{Demo: d, node: boat, work: work, pulse: &Heartbeat{}, src: src, dst: dst, res: res}

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return boat.Run(gctx) })
	g.Go(func() error {
		if err := plot.run(gctx); err != nil {
			return err
		}
		return errFinished
	})
	if err := g.Wait(); !errors.Is(err, errFinished) {
		return err
	}
	return nil
}

func disconnect(ctx context.Context, c *mongo.Client) {
	_ = mongoconn.Disconnect(ctx, c, 5*time.Second) // the cluster goes away with it
}

// waitFor polls the node until the condition holds. It fails if the sync stops
// by itself.
func waitFor(ctx context.Context, n *node.Node, what string, holds func(api.Progress) bool) (api.Progress, error) {
	for {
		p, err := n.Progress(ctx)
		if err != nil {
			return p, err
		}
		if holds(p) {
			return p, nil
		}
		if p.State == shardferry.StatePaused {
			return p, fmt.Errorf("while waiting for %s the sync paused: %s", what, p.Detail.Hold)
		}
		if c := p.Detail.Commit; c != nil && c.Failure != "" {
			return p, fmt.Errorf("while waiting for %s the commit was given up: %s", what, c.Failure)
		}
		if err := mongoconn.Sleep(ctx, 20*time.Millisecond); err != nil {
			return p, fmt.Errorf("wait for %s: %w", what, err)
		}
	}
}
