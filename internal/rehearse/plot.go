package rehearse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/node"
)

// plot is the order of events of a demo.
type plot struct {
	*Demo
	node  *node.Node
	work  *Workload
	pulse *Heartbeat
	src   *mongo.Client
	dst   *mongo.Client
	res   *Result
}

func (p *plot) run(ctx context.Context) error {
	began := time.Now()
	stopWork := beside(ctx, p.work.Run)
	stopPulse := beside(ctx, func(ctx context.Context) error { return p.pulse.Run(ctx, p.src, p.dst) })
	if err := p.forward(ctx, began); err != nil {
		return errors.Join(err, stopPulse(), stopWork())
	}
	if err := stopPulse(); err != nil {
		return errors.Join(err, stopWork())
	}
	if err := p.back(ctx); err != nil {
		return errors.Join(err, stopWork())
	}
	if err := stopWork(); err != nil {
		return err
	}
	p.res.Seconds = time.Since(began).Seconds()
	return p.last(ctx)
}

// beside runs an actor until the returned function is called, which waits for
// its end and returns what went wrong.
func beside(ctx context.Context, actor func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan error, 1)
	go func() { done <- actor(ctx) }()
	return func() error {
		cancel(errFinished)
		if err := <-done; !errors.Is(err, errFinished) {
			return err
		}
		return nil
	}
}

func (p *plot) forward(ctx context.Context, began time.Time) error {
	if err := p.node.Start(ctx, api.StartRequest{Source: "cluster0", Destination: "cluster1"}, "demo"); err != nil {
		return err
	}
	ready, err := waitFor(ctx, p.node, "the copy", func(pr api.Progress) bool { return pr.CanCommit })
	if err != nil {
		return err
	}
	p.res.Copy = time.Since(began).Seconds()
	p.Say("copied", "copied %d documents (%d bytes) in %.1f s beside %d change events", ready.Detail.DocumentsCopied, ready.CollectionCopy.Copied, p.res.Copy, ready.TotalEvents)
	if err := mongoconn.Sleep(ctx, p.Linger); err != nil {
		return err
	}
	if err := p.commit(ctx); err != nil {
		return err
	}
	done, err := waitFor(ctx, p.node, "the commit", func(pr api.Progress) bool { return pr.CanWrite })
	if err != nil {
		return err
	}
	if p.res.CutoverMS, err = p.outage(ctx); err != nil {
		return err
	}
	p.res.Documents, p.res.Verified = done.Detail.Commit.Documents, done.Detail.Commit.Differences == 0
	p.Say("committed", "committed: %d documents verified, applications could not write for %d ms", p.res.Documents, p.res.CutoverMS)
	return nil
}

// commit asks for a commit until it is accepted: a schema change of the
// workload may stand in the way for a moment.
func (p *plot) commit(ctx context.Context) error {
	for {
		err := p.node.Commit(ctx, "demo")
		if err == nil || !errors.Is(err, api.ErrNotYet) {
			return err
		}
		if err := mongoconn.Sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// outage waits until the applications write again and returns for how long they
// could not. What is acknowledged may be deletes of nothing, which no write block
// stops.
func (p *plot) outage(ctx context.Context) (int64, error) {
	for writes := p.work.Writes(); p.work.Writes() < writes+5 || p.work.Refused(); {
		if err := mongoconn.Sleep(ctx, 5*time.Millisecond); err != nil {
			return 0, fmt.Errorf("wait for the applications to write again: %w", err)
		}
	}
	return p.work.LastOutage().Milliseconds(), nil
}

func (p *plot) back(ctx context.Context) error {
	before := p.work.Writes()
	if err := mongoconn.Sleep(ctx, p.Linger); err != nil {
		return err
	}
	p.Say("living", "applications wrote %d operations at the destination; the old source follows", p.work.Writes()-before)
	if err := p.node.Rollback(ctx, "demo"); err != nil {
		return err
	}
	_, err := waitFor(ctx, p.node, "the rollback", func(pr api.Progress) bool {
		return pr.State == shardferry.StateCommitted && pr.Detail.Direction == "forward"
	})
	if err != nil {
		return err
	}
	if p.res.RollbackMS, err = p.outage(ctx); err != nil {
		return err
	}
	p.Say("rolled back", "rolled back: applications are at the old source again, they could not write for %d ms", p.res.RollbackMS)
	return mongoconn.Sleep(ctx, p.Linger)
}

// last waits until the destination has followed once more and compares every
// document by other means than the product's own.
func (p *plot) last(ctx context.Context) error {
	target, err := mongoconn.Note(ctx, p.src, "demo")
	if err != nil {
		return err
	}
	end, err := waitFor(ctx, p.node, "the last events", func(pr api.Progress) bool {
		return !shardferry.ClusterTime(pr.Detail.ResumePoint).Before(target)
	})
	if err != nil {
		return err
	}
	p.res.Events, p.res.Repairs, p.res.Writes = end.TotalEvents, end.Detail.Repairs, p.work.Writes()
	checked, err := Check(ctx, p.src, p.dst)
	if err != nil {
		return err
	}
	p.res.Bytes, p.res.Differences = checked.Bytes, checked.Differences
	p.res.RolledBack = len(checked.Differences) == 0
	if lag, ok := p.pulse.Percentile(50); ok {
		p.res.LagP50MS = lag.Milliseconds()
	}
	if lag, ok := p.pulse.Percentile(99); ok {
		p.res.LagP99MS = lag.Milliseconds()
	}
	if !p.res.Verified || !p.res.RolledBack {
		return fmt.Errorf("%w: %v", ErrDifferent, checked.Differences)
	}
	p.Say("checked", "checked %d documents on both clusters: no difference", checked.Documents)
	return nil
}
