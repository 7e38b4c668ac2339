package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
)

// A world is the source as the application sees it. It keeps no model of it: each
// step looks what is there, so that steps stay possible when others are left out.
type world struct {
	plan   *Plan
	tally  *tally
	source *mongotest.Cluster
	app    *mongo.Client // may not write past a write block

	started atomic.Bool  // the sync
	last    atomic.Int64 // of the unique ids
}

// A coll is a collection or a view of the source.
type coll struct {
	db, name string
	kind     string // collection, view, timeseries
	options  bson.Raw
	key      bson.Raw // shard key, nil if it is not sharded
}

func (c coll) ns() string { return c.db + "." + c.name }

func (c coll) is(option string) bool {
	_, err := c.options.LookupErr(option)
	return err == nil
}

// errNothing says that there was nothing to do a step with.
var errNothing = errors.New("there is nothing to do it with")

var databases = []string{"a", "b"}

// look lists what there is.
func (w *world) look(ctx context.Context) ([]coll, error) {
	var all []coll
	for _, db := range databases {
		cur, err := w.app.Database(db).ListCollections(ctx, bson.D{})
		if err != nil {
			return nil, err
		}
		for cur.Next(ctx) {
			c := coll{db: db, name: cur.Current.Lookup("name").StringValue(), kind: cur.Current.Lookup("type").StringValue()}
			if strings.HasPrefix(c.name, "system.") {
				continue
			}
			c.options = append(bson.Raw{}, cur.Current.Lookup("options").Document()...)
			all = append(all, c)
		}
		if err := cur.Err(); err != nil {
			return nil, err
		}
	}
	if w.plan.Shards[0] == 0 {
		return all, nil
	}
	cur, err := w.app.Database("config").Collection("collections").Find(ctx, bson.D{{"unsplittable", bson.D{{"$ne", true}}}})
	if err != nil {
		return nil, err
	}
	for cur.Next(ctx) {
		for i := range all {
			if all[i].ns() == cur.Current.Lookup("_id").StringValue() {
				all[i].key = append(bson.Raw{}, cur.Current.Lookup("key").Document()...)
			}
		}
	}
	return all, cur.Err()
}

// plain are collections whose documents may be written in any way.
func plain(c coll) bool { return c.kind == "collection" && !c.is("capped") }

func sharded(c coll) bool   { return c.kind == "collection" && c.key != nil }
func unsharded(c coll) bool { return plain(c) && c.key == nil }

// pick returns one of the collections that are fit, errNothing if there is none.
func (w *world) pick(ctx context.Context, r *rand.Rand, fit func(c coll) bool) (coll, error) {
	all, err := w.look(ctx)
	if err != nil {
		return coll{}, err
	}
	var some []coll
	for _, c := range all {
		if fit(c) {
			some = append(some, c)
		}
	}
	if len(some) == 0 {
		return coll{}, errNothing
	}
	// Most of what happens is to concern the sync.
	if taken := slices.DeleteFunc(slices.Clone(some), func(c coll) bool { return !w.plan.taken(c) }); len(taken) > 0 && r.IntN(4) > 0 {
		some = taken
	}
	if these := slices.DeleteFunc(slices.Clone(some), notChosen); len(these) > 0 && r.IntN(3) == 0 {
		some = these
	}
	return some[r.IntN(len(some))], nil
}

// need picks a collection that is fit, or makes one that should be.
func (w *world) need(ctx context.Context, r *rand.Rand, fit func(c coll) bool, make func(ctx context.Context, r *rand.Rand, c coll) error) (coll, error) {
	c, err := w.pick(ctx, r, fit)
	if !errors.Is(err, errNothing) {
		return c, err
	}
	c = w.name(r)
	if err := make(ctx, r, c); err != nil {
		return c, err
	}
	return w.pick(ctx, r, fit)
}

// names are those of collections: few, so that they are used again; two differ in
// case only.
var names = []string{"c0", "c1", "c2", "c3", "C0", "with.dots", "größe", "fs.chunks"}

