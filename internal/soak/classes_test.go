package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever the URI says, nothing is read from a secondary: one may not know yet
// what there is.
func TestClassReadsFromALaggingMember(t *testing.T) {
	stop := &Kind{name: "a secondary stops", do: func(ctx context.Context, w *world, _ *rand.Rand) error {
		shard := w.source.Shards()[0]
		primary, err := w.source.Addr(shard)
		if err != nil {
			return err
		}
		members, err := w.source.Members(shard)
		if err != nil {
			return err
		}
		return w.source.StopReplication(members[slices.IndexFunc(members, func(m string) bool { return m != primary })])
	}}
	fill := &Kind{name: "a collection that it has not", do: func(ctx context.Context, w *world, r *rand.Rand) error {
		return w.create(ctx, coll{db: "a", name: "late"}, r)
	}}
	for seed := range uint64(6) {
		p := newPlan(seed)
		p.Shards, p.Members, p.Faults, p.Crashes, p.About = [2]int{}, 3, nil, nil, nil
		p.URI = "&readPreference=secondaryPreferred"
		p.Steps = []Step{{Kind: stop, Seed: 1}, {Kind: fill, Seed: seed}}
		require.NoError(t, play(p).Err)
	}
}
