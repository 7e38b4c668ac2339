package main

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// chosen is the name of the collections of which not every document is taken. No
// other one gets it: that pauses a sync.
const chosen = "chosen"

func isChosen(c coll) bool  { return c.name == chosen }
func notChosen(c coll) bool { return c.name != chosen }

// chooses reports whether documents are chosen.
func chooses(p *Plan) bool { return len(p.Choice.asked.Documents) > 0 }

func documentFilter(db string, filter bson.D) shardferry.DocumentFilter {
	b, err := bson.Marshal(filter)
	if err != nil {
		panic(err)
	}
	return shardferry.DocumentFilter{Database: db, Collection: chosen, Filter: b}
}

// filters are what the checker is to ask of documents.
func (c choice) filters() map[string]bson.Raw {
	out := map[string]bson.Raw{}
	for _, f := range c.asked.Documents {
		out[f.Database+"."+f.Collection] = f.Filter
	}
	return out
}

// chosenChoices take some documents of a collection in each database.
func chosenChoices() []choice {
	documents := func(a, b bson.D) []shardferry.DocumentFilter {
		return []shardferry.DocumentFilter{documentFilter("a", a), documentFilter("b", b)}
	}
	is := func(field, op string, v any) bson.E { return bson.E{Key: field, Value: bson.D{{op, v}}} }
	return []choice{
		{
			name: "documents by what changes", often: 2,
			asked: shardferry.Selection{Documents: documents(bson.D{is("v", "$gte", 400)}, bson.D{{"v", bson.D{{"$gt", 100}, {"$lte", 700.5}}}})},
		},
		{
			name: "documents by what never changes", often: 1,
			asked: shardferry.Selection{Documents: documents(
				bson.D{{"$or", bson.A{bson.D{is("_id", "$type", "string")}, bson.D{is("_id", "$type", "object")}, bson.D{is("_id", "$lt", 3)}}}},
				bson.D{is("_id", "$regex", "[02468]$")},
			)},
		},
		{
			name: "documents by the shard key", often: 1,
			asked: shardferry.Selection{Documents: documents(bson.D{is("k", "$in", bson.A{1, 3, 5, 7, nil})}, bson.D{is("k", "$nin", bson.A{0, 2, 8, "s"}), is("n.x", "$ne", 1)})},
		},
		{
			name: "documents by nested fields and arrays", often: 1,
			asked: shardferry.Selection{Documents: documents(bson.D{is("n.x", "$lt", 2), {"arr.x", bson.D{{"$not", bson.D{{"$gt", 6}}}}}}, bson.D{is("n", "$exists", true), is("arr.x", "$lte", 4)})},
		},
		{
			name: "documents by several conditions, under other names", often: 2,
			asked: shardferry.Selection{
				Exclude: []shardferry.NamespaceRule{rules("a", "c1")}, Remap: []shardferry.DatabaseRemap{database("b", "store")},
				RemapCollections: []shardferry.CollectionRemap{collection("a."+chosen, "a.few")},
				Documents: documents(
					bson.D{{"$or", bson.A{bson.D{is("v", "$mod", bson.A{3, 0})}, bson.D{is("f0", "$exists", true)}, bson.D{{"$nor", bson.A{bson.D{is("k", "$type", "number")}}}}}}, is("mul", "$nin", bson.A{7})},
					bson.D{{"$and", bson.A{bson.D{{"f1", nil}}, bson.D{is("n.y", "$exists", false)}}}},
				),
			},
			goes: func(db, name string) string {
				switch {
				case db == "a" && name == "c1":
					return ""
				case db == "a" && name == chosen:
					return "a.few"
				case db == "b":
					return "store." + name
				}
				return db + "." + name
			},
		},
	}
}

// prepareChosen makes the collections with a filter: a sync is refused without.
func (w *world) prepareChosen(ctx context.Context, r *rand.Rand) error {
	there, err := w.look(ctx)
	if err != nil {
		return err
	}
	for _, ns := range slices.Sorted(maps.Keys(w.plan.Choice.filters())) {
		if slices.ContainsFunc(there, func(c coll) bool { return c.ns() == ns }) {
			continue
		}
		c := coll{db: ns[:1], name: chosen, kind: "collection"}
		make := makePlain(w)
		if w.plan.Shards[0] > 0 && r.IntN(2) == 0 {
			make = makeSharded(w)
		}
		if err := make(ctx, r, c); err != nil {
			return err
		}
	}
	return nil
}

