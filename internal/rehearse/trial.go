package rehearse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// gather starts the nodes and waits until they are one cluster.
func (t *trial) gather(ctx context.Context) error {
	for _, m := range t.fleet.nodes {
		if err := t.fleet.start(ctx, m); err != nil {
			return err
		}
		if m == t.fleet.nodes[0] {
			if err := t.answers(ctx, m, func(ctx context.Context) error { return m.client.ClusterCommand(ctx, "init", api.ClusterRequest{}) }); err != nil {
				return err
			}
		}
		answers := func(ctx context.Context) error {
			_, err := m.progress(ctx)
			return err
		}
		if err := t.answers(ctx, m, answers); err != nil {
			return err
		}
	}
	t.Say("gathered", "%d nodes are one cluster, state in %s", len(t.fleet.nodes), t.Dir)
	return nil
}

// gatherLimit is how long a node may take to be there.
const gatherLimit = 30 * time.Second

// answers waits until a node does what it is asked.
func (t *trial) answers(ctx context.Context, m *member, asked func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, gatherLimit, fmt.Errorf("%s does not answer within %v", m.id, gatherLimit))
	defer cancel()
	for {
		err := asked(ctx)
		if err == nil {
			return nil
		}
		if serr := mongoconn.Sleep(ctx, sampleEvery); serr != nil {
			return fmt.Errorf("%w: %w", serr, err)
		}
	}
}

// sampleEvery is how often the progress is looked at: what a failover cost is known
// no better.
const sampleEvery = 25 * time.Millisecond

// failoverLimit is after how long a failover counts as failed.
const failoverLimit = time.Minute

// losses has the leader lost again and again: killed, and started anew once another
// one leads, or paused for a while. What it starts lives as long as life.
func (t *trial) losses(ctx, life context.Context) error {
	next := time.Now().Add(t.KillEvery)
	var gone, last *member // who is away, and who was before
	var since time.Time
	for {
		p, err := t.fleet.progress(ctx)
		if ctx.Err() != nil {
			return errors.Join(t.wake(gone), context.Cause(ctx))
		}
		if err == nil {
			t.watch.progressed(p, time.Now())
		}
		switch leader := t.fleet.named(p.CoordinatorID); {
		case gone != nil && (err != nil || p.State == shardferry.StateRunning) && time.Since(since) > failoverLimit && !t.watch.over():
			return errors.Join(t.wake(gone), fmt.Errorf("%v after the loss of %s nobody leads, or a shard is still", failoverLimit, gone.id))
		case gone != nil && t.watch.over() && time.Since(since) >= t.PauseFor:
			if err := t.back(life, gone); err != nil {
				return err
			}
			gone, last = nil, gone
		case gone == nil && err == nil && leader != nil && time.Now().After(next) && p.State == shardferry.StateRunning && t.isBack(ctx, last):
			gone, since = leader, time.Now()
			next = since.Add(t.PauseFor + t.KillEvery)
			t.watch.killed(leader.id, p.Detail.Phase, since)
			if err := t.lose(leader, p.Detail.Phase); err != nil {
				return err
			}
		}
		if err := mongoconn.Sleep(ctx, sampleEvery); err != nil {
			return errors.Join(t.wake(gone), err)
		}
	}
}

