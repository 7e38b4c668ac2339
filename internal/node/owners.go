package node

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/topology"
)

// An ownerWatch implements coordinator.OwnerWatcher. It is called by one goroutine.
type ownerWatch struct {
	*Node

	looked time.Time
}

// Look implements coordinator.OwnerWatcher. Events wait until they are looked
// after, so that it looks about as often as workers report.
func (w *ownerWatch) Look(ctx context.Context, s *state.Sync) (state.Command, error) {
	if time.Since(w.looked) < w.cfg.ReportInterval {
		return nil, nil
	}
	w.looked = time.Now()
	from := w.ends.from(&s.Leg)
	now, err := topology.ReadPlacement(ctx, from.client)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from.name, err)
	}
	o := s.Leg.Owners
	moved, changed := topology.Changed(o.Places, now.Places)
	for _, id := range s.Leg.Ownerless() {
		if at, ok := slices.BinarySearchFunc(moved.Collections, id, compareUUIDs); !ok {
			moved.Collections = slices.Insert(moved.Collections, at, id)
		}
		changed = true
	}
	switch {
	case !changed && now.Since.After(o.Known):
		return state.Known{Leg: s.Leg.Number, At: now.Since}, nil
	case !changed || !now.Until.After(o.Known):
		return nil, nil
	}
	w.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "documents have changed shards",
		slog.Int("collections", len(moved.Collections)), slog.Bool("databases", moved.All))
	moved.Until = now.Until
	cmd := state.Moving{Leg: s.Leg.Number, Places: now.Places}
	if moved.All {
		var src *topology.Cluster
		if src, moved.Until, err = topology.DiscoverStable(ctx, from.client); err != nil {
			return nil, fmt.Errorf("%s: %w", from.name, err)
		}
		cmd.Named = strangers(s, src)
	}
	cmd.Moved = moved
	return cmd, nil
}

func compareUUIDs(a, b shardferry.UUID) int { return bytes.Compare(a[:], b[:]) }

// strangers returns the collections whose UUID is not known.
func strangers(s *state.Sync, src *topology.Cluster) []state.Named {
	var out []state.Named
	for _, c := range src.Collections {
		if _, ok := slices.BinarySearchFunc(s.Leg.Collections, c.UUID, func(k shardferry.Collection, id shardferry.UUID) int { return compareUUIDs(k.UUID, id) }); !ok && !c.UUID.IsZero() {
			out = append(out, state.Named{NS: c.NS, UUID: c.UUID})
		}
	}
	return out
}

// renewed finds the collections that have another UUID on their new shard: those
// that are still not known although all changes up to the end of the stretch are
// made.
func renewed(s *state.Sync, out *state.Settled) {
	for _, n := range s.Leg.Owners.Move.Named {
		if slices.ContainsFunc(s.Leg.Collections, func(c shardferry.Collection) bool { return c.UUID == n.UUID }) {
			continue
		}
		for _, c := range s.Leg.Collections {
			if c.Source != n.NS || c.Dropped {
				continue
			}
			next := c
			next.UUID, c.Dropped = n.UUID, true
			out.Collections = append(out.Collections, c, next)
			out.Replaced = append(out.Replaced, state.Replaced{From: c.UUID, To: n.UUID, At: out.At})
		}
	}
}

// HandOver implements coordinator.OwnerWatcher.
func (w *ownerWatch) HandOver(ctx context.Context, s *state.Sync) (state.Settled, error) {
	from := w.ends.from(&s.Leg)
	var out state.Settled
	var err error
	if out.At, err = mongoconn.Note(ctx, from.client, "moved"); err != nil {
		return out, fmt.Errorf("%s: %w", from.name, err)
	}
	renewed(s, &out)
	var left []shardferry.CopyTask
	for t := range s.Leg.Tasks.All() {
		if !t.Done && s.Leg.Owners.Move.Moved.Concerns(t.UUID) {
			left = append(left, t)
		}
	}
	if len(left) == 0 {
		return out, nil
	}
	src, err := topology.Discover(ctx, from.client)
	if err != nil {
		return out, fmt.Errorf("%s: %w", from.name, err)
	}
	out.Cut, out.Tasks, err = topology.Recut(left, src)
	for i := range out.Tasks {
		if shardAt(s, out.Tasks[i].Shard) == nil {
			out.Tasks[i].Shard = "" // it joined meanwhile: the next move gives it its task
		}
	}
	return out, err
}

// placesOf reads where a cluster keeps its documents, nothing if they stay where
// they are.
func placesOf(ctx context.Context, e *end) ([]shardferry.Place, error) {
	if e.info.Kind != topology.Sharded {
		return nil, nil
	}
	now, err := topology.ReadPlacement(ctx, e.client)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.name, err)
	}
	return now.Places, nil
}
