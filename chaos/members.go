package chaos

import (
	"context"
	"errors"
	"time"

	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
)

// electionTimeout is how long the members of a set look for a lost primary: less
// than a real one takes, so that more happens in a run.
const electionTimeout = 2 * time.Second

// members does to the members of a replica set what a fault says, and undoes it.
func (w *weather) members(ctx context.Context, f Fault) (err error) {
	shard := w.cluster.Shards()[f.Shard]
	all, err := w.cluster.Members(shard)
	if err != nil {
		return err
	}
	primary, err := w.cluster.Addr(shard)
	if errors.Is(err, mongotest.ErrNoPrimary) {
		return nil // another fault has it
	}
	if err != nil {
		return err
	}
	if f.Kind == Lag || f.Kind == RollBack {
		for _, addr := range all {
			if addr == primary {
				continue
			}
			if err := w.cluster.StopReplication(addr); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, w.cluster.ResumeReplication(addr)) }()
		}
		if err := mongoconn.Sleep(ctx, f.For); err != nil || f.Kind == Lag {
			return err
		}
	}
	if err := w.cluster.Isolate(ctx, primary); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.cluster.Rejoin(primary)) }()
	return mongoconn.Sleep(ctx, max(f.For, 2*electionTimeout))
}
