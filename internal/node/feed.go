package node

import (
	"context"
	"sync"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// A feed turns the replicated state into the assignment of one worker.
type feed struct {
	node  *Node
	leg   int
	shard shardferry.ShardID
	epoch uint64
}

// Watch implements shardworker.Assignments. A worker whose leg is over sees an
// epoch that is not its own, and stops.
func (f *feed) Watch() (shardferry.Assignment, <-chan struct{}) {
	s, changed := f.node.coord.Watch()
	sh := shardAt(s, f.shard)
	if s.Leg.Number != f.leg || sh == nil {
		return shardferry.Assignment{Shard: f.shard, Epoch: f.epoch + 1}, changed
	}
	a := shardferry.Assignment{
		Shard:       f.shard,
		Epoch:       sh.Epoch,
		From:        sh.Applied,
		Collections: f.node.catalogue.of(&s.Leg),
		Catalogued:  s.Leg.Catalogued(),
		Barrier:     s.Leg.Barrier,
		Resolved:    sh.Resolved,
		Ownership:   s.Leg.Ownership(),
	}
	if c := s.Leg.Cutover; c != nil {
		a.Until = c.End
	}
	for t := range s.Leg.Tasks.Of(f.shard) {
		if !t.Done {
			a.Tasks = append(a.Tasks, t)
		}
	}
	return a, changed
}

// A catalogue keeps the map of collections that all workers of a node share.
type catalogue struct {
	mu      sync.Mutex
	leg     int
	version int64
	byUUID  map[shardferry.UUID]shardferry.Collection
}

// of returns the collections of a leg by UUID. The map is never changed.
func (c *catalogue) of(leg *state.Leg) map[shardferry.UUID]shardferry.Collection {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byUUID != nil && c.leg == leg.Number && c.version == leg.Catalogue {
		return c.byUUID
	}
	byUUID := make(map[shardferry.UUID]shardferry.Collection, len(leg.Collections))
	for _, coll := range leg.Collections {
		byUUID[coll.UUID] = coll
	}
	c.leg, c.version, c.byUUID = leg.Number, leg.Catalogue, byUUID
	return byUUID
}

// reporter passes a worker's reports on to the coordinator.
type reporter struct {
	node *Node
	leg  int
}

// Report implements shardworker.Reporter.
func (r reporter) Report(ctx context.Context, rep shardferry.Report) error {
	return r.node.reports.Report(ctx, r.leg, rep)
}
