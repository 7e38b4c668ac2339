package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/node"
)

func syncCommand() *cli.Command {
	return &cli.Command{
		Name:  "sync",
		Usage: "run one node that copies the source and stays in step with it",
		UsageText: `shardferry sync --source mongodb://a:27017 --destination mongodb://b:27017
   SHARDFERRY_SOURCE=... SHARDFERRY_DESTINATION=... shardferry sync --commit
   shardferry sync --include shop --exclude shop.sessions --rename-database shop=store ...
   shardferry sync --rename-collection shop.orders=shop.bills ...
   shardferry sync --document-filter 'shop.orders={"region":"eu"}' ...

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
			for _, flag := range visiblePasswords(s, os.Args) {
				job.log.Warn("a password on the command line is visible to everyone who can list processes here",
					"flag", "--"+flag, "instead", "--"+flag+"-file, or the variable SHARDFERRY_"+strings.ToUpper(flag))
			}
			return job.run(c.Context)
		},
	}
}

// A syncJob is one run of the sync command.
type syncJob struct {
	settings settings
	commit   bool // commit by itself; false once that is done
	stay     bool
	wait     bool
	show     *display
	log      *slog.Logger

	began bool // this run found or started a sync
	tried bool // this run saw a commit begin
}

// errDone ends a run that has reached what it was asked for.
var errDone = errors.New("done")

func (j *syncJob) run(ctx context.Context) error {
	j.settings.limitMemory()
	n, err := node.New(node.Config{
		DataDir:      j.settings.DataDir,
		Source:       mongoconn.Config{URI: j.settings.Source},
		Destination:  mongoconn.Config{URI: j.settings.Destination},
		CommitBudget: j.settings.CommitBudget,
		GiveUpAfter:  j.settings.GiveUpAfter,
		Memory:       int64(j.settings.MemoryMiB) << 20,
		Lanes:        j.settings.Lanes,
		Copiers:      j.settings.Copiers,
		Logger:       j.log,
	})
	if err != nil {
		return usage("%w", err)
	}
	server, err := j.settings.API.server(n, nil, j.log)
	if err != nil {
		return err
	}
	// The port is taken first: if it is in use nothing has happened yet.
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", j.settings.API.APIAddr)
	if err != nil {
		return fmt.Errorf("--api-addr %s: %w (nothing was changed; if another shardferry is running, give this one another address)", j.settings.API.APIAddr, err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.Run(gctx) })
	g.Go(func() error { return server.Run(gctx, l) })
	g.Go(func() error { return j.drive(gctx, n) })
	return j.outcome(ctx, g.Wait())
}

// outcome turns how a run ended into what is said about it and its exit code.
func (j *syncJob) outcome(ctx context.Context, err error) error {
	kept := fmt.Sprintf("everything is kept in %s: give the same command again to continue", j.settings.DataDir)
	switch {
	case errors.Is(err, errDone):
		return nil
	case errors.Is(context.Cause(ctx), errInterrupted) && j.commit:
		// A script that goes on after --commit must not take this for success.
		return fmt.Errorf("stopped before the commit was done; %s", kept)
	case errors.Is(context.Cause(ctx), errInterrupted):
		j.show.text("stopped; %s", kept)
		return nil
	case errors.Is(err, api.ErrRefused): // it says so itself
		return err
	case errors.Is(err, coordinator.ErrInUse):
		return fmt.Errorf("%w (nothing was changed; stop that one, or give this sync its own --data-dir)", err)
	case !j.began:
		return fmt.Errorf("%w (nothing was changed)", err)
	}
	return fmt.Errorf("%w (%s)", err, kept)
}

// drive starts the sync or finds that it goes on, shows how it does, and ends
// the run when it has got there.
func (j *syncJob) drive(ctx context.Context, n *node.Node) error {
	select {
	case <-n.Ready():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	j.log.LogAttrs(ctx, slog.LevelInfo, "ready", slog.String("api", j.settings.API.APIAddr))
	if r, ok := n.Resumed(); ok {
		if s, _ := n.State(); s.State != shardferry.StateIdle {
			if err := sameSelection(j.settings.Selection, s.Job.Selection); err != nil {
				return err
			}
			if err := sameUsers(j.settings.WithUsers, s.Job.WithUsers); err != nil {
				return err
			}
		}
		j.began = true
		j.show.resumed(r)
		if err := j.takeUp(ctx, n); err != nil {
			return err
		}
	} else if !j.wait {
		reversible := !j.settings.Irreversible
		req := api.StartRequest{Source: "cluster0", Destination: "cluster1", Reversible: &reversible, KeepBalancer: j.settings.KeepBalancer, WithUsers: j.settings.WithUsers, Selection: j.settings.Selection}
		if err := n.Start(ctx, req, "sync"); err != nil {
			return err
		}
		j.began = true
		j.show.event("started", "started: %s to %s, state in %s", mongoconn.Redact(j.settings.Source), mongoconn.Redact(j.settings.Destination), j.settings.DataDir)
	}
	return j.follow(ctx, n)
}

// takeUp decides what giving the same command again means for a sync that an
// earlier run left.
func (j *syncJob) takeUp(ctx context.Context, n *node.Node) error {
	s, _ := n.State()
	switch {
	case s.State == shardferry.StatePaused && s.Hold != "":
		if len(s.Leg.Lost()) > 0 && !s.Recopying {
			j.show.text("it is paused: %s", s.Hold)
			return nil
		}
		j.show.event("tried again", "it had paused by itself: %s; trying again", s.Hold)
		return n.Resume(ctx, "sync")
	case s.State == shardferry.StatePaused:
		j.show.text("it is paused: shardferry resume lets it go on")
	case j.commit && s.Leg.Number > 1 && s.State != shardferry.StateCommitted:
		// The commit that was asked for is made. Going back is another decision.
		j.commit = false
		j.show.text("the commit was made before; --commit does not commit the way back: see shardferry commit and rollback")
	}
	return nil
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
		if err := j.decide(ctx, n, p); err != nil {
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
func (j *syncJob) decide(ctx context.Context, n *node.Node, p api.Progress) error {
	if !j.commit {
		return nil
	}
	switch {
	case p.State == shardferry.StateCommitted:
		j.commit = false
		stays := j.stay && p.Detail.Reversible
		j.show.committed(p, stays)
		if !stays {
			return errDone
		}
	case p.State == shardferry.StateCommitting:
		j.tried = true
	case p.State == shardferry.StatePaused && p.Detail.Hold != "":
		return fmt.Errorf("paused by itself: %s; mend that first", p.Detail.Hold)
	case j.tried && givenUp(p.Detail.Commit):
		return fmt.Errorf("the commit was given up and the source takes writes again: %s", p.Detail.Commit.Failure)
	case p.CanCommit && p.LagTimeSeconds != nil && *p.LagTimeSeconds <= smallLag:
		err := n.Commit(ctx, "sync --commit")
		j.tried = j.tried || err == nil
		return lasting(err)
	}
	return nil
}

func givenUp(c *api.Commit) bool { return c != nil && c.Failure != "" && !c.InProgress }

// lasting returns err unless asking again in a moment is right: a schema change
// came between, or another operator was faster.
func lasting(err error) error {
	var state *shardferry.StateError
	if errors.Is(err, api.ErrNotYet) || errors.As(err, &state) ||
		errors.Is(err, shardferry.ErrNotLeader) || errors.Is(err, shardferry.ErrOutcomeUnknown) {
		return nil
	}
	return err
}
