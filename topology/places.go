package topology

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
)

// Placement is where a sharded cluster keeps its documents, as it was read at one
// time between two.
type Placement struct {
	Since  shardferry.ClusterTime
	Until  shardferry.ClusterTime
	Places []shardferry.Place // sorted
}

// ReadPlacement reads what the config servers know of where documents are. A
// change that was committed at or before Since is in it. The first write on the
// new owner comes after the commit (server: migrations hold a critical section
// over it), so an unchanged placement says that nothing was written elsewhere up
// to Since.
func ReadPlacement(ctx context.Context, client *mongo.Client) (Placement, error) {
	session, err := client.StartSession(options.Session().SetCausalConsistency(false))
	if err != nil {
		return Placement{}, fmt.Errorf("start a session: %w", err)
	}
	defer session.EndSession(context.WithoutCancel(ctx))
	ctx = mongo.NewSessionContext(ctx, session)
	if err := client.Database("admin").RunCommand(ctx, bson.D{{"ping", 1}}).Err(); err != nil {
		return Placement{}, fmt.Errorf("ping: %w", err)
	}
	r := placeReader{config: client.Database("config"), since: clock(session)}
	p := Placement{Since: r.since}
	if p.Places, err = r.read(ctx); err != nil {
		return Placement{}, err
	}
	p.Until = clock(session)
	return p, nil
}

// clock returns the latest cluster time that a session has seen.
func clock(s *mongo.Session) (t shardferry.ClusterTime) {
	if inner, ok := s.ClusterTime().Lookup("$clusterTime").DocumentOK(); ok {
		t.T, t.I, _ = inner.Lookup("clusterTime").TimestampOK()
	}
	return t
}

type placeReader struct {
	config *mongo.Database
	since  shardferry.ClusterTime
}

func (r placeReader) read(ctx context.Context) ([]shardferry.Place, error) {
	places, err := r.collections(ctx)
	if err != nil {
		return nil, err
	}
	dbs, err := r.all(ctx, bson.D{{"find", "databases"}})
	if err != nil {
		return nil, err
	}
	for _, d := range dbs {
		name, _ := d.Lookup("_id").StringValueOK()
		shard, _ := d.Lookup("primary").StringValueOK()
		moves, _ := d.Lookup("version", "lastMod").AsInt64OK()
		if name != "config" {
			places = append(places, shardferry.Place{DB: name, Version: shard + "/" + strconv.FormatInt(moves, 10)})
		}
	}
	shards, err := r.all(ctx, bson.D{{"find", "shards"}})
	if err != nil {
		return nil, err
	}
	for _, s := range shards {
		id, _ := s.Lookup("_id").StringValueOK()
		p := shardferry.Place{Shard: shardferry.ShardID(id)}
		if draining, _ := s.Lookup("draining").BooleanOK(); draining {
			if p.Version, err = r.draining(ctx, id, dbs); err != nil {
				return nil, err
			}
		}
		places = append(places, p)
	}
	slices.SortFunc(places, comparePlaces)
	return places, nil
}

// collections returns the major version of every collection that has chunks: it
// rises whenever one of them moves.
func (r placeReader) collections(ctx context.Context) ([]shardferry.Place, error) {
	rows, err := r.all(ctx, bson.D{{"aggregate", "chunks"}, {"pipeline", bson.A{
		// The order of an index of config.chunks, backwards: one look for each
		// collection, however many chunks it has.
		bson.D{{"$sort", bson.D{{"uuid", -1}, {"lastmod", -1}}}},
		bson.D{{"$group", bson.D{{"_id", "$uuid"}, {"lastmod", bson.D{{"$first", "$lastmod"}}}}}},
	}}})
	if err != nil {
		return nil, err
	}
	var out []shardferry.Place
	for _, row := range rows {
		id, ok := shardferry.ParseUUID(row.Lookup("_id"))
		major, _, known := row.Lookup("lastmod").TimestampOK()
		if !ok || !known {
			return nil, fmt.Errorf("config.chunks holds a chunk of an unknown form: %v", row)
		}
		out = append(out, shardferry.Place{Collection: id, Version: strconv.FormatUint(uint64(major), 10)})
	}
	return out, nil
}

// draining tells whether a shard that gives up what it has has anything left.
func (r placeReader) draining(ctx context.Context, shard string, dbs []bson.Raw) (string, error) {
	for _, d := range dbs {
		if p, _ := d.Lookup("primary").StringValueOK(); p == shard {
			return "draining", nil
		}
	}
	chunks, err := r.all(ctx, bson.D{{"find", "chunks"}, {"filter", bson.D{{"shard", shard}}}, {"limit", 1}})
	if err != nil {
		return "", err
	}
	if len(chunks) > 0 {
		return "draining", nil
	}
	return shardferry.EmptyShard, nil
}

func (r placeReader) all(ctx context.Context, cmd bson.D) ([]bson.Raw, error) {
	what := cmd[0]
	cmd = append(cmd, bson.E{Key: "readConcern", Value: bson.D{{"level", "majority"}, {"afterClusterTime", r.since}}})
	if what.Key == "aggregate" {
		cmd = append(cmd, bson.E{Key: "cursor", Value: bson.D{}})
	}
	cur, err := r.config.RunCommandCursor(ctx, cmd)
	if err != nil {
		return nil, fmt.Errorf("read config.%s: %w", what.Value, err)
	}
	var rows []bson.Raw
	if err := cur.All(ctx, &rows); err != nil {
		return nil, fmt.Errorf("read config.%s: %w", what.Value, err)
	}
	return rows, nil
}

func comparePlaces(a, b shardferry.Place) int {
	return cmp.Or(bytes.Compare(a.Collection[:], b.Collection[:]), cmp.Compare(a.DB, b.DB), cmp.Compare(a.Shard, b.Shard))
}

// Changed says what has another place in one of two readings than in the other,
// and false if nothing has. What is in a database that moved is not listed: it
// may have been created and renamed meanwhile.
func Changed(before, after []shardferry.Place) (shardferry.Moved, bool) {
	versions := map[shardferry.Place]string{}
	for _, p := range before {
		versions[p.Thing()] = p.Version
	}
	var m shardferry.Moved
	changed := false
	note := func(p shardferry.Place) {
		changed = true
		m.All = m.All || p.DB != ""
		if !p.Collection.IsZero() {
			m.Collections = append(m.Collections, p.Collection)
		}
	}
	for _, p := range after {
		if v, ok := versions[p.Thing()]; !ok || v != p.Version {
			note(p)
		}
		delete(versions, p.Thing())
	}
	for p := range versions {
		note(p)
	}
	slices.SortFunc(m.Collections, func(a, b shardferry.UUID) int { return bytes.Compare(a[:], b[:]) })
	return m, changed
}
