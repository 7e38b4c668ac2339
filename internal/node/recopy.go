package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/topology"
)

// A recopier implements coordinator.Recopier. It is called by one goroutine.
type recopier struct {
	*Node

	leg int
	// since is a time of the source at which the catalogue had changes that the
	// other shards may still tell of; zero if there are none.
	since shardferry.ClusterTime
}

// Recopy implements coordinator.Recopier. The shards that are lost have no worker,
// and each step reads the catalogue of the source anew, until it is the recorded
// one. Then streams can begin at the time at which it was read.
func (r *recopier) Recopy(ctx context.Context, s *state.Sync) (state.Command, error) {
	if r.leg != s.Leg.Number {
		r.leg, r.since = s.Leg.Number, shardferry.ClusterTime{}
	}
	for _, id := range s.Leg.Lost() {
		if sh := shardAt(s, id); len(sh.Sessions) > 0 {
			// Nothing of the former worker may land behind what is compared.
			return nil, r.fence(ctx, s.Leg.Number, sh, r.ends.to(&s.Leg))
		}
	}
	route, err := routeOf(s)
	if err != nil {
		return nil, err
	}
	from, to := r.ends.from(&s.Leg), r.ends.to(&s.Leg)
	found, at, err := topology.DiscoverStable(ctx, from.client)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from.name, err)
	}
	dst, err := topology.Discover(ctx, to.client)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", to.name, err)
	}
	src, left := found.Select(route)
	changer := r.changer(s, route)
	changes, err := changer.Missed(src, left, dst)
	if err != nil {
		return nil, err
	}
	if len(changes) > 0 {
		return r.catchUp(ctx, s, &changer, changes, at)
	}
	r.since = shardferry.ClusterTime{}
	if err := changer.Views(ctx, src, dst); err != nil {
		return nil, err
	}
	return r.begin(ctx, s, &changer, src, dst, at)
}

// catchUp makes the first of the changes that nobody has seen. New collections may
// be made at any time. Of others the shards that are not lost may still tell, so
// that they are waited for. A rename would need an order between what these shards
// write before it and after it, which nobody knows: they are lost too.
func (r *recopier) catchUp(ctx context.Context, s *state.Sync, changer *topology.Changer, changes []shardferry.SchemaChange, at shardferry.ClusterTime) (state.Command, error) {
	next := changes[0]
	if i := slices.IndexFunc(changes, func(c shardferry.SchemaChange) bool { return c.Kind == "create" }); i >= 0 && next.Kind != "drop" && next.Kind != "rename" {
		next = changes[i]
	}
	others := slices.DeleteFunc(slices.Clone(s.Leg.Shards), func(sh state.Shard) bool { return sh.Lost })
	if next.Kind != "create" && len(others) > 0 {
		if r.since.IsZero() {
			r.since = at
		}
		if slices.ContainsFunc(others, func(sh state.Shard) bool { return sh.Applied.Before(r.since) }) {
			return nil, nil
		}
		if next.Kind == "rename" {
			return state.Lost{
				Leg: s.Leg.Number, Shard: others[0].ID, At: time.Now(),
				Why: fmt.Sprintf("%s was renamed to %s while changes were lost", next.NS, next.To),
			}, nil
		}
	}
	// What it brings into the selection needs no tasks of its own: all shards are lost
	// by then, and all that they have is copied again.
	out, err := changer.Apply(ctx, next)
	if err != nil {
		return nil, fmt.Errorf("make up for the %s of %s: %w", next.Kind, next.NS, err)
	}
	r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "a schema change that nobody has seen was made up for",
		slog.String("kind", next.Kind), slog.String("ns", next.NS.String()))
	return state.Recatalogued{Leg: s.Leg.Number, Changes: []state.Remade{remade(out)}}, nil
}

// begin makes the copy tasks of the shards that are lost.
func (r *recopier) begin(ctx context.Context, s *state.Sync, changer *topology.Changer, src, dst *topology.Cluster, at shardferry.ClusterTime) (state.Command, error) {
	cuts, err := r.cuts(ctx, r.ends.from(&s.Leg), src)
	if err != nil {
		return nil, err
	}
	all, err := topology.Tasks(src, cuts)
	if err != nil {
		return nil, err
	}
	again := state.Recopied{Leg: s.Leg.Number, Shards: s.Leg.Lost(), Start: at, Tasks: touched(all, s)}
	for i := range again.Tasks {
		t := &again.Tasks[i]
		c := &src.Collections[slices.IndexFunc(src.Collections, func(c topology.Collection) bool { return c.UUID == t.UUID })]
		coll := s.Leg.Collections[slices.IndexFunc(s.Leg.Collections, func(c shardferry.Collection) bool { return c.UUID == t.UUID })]
		again.Bytes += c.Stats.Bytes / int64(tasksOf(all, t.UUID))
		if !c.Capped() {
			t.Resync = true
			if err := changer.Scannable(ctx, coll, c, dst, t.Index); err != nil {
				return nil, err
			}
			continue
		}
		out, err := changer.Refill(ctx, coll, c)
		if err != nil {
			return nil, err
		}
		again.Changes = append(again.Changes, remade(out))
	}
	r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "shards are copied again",
		slog.Any("shards", again.Shards), slog.Int("tasks", len(again.Tasks)), slog.Any("from", at))
	return again, nil
}

