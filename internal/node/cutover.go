package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/reverse"
	"github.com/shardferry/shardferry/topology"
	"github.com/shardferry/shardferry/verify"
)

// cutover implements coordinator.CutoverClusters.
type cutover struct{ *Node }

// BlockSource implements coordinator.CutoverClusters.
func (c cutover) BlockSource(ctx context.Context, s *state.Sync) error {
	return c.block(ctx, c.ends.from(&s.Leg), true)
}

// UnblockSource implements coordinator.CutoverClusters.
func (c cutover) UnblockSource(ctx context.Context, s *state.Sync) error {
	return c.block(ctx, c.ends.from(&s.Leg), false)
}

// OpenDestination implements coordinator.CutoverClusters.
func (c cutover) OpenDestination(ctx context.Context, s *state.Sync) error {
	c.blocking.Lock()
	defer c.blocking.Unlock()
	return c.block(ctx, c.ends.to(&s.Leg), false)
}

// switchLimit is how long one attempt to switch a write block may take. A leader
// that has stood still since it began one goes on with nothing; and the next leader
// switches none before the time of what its predecessor has sent is over.
const switchLimit = 3 * time.Second

// block switches a cluster's write block, if this node still leads: what a leader
// of the past switches could undo the next one's commit.
func (n *Node) block(ctx context.Context, e *end, blocked bool) error {
	if n.port != nil {
		if err := n.coord.LedFor(ctx, switchLimit); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, switchLimit) // before it is asked who leads
	defer cancel()
	if err := n.coord.StillLeads(ctx); err != nil {
		return err
	}
	if err := mongoconn.SetWriteBlock(ctx, e.client, blocked); err != nil {
		return fmt.Errorf("%s: %w", e.name, err)
	}
	return nil
}

// EndTime implements coordinator.CutoverClusters. No transaction is prepared any
// more, which could commit after it. The second note moves every shard's stream
// past the end time, so that an idle shard reaches it too.
func (c cutover) EndTime(ctx context.Context, s *state.Sync) (shardferry.ClusterTime, error) {
	from := c.ends.from(&s.Leg)
	known, err := mongoconn.AwaitPrepared(ctx, from.client)
	if err != nil {
		return shardferry.ClusterTime{}, fmt.Errorf("%s: %w", from.name, err)
	}
	if !known {
		c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "whether transactions are prepared is not known: our user lacks inprog", slog.String("cluster", from.name))
	}
	end, err := mongoconn.Note(ctx, from.client, "commit")
	if err != nil {
		return end, fmt.Errorf("%s: %w", from.name, err)
	}
	if _, err := mongoconn.Note(ctx, from.client, "commit"); err != nil {
		return end, fmt.Errorf("%s: %w", from.name, err)
	}
	return end, nil
}

// Verify implements coordinator.CutoverClusters.
func (c cutover) Verify(ctx context.Context, s *state.Sync) (state.Verified, error) {
	report, err := c.compare(ctx, s)
	if err != nil {
		return state.Verified{}, err
	}
	uncarried, err := c.uncarried(ctx, s)
	if err != nil {
		return state.Verified{}, err
	}
	v := state.Verified{Documents: report.Documents, Bytes: report.Bytes, Collections: report.Collections, Differences: report.Total + int64(len(uncarried))}
	if v.Differences == 0 {
		return v, nil
	}
	first := "none was listed"
	if len(uncarried) > 0 {
		first = uncarried[0]
	}
	if len(report.Differences) > 0 {
		d := report.Differences[0]
		first = fmt.Sprintf("%s %s: %s %s", d.NS, d.ID, d.Kind, d.Detail)
	}
	return v, fmt.Errorf("%w in %d places, first %s", coordinator.ErrDifferences, v.Differences, first)
}

