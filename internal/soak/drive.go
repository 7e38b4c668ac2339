package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// How a history may end.
const (
	committed = "committed and equal"
	held      = "paused, as the limits say"
	givenUp   = "commit given up for differences, as the limits say"
)

// stalled is what may become of a change that docs/LIMITS.md has as not watched
// for: no commit, at least.
const stalled = "stands still, without a commit"

var endings = []string{committed, held, givenUp}

// The longest that a phase may take after its last change and fault, and how long
// a step may.
const (
	phaseLimit = 10 * time.Minute
	stepLimit  = 20 * time.Second
)

// differ is in the reason of a commit that found differences.
const differ = "the clusters differ"

const tick = 50 * time.Millisecond

// write makes the changes of one writer in one phase, one after the other.
func (h *history) write(ctx context.Context, phase Phase, writer int) error {
	for _, s := range h.plan.Steps {
		if s.Phase != phase || s.Writer != writer {
			continue
		}
		if err := mongoconn.Sleep(ctx, s.Pause); err != nil {
			return err
		}
		sctx, cancel := context.WithTimeout(ctx, stepLimit)
		err := s.Kind.do(sctx, h.world, rand.New(rand.NewPCG(s.Seed, 5)))
		cancel()
		h.trace("%v, writer %d: %s: %s", phase, writer, s.Kind.name, describeError(err))
		switch {
		case err == nil:
			h.tally.add("change", s.Kind.name)
			if s.Kind.holds != "" && phase > Copying { // else the plan may come after it
				h.mu.Lock()
				h.refused = true
				h.mu.Unlock()
			}
		case errors.Is(err, errNothing):
			h.tally.add("change that was not possible", s.Kind.name)
		case mongoconn.IsCode(err, mongoconn.CodeUserWritesBlocked):
			return nil
		case s.Kind.refused(err):
			h.tally.add("change that the source refused", s.Kind.name)
		case !tolerable(err):
			return fmt.Errorf("%s: %w", s.Kind.name, err)
		default:
			h.tally.add("change that was not possible", s.Kind.name)
		}
	}
	return nil
}

// happen starts the changes and faults of a phase; Wait returns when all are over.
func (h *history) happen(ctx context.Context, phase Phase) (over <-chan error) {
	var g errgroup.Group
	for n := range writers {
		g.Go(func() error { return h.write(ctx, phase, n) })
	}
	for _, f := range h.plan.Faults {
		if f.Phase != phase {
			continue
		}
		g.Go(func() error {
			if err := mongoconn.Sleep(ctx, f.After); err != nil {
				return err
			}
			h.trace("fault: %v", f)
			err := f.Kind.do(ctx, f, h.clusters[f.Side])
			h.trace("over: %v: %v", f, err)
			switch {
			case errors.Is(err, errNothing):
				return nil
			case err != nil:
				return fmt.Errorf("fault %v: %w", f, err)
			}
			h.tally.add("fault", f.Kind.name)
			return nil
		})
	}
	done := make(chan error, 1)
	go func() { done <- g.Wait() }()
	return done
}

// drive does what the operator does, phase after phase, and returns the ending.
func (h *history) drive(ctx context.Context) (string, error) {
	for _, phase := range []Phase{Planning, Copying, Streaming, Committing} {
		h.mu.Lock()
		h.now = phase
		h.mu.Unlock()
		h.trace("phase: %v", phase)
		end, err := h.phase(ctx, phase)
		if err != nil {
			return "", fmt.Errorf("%v: %w", phase, err)
		}
		if end != "" {
			return end, nil
		}
	}
	return "", errors.New("the history has no end")
}

// phase goes through one phase. It ends when its changes and faults are over and
// the sync is where the next one begins, or at the end of the history.
func (h *history) phase(ctx context.Context, phase Phase) (end string, err error) {
	var over <-chan error
	if phase != Planning {
		over = h.happen(ctx, phase)
	}
	defer func() {
		if over != nil {
			err = errors.Join(err, <-over)
		}
	}()
	var last *state.Sync
	began := time.Now()
	calm := began
	for {
		select {
		case m := <-h.died:
			if err := h.revive(ctx, m); err != nil {
				return "", err
			}
			calm = time.Now()
		default:
		}
		if err := h.process.Up(ctx); err != nil {
			return "", err
		}
		select {
		case err := <-over:
			over, calm = nil, time.Now()
			if err != nil {
				return "", err
			}
		case <-h.process.Node().Ready():
			last, _ = h.process.Node().State()
			if phase == Planning && over == nil && !h.world.started.Load() && last.State != shardferry.StateIdle {
				h.world.started.Store(true)
				over = h.happen(ctx, phase)
			}
			if phase == Committing && last.State == shardferry.StateRunning && time.Since(began) < h.plan.Patience {
				break
			}
			reached, end, err := h.proceed(ctx, phase, last)
			if err != nil || end != "" {
				return end, err
			}
			if reached && over == nil && (time.Since(calm) > provokedWithin || !h.awaits(phase)) {
				return "", nil
			}
		default:
		}
		if over == nil && time.Since(calm) > phaseLimit {
			if h.plan.About != nil && h.plan.About.caught {
				return stalled, nil
			}
			return "", fmt.Errorf("it does not come to an end: %s", describe(last))
		}
		if err := mongoconn.Sleep(ctx, tick); err != nil {
			return "", err
		}
	}
}