func tasksOf(tasks []shardferry.CopyTask, id shardferry.UUID) (n int) {
	for _, t := range tasks {
		if t.UUID == id {
			n++
		}
	}
	return n
}

// touched returns the tasks that cover what lost shards may have changed: theirs,
// if each range is where it was, and otherwise all of the collection, because a
// range that has left a lost shard is not among its ranges any more.
func touched(all []shardferry.CopyTask, s *state.Sync) []shardferry.CopyTask {
	lost := s.Leg.Lost()
	var out []shardferry.CopyTask
	moved := map[shardferry.UUID]bool{}
	for _, t := range all {
		if _, ok := moved[t.UUID]; !ok {
			moved[t.UUID] = !slices.Equal(owners(all, t.UUID), owners(s.Leg.Tasks.List(), t.UUID))
		}
		if moved[t.UUID] || slices.Contains(lost, t.Shard) {
			out = append(out, t)
		}
	}
	return out
}

// An owned is a run of neighbouring ranges on one shard.
type owned struct {
	shard    shardferry.ShardID
	min, max string
}

// owners returns which shard has which part of a collection.
func owners(tasks []shardferry.CopyTask, id shardferry.UUID) []owned {
	var out []owned
	for _, t := range tasks {
		if t.UUID != id {
			continue
		}
		if n := len(out) - 1; n >= 0 && out[n].shard == t.Shard && out[n].max == string(t.Min) {
			out[n].max = string(t.Max)
			continue
		}
		out = append(out, owned{shard: t.Shard, min: string(t.Min), max: string(t.Max)})
	}
	return out
}

// changer returns what makes schema changes on the destination of the leg.
func (n *Node) changer(s *state.Sync, route shardferry.Route) topology.Changer {
	to := n.ends.to(&s.Leg)
	c := topology.Changer{
		Client:      to.client,
		Source:      n.ends.from(&s.Leg).client,
		Route:       route,
		Sharded:     to.info.Kind == topology.Sharded,
		Relax:       s.Leg.Number == 1,
		Defer:       s.Leg.Phase == state.PhaseCopying && s.State != shardferry.StateCommitting, // a commit builds none
		Collections: s.Leg.Collections,
		Logger:      n.cfg.Logger,
		StillLeads:  n.coord.StillLeads,
	}
	for _, ix := range s.Leg.Indexes {
		c.Indexes = append(c.Indexes, topology.Index(ix))
	}
	for _, l := range s.Leg.Limits {
		c.Limits = append(c.Limits, limitOf(l))
	}
	return c
}

func limitOf(l state.Limit) topology.Limit {
	return topology.Limit{NS: l.NS, Size: l.Size, Max: l.Max, Expires: l.Expires, After: l.After}
}

func recorded(l topology.Limit) state.Limit {
	return state.Limit{NS: l.NS, Size: l.Size, Max: l.Max, Expires: l.Expires, After: l.After}
}

// resolveOf returns what a schema change made of the catalogue.
func resolveOf(out topology.Outcome) state.Resolve {
	resolve := state.Resolve{Collections: out.Collections}
	for _, ix := range out.Indexes {
		resolve.Indexes = append(resolve.Indexes, state.Index(ix))
	}
	for _, r := range out.Dropped {
		resolve.Dropped = append(resolve.Dropped, state.IndexRef(r))
	}
	for _, l := range out.Limits {
		resolve.Limits = append(resolve.Limits, recorded(l))
	}
	if !out.To.IsZero() {
		resolve.Moved = []state.Move{{From: out.From, To: out.To}}
	}
	return resolve
}

func remade(out topology.Outcome) state.Remade {
	r := resolveOf(out)
	return state.Remade{Collections: r.Collections, Indexes: r.Indexes, Dropped: r.Dropped, Moved: r.Moved, Limits: r.Limits}
}
