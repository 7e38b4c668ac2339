package main

import (
	"context"
	"math/rand/v2"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// catalogKinds make, rename and drop collections and views.
func catalogKinds() []*Kind {
	create := func(name string, opts ...bson.E) *Kind {
		return &Kind{name: "create " + name, often: 1, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			return w.create(ctx, w.name(r), r, opts...)
		}}
	}
	refused := func(holds string, k *Kind) *Kind {
		k.holds, k.often = holds, 0
		return k
	}
	return []*Kind{
		create("a collection"),
		create("with a validator", bson.E{Key: "validator", Value: bson.D{{"v", bson.D{{"$ne", -1}}}}}, bson.E{Key: "validationAction", Value: "warn"}),
		create("with a schema", bson.E{Key: "validator", Value: bson.D{{"$jsonSchema", bson.D{{"required", bson.A{"_id"}}}}}}, bson.E{Key: "validationLevel", Value: "moderate"}),
		create("with pre- and post-images", bson.E{Key: "changeStreamPreAndPostImages", Value: bson.D{{"enabled", true}}}),
		create("clustered", bson.E{Key: "clusteredIndex", Value: bson.D{{"key", bson.D{{"_id", 1}}}, {"unique", true}, {"name", "cl"}}}),
		create("with storage options", bson.E{Key: "storageEngine", Value: bson.D{{"wiredTiger", bson.D{{"configString", "block_compressor=zlib"}}}}}),
		{name: "create capped", often: 1, do: func(ctx context.Context, w *world, r *rand.Rand) error { return createCapped(w)(ctx, r, w.name(r)) }},
		{name: "create a view", often: 1, do: createView},
		{name: "create a view on a view", often: 1, refuses: []int{viewsInACircle}, do: createViewOnView},
		create("with a collation", bson.E{Key: "collation", Value: bson.D{{"locale", "en"}, {"strength", 2}}}),
		refused("series", create("time-series", bson.E{Key: "timeseries", Value: bson.D{{"timeField", "t"}}})),
		refused("encrypt", create("with encrypted fields", bson.E{Key: "encryptedFields", Value: bson.D{{"fields", bson.A{}}}})),
		{name: "drop a collection", often: 4, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			return dropSome(ctx, w, r, func(c coll) bool { return c.kind == "collection" })
		}},
		{name: "drop a view", often: 1, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			return dropSome(ctx, w, r, func(c coll) bool { return c.kind == "view" })
		}},
		{name: "drop and create again", often: 3, do: dropAndCreate},
		{name: "drop a database", often: 1, do: dropDatabase},
		{name: "rename", often: 3, do: func(ctx context.Context, w *world, r *rand.Rand) error { return rename(ctx, w, r, true, false) }},
		{name: "rename across databases", often: 2, do: func(ctx context.Context, w *world, r *rand.Rand) error { return rename(ctx, w, r, false, false) }},
		{name: "rename over another", often: 2, do: func(ctx context.Context, w *world, r *rand.Rand) error { return rename(ctx, w, r, true, true) }},
		{name: "rename across databases over another", often: 1, do: func(ctx context.Context, w *world, r *rand.Rand) error { return rename(ctx, w, r, false, true) }},
		{name: "rename around: a to b to a", often: 1, do: renameAround},
		{name: "$out", often: 2, refuses: []int{outIntoCapped, outIntoSharded}, do: out},
		{name: "convertToCapped", often: 1, refuses: []int{notSupported}, do: convertToCapped},
	}
}

// create makes a collection and puts documents into it.
func (w *world) create(ctx context.Context, c coll, r *rand.Rand, opts ...bson.E) error {
	cmd := append(bson.D{{"create", c.name}}, opts...)
	if err := w.run(ctx, c.db, cmd); err != nil {
		return err
	}
	if indexOf(cmd, "timeseries") > 0 {
		return nil
	}
	_, err := w.coll(c).InsertMany(ctx, w.documents(r, 3), options.InsertMany().SetOrdered(false))
	if mongo.IsDuplicateKeyError(err) || err != nil && tolerable(err) {
		return nil
	}
	return err
}

func createCapped(w *world) func(ctx context.Context, r *rand.Rand, c coll) error {
	return func(ctx context.Context, r *rand.Rand, c coll) error {
		opts := []bson.E{{Key: "capped", Value: true}, {Key: "size", Value: 4096 + r.IntN(100_000)}}
		if r.IntN(2) == 0 {
			opts = append(opts, bson.E{Key: "max", Value: 3 + r.IntN(20)})
		}
		return w.create(ctx, c, r, opts...)
	}
}

