package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/topology"
)

// applier implements coordinator.SchemaApplier.
type applier struct{ *Node }

// ApplySchema implements coordinator.SchemaApplier. On a leg that follows a
// commit nothing is relaxed: the old source is as it was, and stays so.
func (a applier) ApplySchema(ctx context.Context, s *state.Sync, change shardferry.SchemaChange) (state.Resolve, error) {
	route, err := routeOf(s)
	if err != nil {
		return state.Resolve{}, err
	}
	changer := a.changer(s, route)
	out, err := changer.Apply(ctx, change)
	if errors.Is(err, topology.ErrUnsupportedChange) && change.Kind == "create" {
		out, err = a.undone(ctx, s, change, err)
	}
	if err != nil {
		return state.Resolve{}, err
	}
	resolve := resolveOf(out)
	if r := out.Replaced; !r.From.IsZero() {
		from := a.ends.from(&s.Leg)
		at, err := mongoconn.Note(ctx, from.client, "replaced")
		if err != nil {
			return state.Resolve{}, fmt.Errorf("%s: %w", from.name, err)
		}
		resolve.Replaced = &state.Replaced{From: r.From, To: r.To, At: at}
	}
	if out.Copy != nil {
		resolve.Bytes = out.Copy.Size()
		resolve.Tasks, err = a.entered(ctx, s, out.Copy, change.Time)
	}
	return resolve, err
}

// entered returns the copy tasks of a collection that was not selected before a
// time; src holds nothing else. Where the documents of a sharded one were at that
// time nobody knows any more: they are taken for moved, which tells where they are.
func (a applier) entered(ctx context.Context, s *state.Sync, src *topology.Cluster, after shardferry.ClusterTime) ([]shardferry.CopyTask, error) {
	if c := src.Collections[0]; len(c.ShardKey) > 0 {
		return []shardferry.CopyTask{{UUID: c.UUID, After: after}}, nil
	}
	cuts, err := a.cuts(ctx, a.ends.from(&s.Leg), src)
	if err != nil {
		return nil, err
	}
	tasks, err := topology.Tasks(src, cuts)
	for i := range tasks {
		tasks[i].After = after
	}
	return tasks, err
}

// undone returns the outcome of a creation that is not supported if the source
// has dropped the collection again: its events are discarded like those of any
// dropped collection. Otherwise it returns refused.
func (a applier) undone(ctx context.Context, s *state.Sync, change shardferry.SchemaChange, refused error) (topology.Outcome, error) {
	from := a.ends.from(&s.Leg)
	now, err := topology.Discover(ctx, from.client)
	if err != nil {
		return topology.Outcome{}, fmt.Errorf("%s: %w", from.name, err)
	}
	if slices.ContainsFunc(now.Collections, func(c topology.Collection) bool {
		if change.UUID.IsZero() {
			return c.NS == change.NS
		}
		return c.UUID == change.UUID
	}) {
		return topology.Outcome{}, refused
	}
	if change.UUID.IsZero() {
		return topology.Outcome{}, nil
	}
	return topology.Outcome{Collections: []shardferry.Collection{
		{UUID: change.UUID, Source: change.NS, Destination: change.NS, Dropped: true},
	}}, nil
}