// compare compares the two clusters of the current leg. Both have been told to
// read no older than now, so that what was applied is seen.
func (n *Node) compare(ctx context.Context, s *state.Sync) (verify.Report, error) {
	from, to := n.ends.from(&s.Leg), n.ends.to(&s.Leg)
	cfg := verify.Config{
		Source:      from.client,
		Destination: to.client,
		Relaxed:     s.Leg.Number == 1,
		Still:       s.State == shardferry.StateCommitting,
		Unsharded:   from.info.Kind != topology.Sharded || to.info.Kind != topology.Sharded,
		Logger:      n.cfg.Logger,
	}
	route, err := routeOf(s)
	if err != nil {
		return verify.Report{}, err
	}
	if cfg.Ignore, err = unselected(s); err != nil {
		return verify.Report{}, err
	}
	if cfg.SourceAfter, err = mongoconn.Note(ctx, from.client, "verify"); err != nil {
		return verify.Report{}, fmt.Errorf("%s: %w", from.name, err)
	}
	if cfg.DestinationAfter, err = mongoconn.Note(ctx, to.client, "verify"); err != nil {
		return verify.Report{}, fmt.Errorf("%s: %w", to.name, err)
	}
	for _, c := range s.Leg.Collections {
		if c.Synced() {
			cfg.Pairs = append(cfg.Pairs, verify.Pair{Source: c.Source, Destination: c.Destination, Filter: route.Filter(c.Source)})
		}
	}
	if cfg.Views, err = views(ctx, from, route); err != nil {
		return verify.Report{}, err
	}
	return verify.Compare(ctx, cfg)
}

// finishedAtOnce is how many indexes get their final form before that is
// recorded.
const finishedAtOnce = 16

// Finish implements coordinator.CutoverClusters.
func (c cutover) Finish(ctx context.Context, s *state.Sync) (state.Finished, error) {
	to := c.ends.to(&s.Leg)
	var done state.Finished
	for _, ix := range uniqueFirst(s.Leg.Indexes) {
		if ix.Finished || len(done.Indexes) == finishedAtOnce {
			continue
		}
		if err := topology.FinishIndex(ctx, to.client, ix.NS, ix.Spec); err != nil {
			return done, err
		}
		done.Indexes = append(done.Indexes, state.IndexRef{NS: ix.NS, Name: ix.Name()})
	}
	for _, l := range s.Leg.Limits {
		if l.Finished {
			continue
		}
		if err := topology.FinishLimit(ctx, to.client, limitOf(l)); err != nil {
			return done, err
		}
		done.Limits = append(done.Limits, l.NS)
	}
	return done, nil
}

// uniqueFirst returns the indexes with the unique ones in front. An index that
// only differs from one of them in not being unique cannot be built before.
func uniqueFirst(indexes []state.Index) []state.Index {
	sorted := slices.Clone(indexes)
	slices.SortStableFunc(sorted, func(a, b state.Index) int { return topology.CompareUnique(a.Spec, b.Spec) })
	return sorted
}

// Arm implements coordinator.CutoverClusters.
func (c cutover) Arm(ctx context.Context, s *state.Sync) (*state.Armed, error) {
	to := c.ends.to(&s.Leg)
	places, err := placesOf(ctx, to) // before the start of the way back
	if err != nil {
		return nil, err
	}
	armed, err := reverse.Arm(ctx, &s.Leg, c.ends.from(&s.Leg).client, to.client)
	if err != nil {
		return nil, err
	}
	armed.Places = places
	armed.Own, err = c.ownAccounts(ctx, s)
	return armed, err
}

// unselected returns what tells which namespaces of a side are not synced. The
// destination of the first leg was empty: everything there is ours.
func unselected(s *state.Sync) (func(ns shardferry.Namespace, onSource bool) bool, error) {
	there, err := s.Job.Selection.Forward()
	if err != nil {
		return nil, err
	}
	back, err := s.Job.Selection.Backward()
	if err != nil {
		return nil, err
	}
	way := map[bool]shardferry.Route{true: there} // by side of the leg
	if s.Leg.Direction == state.Reverse {
		way = map[bool]shardferry.Route{true: back, false: there}
	}
	return func(ns shardferry.Namespace, onSource bool) bool {
		_, ok := way[onSource].To(ns)
		return !ok
	}, nil
}

// views lists the views of a cluster that are synced. Unlike collections they
// are not kept in the state, because nothing is routed to them.
func views(ctx context.Context, e *end, route shardferry.Route) ([]verify.Pair, error) {
	cluster, err := topology.Discover(ctx, e.client)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.name, err)
	}
	var pairs []verify.Pair
	for _, c := range cluster.Collections {
		if to, ok := route.To(c.NS); ok && c.Type == topology.TypeView {
			pairs = append(pairs, verify.Pair{Source: c.NS, Destination: to})
		}
	}
	return pairs, nil
}
