package reverse

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/topology"
)

// Arm captures where the opposite of a leg starts. from and to are the leg's
// own source and destination; both are write-blocked and equal. Whatever is
// written to the destination once it is opened comes after the returned start.
//
// It may be repeated as long as the destination has not been opened.
func Arm(ctx context.Context, leg *state.Leg, from, to *mongo.Client) (*state.Armed, error) {
	reached, err := topology.Discover(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("read the destination: %w", err)
	}
	old, err := topology.Discover(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("read the source: %w", err)
	}
	colls, err := opposite(leg, old, reached)
	if err != nil {
		return nil, err
	}
	start, err := mongoconn.Note(ctx, to, "reverse start")
	if err != nil {
		return nil, fmt.Errorf("note the start of the way back: %w", err)
	}
	return &state.Armed{Start: start, Shards: reached.ShardIDs(), Collections: colls}, nil
}

// opposite returns the catalogue of the leg that flows back: each collection of
// the destination, by its UUID there, to the collection that it came from.
func opposite(leg *state.Leg, from, to *topology.Cluster) ([]shardferry.Collection, error) {
	var out []shardferry.Collection
	for _, c := range leg.Collections {
		if !c.Synced() {
			continue
		}
		here, ok := find(to, c.Destination)
		if !ok {
			return nil, fmt.Errorf("%s is gone from the destination", c.Destination)
		}
		there, ok := find(from, c.Source)
		if !ok {
			return nil, fmt.Errorf("%s is gone from the source", c.Source)
		}
		out = append(out, shardferry.Collection{
			UUID: here.UUID, Source: c.Destination, Destination: c.Source,
			ShardKey: there.ShardKey, Capped: c.Capped, Collated: c.Collated,
		})
	}
	return out, nil
}

func find(c *topology.Cluster, ns shardferry.Namespace) (*topology.Collection, bool) {
	for i := range c.Collections {
		if c.Collections[i].NS == ns {
			return &c.Collections[i], true
		}
	}
	return nil, false
}