// chosenKinds are changes of collections of which documents are chosen.
func chosenKinds() []*Kind {
	pauses := func(name string, do func(ctx context.Context, w *world, r *rand.Rand, c coll) error) *Kind {
		return &Kind{name: name, choosy: true, needs: chooses, holds: "documentFilters chooses documents of", do: func(ctx context.Context, w *world, r *rand.Rand) error {
			c, err := w.pick(ctx, r, isChosen)
			if err != nil {
				return err
			}
			return do(ctx, w, r, c)
		}}
	}
	again := func(opts ...bson.E) func(ctx context.Context, w *world, r *rand.Rand, c coll) error {
		return func(ctx context.Context, w *world, r *rand.Rand, c coll) error {
			if err := w.run(ctx, c.db, bson.D{{"drop", c.name}}); err != nil {
				return err
			}
			return w.create(ctx, c, r, opts...)
		}
	}
	into := pauses("$out into what has a filter", func(ctx context.Context, w *world, _ *rand.Rand, c coll) error {
		cur, err := w.coll(c).Aggregate(ctx, bson.A{bson.D{{"$match", bson.D{{"v", bson.D{{"$gt", 300}}}}}}, bson.D{{"$out", c.name}}})
		return exhaust(ctx, cur, err)
	})
	into.refuses = []int{outIntoSharded}
	return []*Kind{
		into,
		{name: "documents in and out of a filter", often: 14, choosy: true, needs: chooses, do: crossFilter},
		{name: "drop and create what has a filter", often: 3, choosy: true, needs: chooses, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			c, err := w.pick(ctx, r, isChosen)
			if errors.Is(err, errNothing) {
				return w.prepareChosen(ctx, r)
			}
			if err != nil {
				return err
			}
			return again()(ctx, w, r, c)
		}},
		pauses("rename what has a filter", func(ctx context.Context, w *world, _ *rand.Rand, c coll) error {
			return w.admin(ctx, bson.D{{"renameCollection", c.ns()}, {"to", c.db + ".aside"}, {"dropTarget", c.key == nil}})
		}),
		pauses("rename over what has a filter", func(ctx context.Context, w *world, r *rand.Rand, c coll) error {
			from := coll{db: c.db, name: "aside"}
			if err := w.create(ctx, from, r); err != nil {
				return err
			}
			return w.admin(ctx, bson.D{{"renameCollection", from.ns()}, {"to", c.ns()}, {"dropTarget", true}})
		}),
		pauses("what has a filter becomes capped", again(bson.E{Key: "capped", Value: true}, bson.E{Key: "size", Value: 9000})),
		pauses("what has a filter gets a collation", again(bson.E{Key: "collation", Value: bson.D{{"locale", "en"}, {"strength", 2}}})),
	}
}

// crossFilter changes documents so that they come to match a filter, or no longer
// do, by each sort of event.
func crossFilter(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.pick(ctx, r, isChosen)
	if err != nil {
		return err
	}
	for range 3 {
		doc, filter, err := w.someDoc(ctx, r, c)
		if err != nil {
			return err
		}
		switch r.IntN(4) {
		case 0:
			_, err = w.coll(c).ReplaceOne(ctx, filter, with(w.document(r), doc, c))
		case 1:
			_, err = w.coll(c).UpdateOne(ctx, filter, one(r, set("v", r.IntN(1000)), set("f0", 1, "f1", 2), set("n.y", 3), set("mul", 7), set("n", 4)))
		case 2:
			_, err = w.coll(c).UpdateOne(ctx, filter, one(r, unset("f0", "f1"), unset("n.y"), unset("v"), unset("mul", "arr")))
		default:
			_, err = w.coll(c).UpdateOne(ctx, filter, one(r, set("arr", numbers(r)), set("arr.0.x", r.IntN(9)), push("arr", bson.D{{"x", r.IntN(9)}})))
		}
		if err != nil && !tolerable(err) {
			return err
		}
	}
	return nil
}

func unset(names ...string) bson.D {
	d := bson.D{}
	for _, n := range names {
		d = append(d, bson.E{Key: n, Value: 1})
	}
	return bson.D{{"$unset", d}}
}

func push(name string, v any) bson.D { return bson.D{{"$push", bson.D{{name, v}}}} }
