package chaos

import (
	"context"
	"errors"
	"time"

	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
)

// notice is how long after a fault a primary may go on that does not know yet that
// it has been deposed.
const notice = electionTimeout / 4

// disturb carries out a fault that the cluster does by itself, and returns when it
// is over and everybody has noticed.
func (w *weather) disturb(ctx context.Context, f Fault) error {
	id, err := w.cluster.Disturb(ctx, w.disturbance(f), 0)
	if errors.Is(err, mongotest.ErrNoPrimary) || errors.Is(err, mongotest.ErrLastsAlready) {
		return nil // another fault has it
	}
	if err != nil {
		return err
	}
	err = mongoconn.Sleep(ctx, f.For)
	return errors.Join(err, w.cluster.EndDisturbance(context.WithoutCancel(ctx), id), mongoconn.Sleep(ctx, notice))
}

func (w *weather) disturbance(f Fault) mongotest.Disturbance {
	shard := w.cluster.Shards()[f.Shard]
	switch f.Kind {
	case Divide:
		return mongotest.Partition{From: shard + "/primary", To: shard + "/secondaries"}
	case Sever:
		return mongotest.Partition{From: mongotest.Routers, To: shard, Silent: f.Odds > 0.5}
	case HoldMajority:
		return mongotest.FrozenMajority{Shard: shard}
	case FillDisk:
		return mongotest.DiskFull{Process: shard + "/primary"}
	default: // Skew
		by := time.Duration((f.Odds - 0.5) * float64(2*time.Minute))
		return mongotest.ClockSkew{Process: shard, By: by}
	}
}
