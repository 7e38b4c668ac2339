package chaos

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/rehearse"
	"github.com/shardferry/shardferry/mongotest"
)

// blockedLimit is how long applications may find no cluster that takes writes:
// a commit that is given up at the end of its budget, and what the longest
// faults add to its last steps.
const blockedLimit = commitBudget + time.Minute

// failoverLimit is how long it takes at most, beyond a commit's budget, until another
// node has gone on in place of one that is lost.
const failoverLimit = 15 * time.Second

// settle waits until everything that the applications wrote is applied. They
// have stopped, and so have the faults.
func (s *scenario) settle(ctx context.Context) error {
	began := time.Now()
	for _, side := range s.sides {
		if err := noneUndecided(ctx, side.cluster); err != nil {
			return err
		}
	}
	var end shardferry.ClusterTime
	for {
		if err := s.fleet.up(ctx); err != nil {
			return err
		}
		select {
		case <-s.fleet.node().Ready():
			sync, _ := s.fleet.node().State()
			s.last = sync
			if sync.State == shardferry.StatePaused {
				return fmt.Errorf("the sync paused by itself: %s", sync.Hold)
			}
			if end.IsZero() {
				end = s.sides[from(sync)].cluster.ClusterTime()
			}
			if !sync.Leg.ResumePoint().Before(end) && sync.Leg.Barrier == nil && sync.Leg.NextSchemaChange() == nil && sync.Leg.Phase == state.PhaseStreaming {
				return nil
			}
		default:
		}
		if time.Since(began) > stageLimit {
			return fmt.Errorf("%w: all is calm since %v, but %s", errStuck, stageLimit, describe(s.last))
		}
		if err := mongoconn.Sleep(ctx, tick); err != nil {
			return err
		}
	}
}

// noneUndecided waits until no shard coordinates a transaction any more. One whose
// client has given up may be committed long after the applications have stopped,
// and one shard after the other.
func noneUndecided(ctx context.Context, c *mongotest.Cluster) error {
	for _, shard := range c.Shards() {
		addr, err := c.Addr(shard)
		if err != nil {
			return err
		}
		cl, err := mongo.Connect(options.Client().SetHosts([]string{addr}).SetDirect(true).SetDialer(c.Dialer()).
			SetAuth(options.Credential{Username: rehearse.OperatorName, Password: rehearse.Password, AuthSource: "admin"}))
		if err != nil {
			return fmt.Errorf("connect to %s: %w", shard, err)
		}
		defer disconnect(ctx, cl)
		for began := time.Now(); ; {
			n, err := cl.Database("config").Collection("transaction_coordinators").CountDocuments(ctx, bson.D{})
			if err != nil {
				return fmt.Errorf("the transactions that %s coordinates: %w", shard, err)
			}
			if n == 0 {
				break
			}
			if time.Since(began) > stageLimit {
				return fmt.Errorf("%w: %s has coordinated %d transactions since %v", errStuck, shard, n, stageLimit)
			}
			if err := mongoconn.Sleep(ctx, tick); err != nil {
				return err
			}
		}
	}
	return nil
}

// from returns which side a leg reads from.
func from(s *state.Sync) Side {
	if s.Leg.Direction == state.Reverse {
		return Destination
	}
	return Source
}

// judge checks what must hold at the end.
func (s *scenario) judge(ctx context.Context) (documents int64, err error) {
	if s.spoil != nil && s.plan.Ending == Stay {
		if err := s.spoil(ctx, s); err != nil {
			return 0, err
		}
	}
	checked, err := rehearse.Check(ctx, s.operators[Source], s.operators[Destination])
	if err != nil {
		return 0, err
	}
	for _, d := range checked.Differences {
		s.bad.add("the clusters differ: %s", d)
	}
	for side, c := range s.operators {
		docs, err := readAll(ctx, c)
		if err != nil {
			return 0, err
		}
		for _, wrong := range s.crowd.ledger.check(docs, reading{}) {
			s.bad.add("the %v does not hold what was acknowledged: %s", Side(side), wrong)
		}
	}
	s.judgeWriters(ctx)
	return checked.Documents, nil
}

// judgeWriters checks that at every moment one cluster, and only one, was the
// one to write to.
func (s *scenario) judgeWriters(ctx context.Context) {
	owner, commits := Source, 0
	switch s.plan.Ending {
	case Commit:
		owner, commits = Destination, 1
	case Rollback:
		commits = 2
	case Stay:
	}
	_, _, switches, blocked := s.crowd.counts()
	// Between a commit and a rollback there may have been no write at all.
	if switches > commits || (commits-switches)%2 != 0 {
		s.bad.add("applications' writes changed from one cluster to the other %d times in %d commits", switches, commits)
	}
	limit := blockedLimit
	if s.plan.Nodes > 1 {
		limit = commitBudget + failoverLimit
	}
	if blocked > limit {
		s.bad.add("for %v no cluster took writes", blocked)
	}
	for side, c := range s.crowd.clients {
		_, err := c.Database("harbour").Collection("last").InsertOne(ctx, bson.D{{"_id", 1}})
		switch {
		case Side(side) == owner && err != nil:
			s.bad.add("at the end the %v takes no writes: %v", owner, err)
		case Side(side) != owner && !mongoconn.IsCode(err, mongoconn.CodeUserWritesBlocked):
			s.bad.add("at the end the %v should be write-blocked, but: %v", Side(side), err)
		}
	}
}
