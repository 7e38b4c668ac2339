package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/topology"
)

// indexBuilds is how many collections get their indexes at a time: as many builds
// as a server lets run side by side (its parameter maxNumActiveUserIndexBuilds).
const indexBuilds = 3

// BuildIndexes implements coordinator.Preparer. It builds those of the largest
// collections that have none yet, a few at a time, so that progress is recorded
// often and the last build is not the longest.
func (p preparer) BuildIndexes(ctx context.Context, s *state.Sync) ([]state.IndexRef, error) {
	next := unbuilt(&s.Leg)
	next = next[:min(len(next), indexBuilds)]
	built, errs := make([][]state.IndexRef, len(next)), make([]error, len(next))
	var all sync.WaitGroup
	for i, indexes := range next {
		all.Go(func() { built[i], errs[i] = p.buildIndexesOf(ctx, s, indexes) })
	}
	all.Wait()
	return slices.Concat(built...), errors.Join(errs...)
}

// unbuilt returns the indexes that are not built by collection, the collection of
// which most was copied first.
func unbuilt(l *state.Leg) [][]state.Index {
	var names []shardferry.Namespace
	of := map[shardferry.Namespace][]state.Index{}
	for _, ix := range l.Indexes {
		if ix.Built {
			continue
		}
		if of[ix.NS] == nil {
			names = append(names, ix.NS)
		}
		of[ix.NS] = append(of[ix.NS], ix)
	}
	size := map[shardferry.Namespace]int64{}
	copied := map[shardferry.UUID]int64{}
	for t := range l.Tasks.All() {
		copied[t.UUID] += t.Bytes
	}
	for _, c := range l.Collections {
		size[c.Destination] += copied[c.UUID]
	}
	slices.SortStableFunc(names, func(a, b shardferry.Namespace) int { return cmp.Compare(size[b], size[a]) })
	out := make([][]state.Index, len(names))
	for i, ns := range names {
		out[i] = of[ns]
	}
	return out
}

// buildIndexesOf builds indexes of one collection. It returns none if that is not
// what it was any more.
func (p preparer) buildIndexesOf(ctx context.Context, s *state.Sync, indexes []state.Index) ([]state.IndexRef, error) {
	ns := indexes[0].NS
	var specs []bson.Raw
	var refs []state.IndexRef
	for _, ix := range indexes {
		specs = append(specs, ix.Spec)
		refs = append(refs, state.IndexRef{NS: ns, Name: ix.Name()})
	}
	client := p.ends.to(&s.Leg).client
	build, err := topology.Relaxed(ctx, client, ns, specs)
	if err != nil {
		return nil, err
	}
	id, err := topology.UUIDOf(ctx, client, ns)
	switch now, _ := p.State(); {
	case err != nil:
		return nil, err
	case !sameNames(&s.Leg, &now.Leg):
		return nil, nil // it may be the UUID of another collection
	case id.IsZero():
		return nil, fmt.Errorf("%s is missing on the destination", ns)
	case len(build) == 0:
		return refs, nil
	}
	err = topology.BuildIndexesOf(ctx, client, ns, id, build)
	if mongoconn.IsCode(err, mongoconn.CodeCollectionUUIDMismatch) {
		return nil, nil // renamed or dropped meanwhile; once that is recorded there is another name, or no index
	}
	if err != nil {
		return nil, err
	}
	return refs, nil
}

// sameNames reports whether no schema change has been made since then, and none
// is being made, so that names mean what they meant.
func sameNames(then, now *state.Leg) bool {
	if len(then.Lost())+len(now.Lost()) > 0 {
		return false // changes of a lost shard are made up for without a barrier
	}
	return then.Number == now.Number && then.Barriers == now.Barriers && now.Barrier == nil
}
