package main

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

// readEvents names the events of a cluster from a time on: what kind each is, and
// how updates describe themselves.
func readEvents(ctx context.Context, client *mongo.Client, p *Plan, from bson.Timestamp) ([]string, error) {
	from.I++
	pipeline := mongo.Pipeline{}
	if p.Versions[source] != versions[0] {
		pipeline = append(pipeline, bson.D{{"$changeStreamSplitLargeEvent", bson.D{}}})
	}
	stream, err := client.Watch(ctx, pipeline, options.ChangeStream().SetStartAtOperationTime(&from).SetShowExpandedEvents(true).SetMaxAwaitTime(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close(ctx) }()
	var out []string
	const patience = 3 // empty replies of a merged stream say little
	for idle := 0; idle < patience; {
		if !stream.TryNext(ctx) {
			if err := stream.Err(); err != nil {
				return nil, err
			}
			idle++
			if err := mongoconn.Sleep(ctx, time.Second); err != nil {
				return nil, err
			}
			continue
		}
		out = append(out, shapes(stream.Current)...)
	}
	return out, nil
}

// shapes names what an event is an instance of.
func shapes(e bson.Raw) []string {
	kind, _ := e.Lookup("operationType").StringValueOK()
	out := []string{kind}
	if e.Lookup("txnNumber").Type != 0 {
		out = append(out, kind+" in a transaction")
	}
	if e.Lookup("splitEvent").Type != 0 {
		out = append(out, "fragment")
	}
	d, ok := e.Lookup("updateDescription").DocumentOK()
	if !ok {
		return out
	}
	if a, ok := d.Lookup("truncatedArrays").ArrayOK(); ok && len(a) > 5 {
		out = append(out, "update with truncated arrays")
	}
	if p, ok := d.Lookup("disambiguatedPaths").DocumentOK(); ok && len(p) > 5 {
		out = append(out, "update with ambiguous paths")
	}
	if a, ok := d.Lookup("removedFields").ArrayOK(); ok && len(a) > 5 {
		out = append(out, "update that removes fields")
	}
	return out
}
