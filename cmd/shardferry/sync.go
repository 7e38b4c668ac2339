package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/node"
)

func syncCommand() *cli.Command {
	return &cli.Command{
		Name:  "sync",
		Usage: "run one node that copies the source and stays in step with it",
		UsageText: `shardferry sync --source mongodb://a:27017 --destination mongodb://b:27017
   SHARDFERRY_SOURCE=... SHARDFERRY_DESTINATION=... shardferry sync --commit

   Give the same command again to continue after a stop or a crash.`,
		Flags: append(settingsFlags(),
			&cli.BoolFlag{Name: "commit", Usage: "commit by itself once the lag is small, and end"},
			&cli.BoolFlag{Name: "stay", Usage: "with --commit: do not end after the commit, but keep the old source current"},
			&cli.BoolFlag{Name: "wait", Usage: "do not start by itself: wait for shardferry start"},
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object a line"},
			&cli.DurationFlag{Name: "interval", Usage: "time between two lines of progress", Value: 5 * time.Second},
		),
		Action: func(c *cli.Context) error {
			s, err := readSettings(c)
			if err != nil {
				return err
			}
			if c.Duration("interval") <= 0 {
				return usage("--interval %v: want a positive duration", c.Duration("interval"))
			}
			job := syncJob{
				settings: s, commit: c.Bool("commit"), stay: c.Bool("stay"), wait: c.Bool("wait"),
				show: newDisplay(os.Stdout, c.Bool("json"), c.Duration("interval")),
			}
			if job.log, err = newLogger(os.Stderr, s.LogLevel, c.Bool("json")); err != nil {
				return err
			}
			return job.run(c.Context)
		},
	}
}

// A syncJob is one run of the sync command.
type syncJob struct {
	settings settings
	commit   bool
	stay     bool
	wait     bool
	show     *display
	log      *slog.Logger
}

// errDone ends a run that has reached what it was asked for.
var errDone = errors.New("done")

func (j *syncJob) run(ctx context.Context) error {
	n, err := node.New(node.Config{
		DataDir:      j.settings.DataDir,
		Source:       mongoconn.Config{URI: j.settings.Source},
		Destination:  mongoconn.Config{URI: j.settings.Destination},
		CommitBudget: j.settings.CommitBudget,
		Lanes:        j.settings.Lanes,
		Copiers:      j.settings.Copiers,
		Logger:       j.log,
	})
	if err != nil {
		return usage("%w", err)
	}
	// The port is taken first: if it is in use nothing has happened yet.
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", j.settings.APIAddr)
	if err != nil {
		return exitError{code: exitFailed, error: fmt.Errorf("--api-addr %s: %w (nothing was changed; is another shardferry running?)", j.settings.APIAddr, err)}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.Run(gctx) })
	g.Go(func() error { return api.NewServer(n, j.log).Run(gctx, l) })
	g.Go(func() error { return j.drive(gctx, n) })
	err = g.Wait()
	switch {
	case errors.Is(err, errDone):
		return nil
	case errors.Is(context.Cause(ctx), errInterrupted):
		j.show.text("stopped; everything is kept in %s: give the same command again to continue", j.settings.DataDir)
		return nil
	}
	return err
}

// drive starts the sync or finds that it goes on, shows how it does, and ends
// the run when it has got there.
func (j *syncJob) drive(ctx context.Context, n *node.Node) error {
	select {
	case <-n.Ready():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	j.log.LogAttrs(ctx, slog.LevelInfo, "ready", slog.String("api", j.settings.APIAddr))
	if r, ok := n.Resumed(); ok {
		j.show.resumed(r)
	} else if !j.wait {
		reversible := !j.settings.Irreversible
		req := api.StartRequest{Source: "cluster0", Destination: "cluster1", Reversible: &reversible}
		if err := n.Start(ctx, req, "sync"); err != nil {
			return err
		}
		j.show.event("started", "started: %s to %s, state in %s", mongoconn.Redact(j.settings.Source), mongoconn.Redact(j.settings.Destination), j.settings.DataDir)
	}
	return j.follow(ctx, n)
}

func (j *syncJob) follow(ctx context.Context, n *node.Node) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		p, err := n.Progress(ctx)
		if err != nil {
			return err
		}
		j.show.progress(p)
		if done, err := j.decide(ctx, n, p); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// smallLag is the lag in seconds at which --commit commits.
const smallLag = 2

// decide does what --commit asks for. It returns errDone once the commit has
// ended well.
func (j *syncJob) decide(ctx context.Context, n *node.Node, p api.Progress) (bool, error) {
	if !j.commit {
		return false, nil
	}
	switch {
	case p.State == shardferry.StateCommitted:
		j.show.committed(p)
		j.commit = false
		if j.stay && p.Detail.Reversible {
			return false, nil
		}
		return true, errDone
	case p.State == shardferry.StatePaused && p.Detail.Hold != "":
		return true, fmt.Errorf("paused by itself: %s (everything is kept in %s: mend it, then run the same command and shardferry resume)", p.Detail.Hold, j.settings.DataDir)
	case p.CanCommit && p.LagTimeSeconds != nil && *p.LagTimeSeconds <= smallLag:
		if c := p.Detail.Commit; c != nil && c.Failure != "" && !c.InProgress {
			return true, fmt.Errorf("the commit was given up and the source takes writes again: %s (everything is kept in %s)", c.Failure, j.settings.DataDir)
		}
		err := n.Commit(ctx, "sync --commit")
		if err != nil && !errors.Is(err, api.ErrNotYet) {
			return true, err
		}
	}
	return false, nil
}
