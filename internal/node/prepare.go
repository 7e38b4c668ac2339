package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/reverse"
	"github.com/shardferry/shardferry/topology"
)

// preparer implements coordinator.Preparer.
type preparer struct{ *Node }

// A survey is what both clusters held when they were read.
type survey struct {
	src, dst *topology.Cluster
	left     []topology.Collection // of the source, not selected
	at       shardferry.ClusterTime
}

// check reads both clusters and returns what of them is to be synced, if nothing
// forbids that.
func (n *Node) check(ctx context.Context, route shardferry.Route) (s survey, err error) {
	if s.dst, err = topology.Discover(ctx, n.ends.destination.client); err != nil {
		return s, fmt.Errorf("destination: %w", err)
	}
	if err := n.checkStored(ctx, route); err != nil {
		return s, err
	}
	// Refuse before the first note is written. A reading takes a while, and what it
	// shows need never have been there at one time: an index that is built and the
	// shard key that it is for, between two commands. Only what a second one shows
	// as well is refused.
	var found error
	for range 2 {
		src, err := topology.Discover(ctx, n.ends.source.client)
		if err != nil {
			return s, fmt.Errorf("source: %w", err)
		}
		s.src, s.left = src.Select(route)
		if found = refuse(s.problems(route)); found == nil {
			break
		}
	}
	if found != nil {
		return s, found
	}
	var src *topology.Cluster
	if src, s.at, err = topology.DiscoverStable(ctx, n.ends.source.client); err != nil {
		return s, fmt.Errorf("source: %w", err)
	}
	s.src, s.left = src.Select(route)
	return s, refuse(s.problems(route))
}

func (s survey) problems(route shardferry.Route) []topology.Problem {
	return append(topology.CheckRoute(s.src, route), topology.Check(s.src, s.dst)...)
}

func refuse(problems []topology.Problem) error {
	var fatal []error
	for _, p := range problems {
		if p.Fatal {
			fatal = append(fatal, errors.New(p.String()))
		}
	}
	if len(fatal) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", api.ErrRefused, errors.Join(fatal...))
}

// Plan implements coordinator.Preparer.
func (p preparer) Plan(ctx context.Context, s *state.Sync) (state.Planned, error) {
	route, err := routeOf(s)
	if err != nil {
		return state.Planned{}, err
	}
	if _, err := p.check(ctx, route); err != nil {
		return state.Planned{}, err
	}
	if !s.Job.KeepBalancer { // before the plan, so that what it moves last is part of it
		if err := stopBalancer(ctx, p.ends.from(&s.Leg)); err != nil {
			return state.Planned{}, err
		}
	}
	places, err := placesOf(ctx, p.ends.from(&s.Leg)) // before the start of the streams
	if err != nil {
		return state.Planned{}, err
	}
	found, err := p.check(ctx, route)
	if err != nil {
		return state.Planned{}, err
	}
	able, err := reverse.Preflight(ctx, p.ends.source.client, p.ends.destination.client)
	if err != nil {
		return state.Planned{}, err
	}
	plan, err := topology.MakePlan(found.src, found.dst)
	if err != nil {
		return state.Planned{}, err
	}
	raw, err := bson.Marshal(plan)
	if err != nil {
		return state.Planned{}, fmt.Errorf("encode the plan: %w", err)
	}
	cuts, err := p.cuts(ctx, p.ends.from(&s.Leg), found.src)
	if err != nil {
		return state.Planned{}, err
	}
	tasks, err := topology.Tasks(found.src, cuts)
	if err != nil {
		return state.Planned{}, err
	}
	planned := state.Planned{
		Plan: raw, Start: found.at, Shards: found.src.ShardIDs(), Collections: plan.Catalogue(route, found.left), Tasks: tasks,
		Reversible: s.Job.Reversible && able.Reversible(),
		BlockDest:  able.BypassDestination,
		Bytes:      found.src.Size(),
		Places:     places,
	}
	there := plan.Along(route)
	for _, ix := range there.Indexes() {
		planned.Indexes = append(planned.Indexes, state.Index{NS: ix.NS, Spec: ix.Spec})
	}
	for _, l := range there.Limits() {
		planned.Limits = append(planned.Limits, recorded(l))
	}
	for _, problem := range found.problems(route) { // those that are left forbid nothing
		p.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "note", slog.String("what", problem.What), slog.String("advice", problem.Advice))
	}
	for _, w := range able.Warnings() {
		p.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "limited", slog.String("why", w))
	}
	return planned, nil
}

const maxCuts = 64 // ranges of one unsharded collection at most

// cuts returns where the unsharded collections of src are cut, which is what was
// read of e.
func (n *Node) cuts(ctx context.Context, e *end, src *topology.Cluster) (map[shardferry.Namespace][]bson.Raw, error) {
	cuts := map[shardferry.Namespace][]bson.Raw{}
	for _, c := range src.Collections {
		parts := min(int(c.Stats.Bytes/topology.TaskBytes)+1, maxCuts)
		if c.Type != topology.TypeCollection || len(c.ShardKey) > 0 || c.Capped() || parts < 2 {
			continue
		}
		points, err := topology.SplitPoints(ctx, e.client, c.NS, parts)
		if err != nil {
			return nil, err
		}
		cuts[c.NS] = points
	}
	return cuts, nil
}

// Create implements coordinator.Preparer.
func (p preparer) Create(ctx context.Context, s *state.Sync) error {
	var plan topology.Plan
	if err := bson.Unmarshal(s.Leg.Plan, &plan); err != nil {
		return fmt.Errorf("decode the plan: %w", err)
	}
	route, err := routeOf(s)
	if err != nil {
		return err
	}
	from, to := p.ends.from(&s.Leg), p.ends.to(&s.Leg)
	// The one of the destination would move what is being laid out.
	stop := []*end{from, to}
	if s.Job.KeepBalancer {
		stop = stop[1:]
	}
	for _, e := range stop {
		if err := stopBalancer(ctx, e); err != nil {
			return err
		}
	}
	if s.Job.BlockDest {
		if err := p.block(ctx, to, true); err != nil {
			return err
		}
	}
	return topology.Create(ctx, to.client, plan.Along(route), p.cfg.Logger)
}

// stopBalancer stops the balancer of a cluster, if it is on now.
func stopBalancer(ctx context.Context, e *end) error {
	info, err := topology.Identify(ctx, e.client)
	if err != nil {
		return fmt.Errorf("%s: %w", e.name, err)
	}
	if err := topology.StopBalancer(ctx, e.client, info); err != nil {
		return fmt.Errorf("%s: %w", e.name, err)
	}
	return nil
}
