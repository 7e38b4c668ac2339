package rehearse

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/mongotest"
)

// Survival is the story of a cluster that moves while the node that leads the move
// is killed again and again. The nodes are processes of their own.
type Survival struct {
	Docs         int
	SourceShards int
	DestShards   int
	Seed         uint64
	Rate         int // operations a second of the applications
	Nodes        int
	KillEvery    time.Duration // from one loss of a leader that is over to the next
	PauseFor     time.Duration // leaders are paused so long instead of killed; 0: they are killed
	DropEvery    time.Duration // from one cut of all connections to the next; 0: none
	Streaming    int           // losses of a leader after the copy, before the commit
	Program      []string      // how to run this program; commands are appended
	Dir          string        // for what the nodes keep; must exist
	Logger       *slog.Logger
	Say          func(event, format string, args ...any) // reports each step; never nil
}

// Survived is what a Survival measured.
type Survived struct {
	Failovers   []Failover
	Drops       int   // how often all connections were cut
	TasksUndone int   // copy tasks that were done and had to be done again
	Documents   int64 // compared after the commit
	Writes      int64 // operations that applications had acknowledged
	CutoverMS   int64 // how long applications could not write at the commit
	Seconds     float64
	Verified    bool // the commit's own comparison, and another one after it
	Differences []string
}

// Run plays the story. It returns what it measured also when it fails.
func (s *Survival) Run(ctx context.Context) (Survived, error) {
	var res Survived
	ports, err := freePorts(ctx, s.SourceShards+s.DestShards+4)
	if err != nil {
		return res, err
	}
	stage, err := NewStage(StageOptions{
		SourceShards: s.SourceShards, DestinationShards: s.DestShards, Logger: s.Logger, SourcePort: ports, DestinationPort: ports + s.SourceShards + 2,
	})
	if err != nil {
		return res, err
	}
	return res, stage.Play(ctx, func(ctx context.Context) error { return s.play(ctx, stage, &res) })
}

func (s *Survival) play(ctx context.Context, stage *Stage, res *Survived) error {
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
	n, err := Load(ctx, src, stage.Source.Shards(), s.Docs, s.Seed)
	if err != nil {
		return err
	}
	s.Say("loaded", "loaded %d documents into %d source shards", n, s.SourceShards)

	watch := newFailoverWatch()
	stage.Destination.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) mongotest.Fault {
		if c.Name == "insert" && c.AppName == OperatorName {
			watch.wrote(c.DB + "." + firstOf(c.Body))
		}
		return mongotest.Fault{}
	}})
	f, err := newFleet(ctx, s.Program, []string{
		"SHARDFERRY_SOURCE=" + OperatorURI(stage.Source), "SHARDFERRY_DESTINATION=" + OperatorURI(stage.Destination),
	}, s.Dir, s.Nodes, s.DropEvery > 0)
	if err != nil {
		return err
	}
	work := &Workload{Rate: s.Rate, Schema: 700 * time.Millisecond, Seed: s.Seed, Logger: s.Logger}
	work.SetClusters(src, dst)
	t := trial{Survival: s, stage: stage, fleet: f, watch: watch, work: work, src: src, dst: dst, res: res}
	stopRelays := beside(ctx, f.relay)
	return errors.Join(t.run(ctx), f.stop(), stopRelays())
}

// trial is a Survival that runs.
type trial struct {
	*Survival
	stage    *Stage
	fleet    *fleet
	watch    *failoverWatch
	work     *Workload
	src, dst *mongo.Client
	res      *Survived
}

func (t *trial) run(ctx context.Context) error {
	if err := t.gather(ctx); err != nil {
		return err
	}
	began := time.Now()
	err := t.fleet.command(ctx, func(ctx context.Context, c *api.Client) error {
		return c.Start(ctx, api.StartRequest{Source: "cluster0", Destination: "cluster1"})
	})
	if err != nil {
		return err
	}
	stopWork := beside(ctx, t.work.Run)
	moving, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	stopKills := beside(ctx, func(until context.Context) error {
		err := t.losses(until, ctx)
		giveUp(err) // what is waited for would never come
		return err
	})
	stopDrops := beside(ctx, t.drops)
	err = t.move(moving)
	err = errors.Join(err, stopKills(), stopDrops(), stopWork())
	t.res.Failovers, t.res.TasksUndone = t.watch.ended()
	t.res.Writes, t.res.Seconds = t.work.Writes(), time.Since(began).Seconds()
	if err != nil {
		return err
	}
	return t.last(ctx)
}
