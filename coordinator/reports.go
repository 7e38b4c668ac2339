package coordinator

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// Reports makes one command of what the workers of a node report at the same time:
// what comes while a command is on its way is the next one. So the number of commands
// follows the speed of raft and not the number of shards.
type Reports struct {
	propose func(context.Context, state.Command) error

	wake  chan struct{} // holds one: something waits
	ended chan struct{} // closed when Run has returned

	mu      sync.Mutex
	waiting []waitingReport
}

type waitingReport struct {
	leg    int
	report shardferry.Report
	answer chan error // takes one without anybody waiting
}

// NewReports returns Reports that are proposed by propose.
func NewReports(propose func(context.Context, state.Command) error) *Reports {
	return &Reports{propose: propose, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

const (
	reportsOfCommand = 256              // more are another command
	reportLimit      = 30 * time.Second // for one command
)

// Run sends reports until ctx ends. Call it once.
func (r *Reports) Run(ctx context.Context) error {
	defer close(r.ended)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.wake:
		}
		for batch := r.next(); len(batch) > 0; batch = r.next() {
			r.record(ctx, batch)
		}
	}
}

// Report proposes a worker's report, and returns what Propose does. It may be called
// from any goroutine. When Run has returned, it proposes the report by itself.
func (r *Reports) Report(ctx context.Context, leg int, report shardferry.Report) error {
	w := waitingReport{leg: leg, report: report, answer: make(chan error, 1)}
	r.mu.Lock()
	r.waiting = append(r.waiting, w)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
	select {
	case err := <-w.answer:
		return err
	case <-r.ended:
		return r.propose(ctx, state.Report{Leg: leg, Reports: []shardferry.Report{report}})
	case <-ctx.Done():
		return errors.Join(shardferry.ErrOutcomeUnknown, context.Cause(ctx))
	}
}

// next takes what is to be one command, and nothing if nothing waits.
func (r *Reports) next() []waitingReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n < len(r.waiting) && n < reportsOfCommand && r.waiting[n].leg == r.waiting[0].leg {
		n++
	}
	batch := r.waiting[:n:n]
	r.waiting = r.waiting[n:]
	return batch
}

func (r *Reports) record(ctx context.Context, batch []waitingReport) {
	ctx, cancel := context.WithTimeout(ctx, reportLimit)
	defer cancel()
	cmd := state.Report{Leg: batch[0].leg}
	for _, w := range batch {
		cmd.Reports = append(cmd.Reports, w.report)
	}
	err := r.propose(ctx, cmd)
	if err != nil && len(batch) > 1 && !errors.Is(err, shardferry.ErrNotLeader) && !errors.Is(err, shardferry.ErrOutcomeUnknown) {
		// One of them is refused, and the command with it.
		for i := range batch {
			r.record(ctx, batch[i:i+1])
		}
		return
	}
	for _, w := range batch {
		w.answer <- err
	}
}