// proceed gives the command that is due, and reports whether the sync is where
// the phase ends.
func (h *history) proceed(ctx context.Context, phase Phase, sync *state.Sync) (reached bool, end string, err error) {
	n := h.process.Node()
	switch sync.State {
	case shardferry.StatePaused:
		end, err = h.paused(sync)
		return false, end, err
	case shardferry.StateIdle:
		return false, "", h.command(ctx, "start", func(ctx context.Context) error {
			return n.Start(ctx, api.StartRequest{Source: "cluster0", Destination: "cluster1", WithUsers: h.plan.Accounts, Selection: h.plan.Choice.asked}, "soak")
		})
	case shardferry.StateCommitted:
		return false, committed, h.missed()
	case shardferry.StateRunning, shardferry.StateCommitting, shardferry.StateReversing:
	}
	switch phase {
	case Planning:
		return sync.Leg.Phase != state.PhasePlanning && sync.Leg.Phase != state.PhaseCreating, "", nil
	case Copying, Streaming:
		return sync.Leg.Phase == state.PhaseStreaming, "", nil
	case Before, Committing:
	}
	if sync.State != shardferry.StateRunning {
		return false, "", nil
	}
	if c := sync.Last; c != nil {
		caught := h.plan.About != nil && h.plan.About.caught
		switch {
		case caught && (strings.Contains(c.Failure, differ) || strings.Contains(c.Failure, "while it was draining")):
			return false, givenUp, nil
		case !strings.Contains(c.Failure, differ):
			return false, "", h.command(ctx, "commit", func(ctx context.Context) error { return n.Commit(ctx, "soak") })
		}
		return false, "", fmt.Errorf("the commit was given up: %s", c.Failure)
	}
	return false, "", h.command(ctx, "commit", func(ctx context.Context) error { return n.Commit(ctx, "soak") })
}

// paused judges a pause: it must be the one that the history is about.
func (h *history) paused(sync *state.Sync) (end string, err error) {
	if a := h.plan.About; a != nil {
		for _, words := range []string{a.holds, a.mayHold} {
			if words != "" && strings.Contains(sync.Hold, words) {
				return held, nil
			}
		}
	}
	// Such a collection may be dropped before anybody has looked at it.
	if chooses(h.plan) && sync.Leg.Phase == state.PhasePlanning && strings.Contains(sync.Hold, "which the source does not have") {
		return held, nil
	}
	return "", fmt.Errorf("the sync paused by itself: %s", sync.Hold)
}

// missed reports what had to be refused and was not.
func (h *history) missed() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refused {
		return fmt.Errorf("%s is to be refused with %q, but the sync has committed", h.plan.About.name, h.plan.About.holds)
	}
	return nil
}

// command gives the node a command. Refusals that may pass are no errors: the
// command is given again.
func (h *history) command(ctx context.Context, name string, give func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := give(ctx)
	h.trace("%s: %v", name, err)
	var wrong *shardferry.StateError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, api.ErrNotYet), errors.As(err, &wrong), errors.Is(err, shardferry.ErrOutcomeUnknown),
		errors.Is(err, shardferry.ErrNotLeader), mongoconn.Classify(err) == mongoconn.Transient, ctx.Err() != nil:
		return mongoconn.Sleep(context.WithoutCancel(ctx), 200*time.Millisecond)
	}
	return fmt.Errorf("%s: %w", name, err)
}

func describe(s *state.Sync) string {
	if s == nil {
		return "the node was never ready"
	}
	text := fmt.Sprintf("%s %s, resume point %v, hold %q", s.State, s.Leg.Phase, s.Leg.ResumePoint(), s.Hold)
	if b := s.Leg.Barrier; b != nil {
		text += fmt.Sprintf(", barrier %d at %v", b.ID, b.Time)
	}
	for _, sh := range s.Leg.Shards {
		text += fmt.Sprintf("; %s applied %v seen %v", sh.ID, sh.Applied, sh.Seen)
		if sh.Schema != nil {
			text += fmt.Sprintf(" at %s of %v", sh.Schema.Kind, sh.Schema.NS)
		}
	}
	if s.Leg.Cutover != nil {
		text += "; commit " + string(s.Leg.Cutover.Step)
	}
	if s.Last != nil {
		text += "; last commit: " + s.Last.Failure
	}
	return text
}

// logger writes the node's log into the trace.
func (h *history) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(lines{h}, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			return slog.Attr{}
		}
		return a
	}}))
}

type lines struct{ h *history }

// Write implements io.Writer.
func (l lines) Write(b []byte) (int, error) {
	l.h.trace("  %s", strings.TrimSpace(string(b)))
	return len(b), nil
}
