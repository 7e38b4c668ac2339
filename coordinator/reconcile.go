package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// A Reconciler compares the replicated state with the clusters, does what is
// missing, and returns the commands that record it. Only the leader calls it,
// each from one goroutine of its own. It may be interrupted and called again at
// any point, on this node or another, so every step it takes must be repeatable.
//
// No command and no error means that there is nothing to do until the state
// changes or some time has passed.
type Reconciler interface {
	Name() string
	Reconcile(ctx context.Context, s *state.Sync) ([]state.Command, error)
}

// An Idler is a Reconciler that looks more often than others although nothing was
// recorded.
type Idler interface {
	Idle() time.Duration
}

// IdleOf returns how often a reconciler looks although nothing was recorded.
func IdleOf(r Reconciler) time.Duration {
	if i, ok := r.(Idler); ok {
		return i.Idle()
	}
	return idle
}

// reconcile calls r whenever the state changes, until ctx ends.
func (c *Coordinator) reconcile(ctx context.Context, r Reconciler) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, 5*time.Second
	patience := c.cfg.Patience()
	defer c.waits.end(r.Name())
	for {
		s, changed := c.Watch()
		cmds, err := r.Reconcile(ctx, s)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		refused := c.record(ctx, r, cmds) // what was done is recorded even if a later step failed
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		wait, onChange := IdleOf(r), changed
		enough := giveUp(patience, err)
		switch {
		case err == nil && refused == nil:
			pause.Reset()
			patience.Progress()
			c.waits.end(r.Name())
			if len(cmds) > 0 {
				continue
			}
		case enough == nil:
			// A command that is refused says that the state has moved on; lost
			// leadership ends ctx. Either way the answer is to look again.
			wait, onChange = pause.NextBackOff(), nil
			if err != nil {
				c.waits.because(r.Name(), err)
			}
			c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "trying again", slog.String("step", r.Name()),
				slog.Any("error", errors.Join(err, refused)), slog.Duration("pause", wait))
		default:
			c.cfg.Logger.LogAttrs(ctx, slog.LevelError, "cannot go on", slog.String("step", r.Name()), slog.Any("error", enough))
			patience.Progress() // whoever lets it go on has mended something
			if herr := c.hold(ctx, s, fmt.Errorf("%s: %w", r.Name(), enough)); herr != nil {
				c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "pausing failed", slog.Any("error", herr))
			}
			wait, onChange = pause.NextBackOff(), nil
		}
		if err := waitFor(ctx, onChange, wait); err != nil {
			return err
		}
	}
}

// giveUp returns the error after which a reconciler should not go on, nil if
// there is none.
func giveUp(p Patience, err error) error {
	if err == nil || errors.Is(err, shardferry.ErrOutcomeUnknown) || errors.Is(err, shardferry.ErrStaleEpoch) || errors.Is(err, shardferry.ErrNotLeader) {
		return nil
	}
	return p.Again(err)
}

// describe names a command for the log.
func describe(cmd state.Command) string {
	if a, ok := cmd.(state.Advance); ok {
		return "advance to " + string(a.To)
	}
	return strings.ToLower(reflect.TypeOf(cmd).Name())
}

// record proposes commands one after the other, up to the first that fails.
func (c *Coordinator) record(ctx context.Context, r Reconciler, cmds []state.Command) error {
	for _, cmd := range cmds {
		shardferry.Reached(ctx, shardferry.Done(r.Name(), describe(cmd)))
		if err := c.decide(ctx, cmd); err != nil {
			return err
		}
		shardferry.Reached(ctx, shardferry.Recorded(r.Name(), describe(cmd)))
		c.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "recorded", slog.String("step", r.Name()), slog.String("command", describe(cmd)))
	}
	return nil
}

// hold stops a sync that cannot go on by itself: a commit is given up, a running
// sync pauses. In the other states there is nothing to stop.
func (c *Coordinator) hold(ctx context.Context, s *state.Sync, why error) error {
	switch s.State {
	case shardferry.StateCommitting:
		return c.decide(ctx, state.Abort{Leg: s.Leg.Number, Reason: why.Error()})
	case shardferry.StateRunning:
		return c.decide(ctx, state.Pause{At: time.Now(), From: "coordinator", Hold: why.Error()})
	case shardferry.StateIdle, shardferry.StatePaused, shardferry.StateCommitted, shardferry.StateReversing:
	}
	return nil
}

func waitFor(ctx context.Context, changed <-chan struct{}, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-changed:
		return nil
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
