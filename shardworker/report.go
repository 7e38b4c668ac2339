package shardworker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// soon is the pause between reports while copy tasks progress.
const soon = 100 * time.Millisecond

// A reporter sends reports, one at a time: at once when the worker stands still
// at a barrier or at a schema change, soon after copy tasks have progressed, and
// otherwise at its interval. What changes meanwhile is in the next report.
type reporter struct {
	to         Reporter
	ledger     *ledger
	tasks      *taskBoard
	lease      *lease
	interval   time.Duration
	log        *slog.Logger
	progressed chan struct{} // has a token when a task has progressed
	waits      *mongoconn.Waits
	held       accounts
}

// run reports until ctx ends or the worker has been replaced.
func (r *reporter) run(ctx context.Context) error {
	var failing error
	for {
		start := time.Now()
		rep := r.ledger.report()
		rep.Tasks = r.tasks.news()
		rep.Waiting = r.waits.Longest()
		rep.Held = r.held.holds()
		shardferry.Reached(ctx, shardferry.ReportToBeSent)
		err := r.to.Report(ctx, rep)
		if err == nil {
			shardferry.Reached(ctx, shardferry.ReportRecorded)
		}
		switch {
		case errors.Is(err, shardferry.ErrStaleEpoch):
			return fmt.Errorf("report: %w", err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			r.lease.extend(start)
			r.tasks.taken(rep.Tasks)
		case failing == nil:
			r.log.LogAttrs(ctx, slog.LevelWarn, "a report was not taken", slog.Any("error", err))
		}
		failing = err
		if err := r.wait(ctx, start); err != nil {
			return err
		}
	}
}

// wait returns when the next report is due.
func (r *reporter) wait(ctx context.Context, last time.Time) error {
	due := time.NewTimer(time.Until(last.Add(r.interval)))
	defer due.Stop()
	early := time.NewTimer(time.Until(last.Add(min(soon, r.interval))))
	defer early.Stop()
	urgent, progressed := r.ledger.urgent, r.progressed
	var enough <-chan time.Time
	for {
		select {
		case <-due.C:
			return nil
		case <-urgent:
			return nil
		case <-progressed:
			progressed, enough = nil, early.C
		case <-enough:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// progress asks for a report soon. Copiers call it.
func (r *reporter) progress() {
	select {
	case r.progressed <- struct{}{}:
	default: // one is asked for already
	}
}

// last sends what is known when the worker stops, so that less is done again.
func (r *reporter) last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	rep := r.ledger.report()
	rep.Ready = 0
	rep.Tasks = r.tasks.news()
	if err := r.to.Report(ctx, rep); err != nil {
		r.log.LogAttrs(ctx, slog.LevelInfo, "the last report was not taken", slog.Any("error", err))
	}
}