func (w *world) name(r *rand.Rand) coll {
	return coll{db: databases[r.IntN(len(databases))], name: names[r.IntN(len(names))], kind: "collection"}
}

func (w *world) coll(c coll) *mongo.Collection { return w.app.Database(c.db).Collection(c.name) }

func (w *world) run(ctx context.Context, db string, cmd bson.D) error {
	return w.app.Database(db).RunCommand(ctx, cmd).Err()
}

func (w *world) admin(ctx context.Context, cmd bson.D) error { return w.run(ctx, "admin", cmd) }

// someDoc returns a document of a collection and the filter that finds it.
func (w *world) someDoc(ctx context.Context, r *rand.Rand, c coll) (bson.Raw, bson.D, error) {
	cur, err := w.coll(c).Find(ctx, bson.D{})
	if err != nil {
		return nil, nil, err
	}
	var all []bson.Raw
	for cur.Next(ctx) {
		all = append(all, append(bson.Raw{}, cur.Current...))
	}
	if err := cur.Err(); err != nil {
		return nil, nil, err
	}
	if len(all) == 0 {
		return nil, nil, errNothing
	}
	doc := all[r.IntN(len(all))]
	return doc, keyFilter(c, doc), nil
}

// keyFilter finds a document by its _id and its shard key.
func keyFilter(c coll, doc bson.Raw) bson.D {
	filter := bson.D{{"_id", doc.Lookup("_id")}}
	elems, err := c.key.Elements()
	if c.key == nil || err != nil {
		return filter
	}
	for _, e := range elems {
		v, err := doc.LookupErr(strings.Split(e.Key(), ".")...)
		switch {
		case e.Key() == "_id":
		case err != nil:
			filter = append(filter, bson.E{Key: e.Key(), Value: nil})
		default:
			filter = append(filter, bson.E{Key: e.Key(), Value: bson.D{{"$eq", v}}})
		}
	}
	return filter
}

// tolerable reports whether a step may fail so: what it works with changes all the
// time, and faults strike.
func tolerable(err error) bool {
	if mongoconn.IsNetwork(err) || errors.Is(err, mongo.ErrFileNotFound) {
		return true
	}
	var bulk mongo.ClientBulkWriteException
	if errors.As(err, &bulk) {
		if bulk.WriteError != nil && !tolerable(*bulk.WriteError) {
			return false
		}
		for _, e := range bulk.WriteErrors {
			if !mayHappen[e.Code] && e.Code != mongoconn.CodeUserWritesBlocked {
				return false
			}
		}
		return true
	}
	var se mongo.ServerError
	if !errors.As(err, &se) {
		return false
	}
	for _, label := range []string{"RetryableWriteError", "TransientTransactionError", "RetryableError"} {
		if se.HasErrorLabel(label) {
			return true
		}
	}
	for _, code := range se.ErrorCodes() {
		if !mayHappen[code] {
			return false
		}
	}
	return true
}

// mayHappen are the codes of errors that steps may end with. Among them are those
// of what is not possible with the collection that was drawn; a kind of change
// that never is would be counted at zero.
var mayHappen = map[int]bool{
	6: true, 7: true, 50: true, 63: true, 64: true, 71: true, 72: true, 89: true, 91: true, 112: true, 117: true, 118: true, 133: true, 134: true,
	150: true, 175: true, 189: true, 202: true, 208: true, 216: true, 225: true, 234: true, 237: true, 246: true, 251: true, 262: true, 267: true,
	290: true, 361: true, 10107: true, 11600: true, 11602: true, 13388: true, 13435: true, 13436: true, 9001: true, 13297: true,
	26: true, 27: true, 28: true, 43: true, 48: true, 66: true, 67: true, 68: true, 85: true, 86: true, 166: true,
	2: true, 20: true, 23: true, 61: true, 121: true, 125: true, 10334: true, 11000: true, 17419: true,
}

func describeError(err error) string {
	if err == nil {
		return "done"
	}
	const most = 300
	text := err.Error()
	return text[:min(most, len(text))]
}