func createView(ctx context.Context, w *world, r *rand.Rand) error {
	on, err := w.need(ctx, r, func(c coll) bool { return plain(c) && w.plan.keeps(c) }, makePlain(w))
	if err != nil {
		return err
	}
	return w.run(ctx, on.db, bson.D{{"create", "view" + nth(r)}, {"viewOn", on.name}, {"pipeline", bson.A{bson.D{{"$match", bson.D{{"v", bson.D{{"$gt", r.IntN(9)}}}}}}}}})
}

func createViewOnView(ctx context.Context, w *world, r *rand.Rand) error {
	on, err := w.need(ctx, r, func(c coll) bool { return c.kind == "view" }, func(ctx context.Context, r *rand.Rand, _ coll) error { return createView(ctx, w, r) })
	if err != nil {
		return err
	}
	return w.run(ctx, on.db, bson.D{{"create", "above" + nth(r)}, {"viewOn", on.name}, {"pipeline", bson.A{}}, {"collation", bson.D{{"locale", "simple"}}}})
}

func dropSome(ctx context.Context, w *world, r *rand.Rand, fit func(c coll) bool) error {
	c, err := w.pick(ctx, r, fit)
	if err != nil {
		return err
	}
	return w.run(ctx, c.db, bson.D{{"drop", c.name}})
}

func dropAndCreate(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.pick(ctx, r, func(c coll) bool { return c.kind == "collection" })
	if err != nil {
		return err
	}
	if err := w.run(ctx, c.db, bson.D{{"drop", c.name}}); err != nil {
		return err
	}
	return makePlain(w)(ctx, r, c)
}

func dropDatabase(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.pick(ctx, r, func(coll) bool { return true })
	if err != nil {
		return err
	}
	return w.run(ctx, c.db, bson.D{{"dropDatabase", 1}})
}

func rename(ctx context.Context, w *world, r *rand.Rand, within, over bool) error {
	c, err := w.pick(ctx, r, func(c coll) bool {
		return c.kind == "collection" && (c.key == nil || (within && !over)) && notChosen(c)
	})
	if err != nil {
		return err
	}
	to := w.name(r)
	to.db = c.db
	if !within {
		to.db = map[string]string{"a": "b", "b": "a"}[c.db]
	}
	if over {
		to, err = w.pick(ctx, r, func(t coll) bool { return unsharded(t) && notChosen(t) && (t.db == c.db) == within && t.ns() != c.ns() })
		if err != nil {
			return err
		}
	}
	return w.admin(ctx, bson.D{{"renameCollection", c.ns()}, {"to", to.ns()}, {"dropTarget", over}})
}

// nameless are collections that may be others under their name.
func nameless(c coll) bool { return unsharded(c) && notChosen(c) }

// renameAround ends with other documents under each name than it began with.
func renameAround(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.pick(ctx, r, nameless)
	if err != nil {
		return err
	}
	if err := w.admin(ctx, bson.D{{"renameCollection", c.ns()}, {"to", c.db + ".aside"}, {"dropTarget", true}}); err != nil {
		return err
	}
	if err := makePlain(w)(ctx, r, c); err != nil {
		return err
	}
	return w.admin(ctx, bson.D{{"renameCollection", c.db + ".aside"}, {"to", c.ns()}, {"dropTarget", true}})
}

// out replaces a collection by the result of an aggregation: a temporary
// collection that is renamed over it.
func out(ctx context.Context, w *world, r *rand.Rand) error {
	from, err := w.target(ctx, r)
	if err != nil {
		return err
	}
	into, err := w.pick(ctx, r, nameless)
	if err != nil {
		return err
	}
	cur, err := w.coll(from).Aggregate(ctx, bson.A{
		bson.D{{"$match", bson.D{{"v", bson.D{{"$lt", r.IntN(1000)}}}}}},
		bson.D{{"$out", bson.D{{"db", into.db}, {"coll", one(r, into.name, into.name, "made")}}}},
	})
	return exhaust(ctx, cur, err)
}

func convertToCapped(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.pick(ctx, r, nameless)
	if err != nil {
		return err
	}
	return w.run(ctx, c.db, bson.D{{"convertToCapped", c.name}, {"size", 50_000}})
}