// drops cuts every connection again and again: between the nodes, and to both
// clusters, also those of the applications.
func (t *trial) drops(ctx context.Context) error {
	if t.DropEvery == 0 {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	for {
		if err := mongoconn.Sleep(ctx, t.DropEvery); err != nil {
			return err
		}
		t.fleet.drop()
		t.res.Drops++
		t.Say("cut", "cut %d connections to the clusters, and all between the nodes", t.stage.Source.KillConnections()+t.stage.Destination.KillConnections())
	}
}

// isBack reports whether a node that was away takes part again: without it the
// others could not do without one more.
func (t *trial) isBack(ctx context.Context, m *member) bool {
	if m == nil {
		return true
	}
	_, err := m.progress(ctx)
	return err == nil
}

// lose takes a node away.
func (t *trial) lose(m *member, phase string) error {
	if t.PauseFor > 0 {
		t.Say("paused", "paused %s for %v, which led (%s)", m.id, t.PauseFor, phase)
		return m.pause(true)
	}
	t.Say("killed", "killed %s, which led (%s)", m.id, phase)
	return m.kill()
}

// wake continues a node that is paused, so that it can be ended.
func (t *trial) wake(m *member) error {
	if m == nil || t.PauseFor == 0 {
		return nil
	}
	return m.pause(false)
}

// back brings a node back that is gone, if there is one.
func (t *trial) back(ctx context.Context, m *member) error {
	switch {
	case m == nil:
		return nil
	case t.PauseFor > 0:
		t.Say("continued", "continued %s", m.id)
		return m.pause(false)
	}
	return t.fleet.start(ctx, m)
}

// until waits until the progress is as it should be.
func (t *trial) until(ctx context.Context, what string, holds func(api.Progress) bool) (api.Progress, error) {
	for {
		p, err := t.fleet.progress(ctx)
		switch {
		case ctx.Err() != nil:
			return p, fmt.Errorf("wait for %s: %w", what, context.Cause(ctx))
		case err != nil: // nobody leads at the moment
		case holds(p):
			return p, nil
		case p.State == shardferry.StatePaused:
			return p, fmt.Errorf("while waiting for %s the sync paused: %s", what, p.Detail.Hold)
		}
		if err := mongoconn.Sleep(ctx, sampleEvery); err != nil {
			return p, fmt.Errorf("wait for %s: %w", what, err)
		}
	}
}

// move copies and commits, however many leaders are lost meanwhile.
func (t *trial) move(ctx context.Context) error {
	p, err := t.until(ctx, "the copy", func(p api.Progress) bool { return p.Detail.Phase == "streaming" })
	if err != nil {
		return err
	}
	copied := t.watch.count()
	t.Say("copied", "copied %d documents, %d leaders lost", p.Detail.DocumentsCopied, copied)
	if _, err := t.until(ctx, "more losses of a leader", func(api.Progress) bool { return t.watch.count() >= copied+t.Streaming && t.watch.over() }); err != nil {
		return err
	}
	// A commit that was given up with its leader, or was not accepted, is asked for again.
	p, err = t.until(ctx, "the commit", func(p api.Progress) bool {
		if p.State == shardferry.StateRunning && p.CanCommit {
			_ = t.fleet.command(ctx, func(ctx context.Context, c *api.Client) error { return c.Command(ctx, "commit") })
		}
		return p.CanWrite
	})
	if err != nil {
		return err
	}
	t.res.Documents, t.res.Verified = p.Detail.Commit.Documents, p.Detail.Commit.Differences == 0
	t.res.CutoverMS = p.Detail.Commit.BlockedMS
	t.Say("committed", "committed: %d documents verified, writes were blocked for %d ms", t.res.Documents, t.res.CutoverMS)
	return nil
}

// last waits until the old source has followed, and compares every document by
// other means than the product's own.
func (t *trial) last(ctx context.Context) error {
	target, err := mongoconn.Note(ctx, t.dst, "demo")
	if err != nil {
		return err
	}
	_, err = t.until(ctx, "the last events", func(p api.Progress) bool {
		return !shardferry.ClusterTime(p.Detail.ResumePoint).Before(target)
	})
	if err != nil {
		return err
	}
	checked, err := Check(ctx, t.src, t.dst)
	if err != nil {
		return err
	}
	t.res.Differences = checked.Differences
	if !t.res.Verified || len(checked.Differences) > 0 || t.res.TasksUndone > 0 {
		t.res.Verified = false
		return fmt.Errorf("%w: %v; %d copy tasks were done again", ErrDifferent, checked.Differences, t.res.TasksUndone)
	}
	t.Say("checked", "checked %d documents on both clusters: no difference", checked.Documents)
	return nil
}

// firstOf names a batch of inserts by its collection and its first document.
func firstOf(insert bson.Raw) string {
	docs, _ := insert.Lookup("documents").ArrayOK()
	first, _ := bson.Raw(docs).Lookup("0").DocumentOK()
	return fmt.Sprintf("%s %x", insert.Lookup("insert"), first.Lookup("_id").Value)
}
