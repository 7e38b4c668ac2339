package main

import (
	"context"
	"math/rand/v2"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// collModKinds change collections and indexes that are there.
func collModKinds() []*Kind {
	mod := func(name string, fit func(c coll) bool, fields ...bson.E) *Kind {
		return &Kind{name: "collMod: " + name, often: 1, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			c, err := w.pick(ctx, r, fit)
			if err != nil {
				return err
			}
			return w.run(ctx, c.db, append(bson.D{{"collMod", c.name}}, fields...))
		}}
	}
	indexed := func(name, index string, spec bson.D, opts ...bson.E) *Kind {
		return &Kind{name: "collMod: " + name, often: 1, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			c, err := w.target(ctx, r)
			if err != nil {
				return err
			}
			if err := w.index(ctx, c, index, bson.D{{index, 1}}, opts...); err != nil {
				return err
			}
			return w.run(ctx, c.db, bson.D{{"collMod", c.name}, {"index", append(bson.D{{"name", index}}, spec...)}})
		}}
	}
	return []*Kind{
		mod("validator", plain, bson.E{Key: "validator", Value: bson.D{{"v", bson.D{{"$ne", -2}}}}}, bson.E{Key: "validationAction", Value: "warn"}),
		mod("no validator", plain, bson.E{Key: "validator", Value: bson.D{}}, bson.E{Key: "validationLevel", Value: "off"}),
		mod("pre- and post-images", plain, bson.E{Key: "changeStreamPreAndPostImages", Value: bson.D{{"enabled", true}}}),
		mod("capped size", func(c coll) bool { return c.kind == "collection" && c.is("capped") }, bson.E{Key: "cappedSize", Value: 200_000}, bson.E{Key: "cappedMax", Value: 40}),
		{name: "collMod: view", often: 1, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			c, err := w.pick(ctx, r, func(c coll) bool { return c.kind == "view" })
			if err != nil {
				return err
			}
			on, _ := c.options.Lookup("viewOn").StringValueOK()
			return w.run(ctx, c.db, bson.D{{"collMod", c.name}, {"viewOn", on}, {"pipeline", bson.A{bson.D{{"$match", bson.D{{"v", r.IntN(9)}}}}}}})
		}},
		indexed("hide an index", "hide", bson.D{{"hidden", true}}),
		indexed("unhide an index", "unhide", bson.D{{"hidden", false}}, bson.E{Key: "hidden", Value: true}),
		indexed("expireAfterSeconds", "expires", bson.D{{"expireAfterSeconds", 500_000}}, bson.E{Key: "expireAfterSeconds", Value: 900_000}),
		indexed("an index becomes TTL", "expires2", bson.D{{"expireAfterSeconds", 700_000}}),
		indexed("prepareUnique", "prep", bson.D{{"prepareUnique", true}}),
		{name: "collMod: an index becomes unique", often: 1, do: becomeUnique},
	}
}

func becomeUnique(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.pick(ctx, r, unsharded)
	if err != nil {
		return err
	}
	if err := w.index(ctx, c, "becomes", bson.D{{"_id", 1}, {"becomes", 1}}); err != nil {
		return err
	}
	for _, step := range []bson.E{{Key: "prepareUnique", Value: true}, {Key: "unique", Value: true}} {
		if err := w.run(ctx, c.db, bson.D{{"collMod", c.name}, {"index", bson.D{{"name", "becomes"}, step}}}); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) index(ctx context.Context, c coll, name string, key bson.D, opts ...bson.E) error {
	spec := append(bson.D{{"key", key}, {"name", name}}, opts...)
	return w.run(ctx, c.db, bson.D{{"createIndexes", c.name}, {"indexes", bson.A{spec}}})
}

// indexKinds build and drop indexes.
func indexKinds() []*Kind {
	build := func(name string, key bson.D, opts ...bson.E) *Kind {
		return &Kind{name: "createIndexes: " + name, often: 1, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			c, err := w.target(ctx, r)
			if err != nil {
				return err
			}
			return w.index(ctx, c, "i "+name, key, opts...)
		}}
	}
	opt := func(name string, v any) bson.E { return bson.E{Key: name, Value: v} }
	return []*Kind{
		build("ascending", bson.D{{"v", 1}}),
		build("compound, descending", bson.D{{"n.x", -1}, {"v", 1}, {"_id", 1}}),
		build("a multikey", bson.D{{"arr.x", 1}}),
		build("odd direction", bson.D{{"v", -1e-9}, {"k", 2.5}}),
		build("unique", bson.D{{"_id", 1}, {"v", 1}}, opt("unique", true)),
		build("unique with violations while it syncs", bson.D{{"u2", 1}}, opt("unique", true), opt("sparse", true)),
		build("unique and not, on one key", bson.D{{"_id", 1}, {"k", 1}}, opt("unique", true), opt("partialFilterExpression", bson.D{{"k", bson.D{{"$gt", 3}}}})),
		build("sparse", bson.D{{"f1", 1}}, opt("sparse", true)),
		build("partial", bson.D{{"f2", 1}}, opt("partialFilterExpression", bson.D{{"v", bson.D{{"$gt", 5}}}})),
		build("TTL", bson.D{{"expires", 1}}, opt("expireAfterSeconds", 100)),
		build("hidden", bson.D{{"f3", 1}}, opt("hidden", true)),
		build("hashed", bson.D{{"v", "hashed"}}),
		build("compound hashed", bson.D{{"f0", 1}, {"v", "hashed"}}),
		build("wildcard", bson.D{{"$**", 1}}, opt("wildcardProjection", bson.D{{"n", 1}})),
		build("text", bson.D{{"words", "text"}}, opt("weights", bson.D{{"words", 5}}), opt("default_language", "english")),
		build("2dsphere", bson.D{{"place", "2dsphere"}}),
		build("2d", bson.D{{"flat", "2d"}}, opt("bits", 20)),
		build("collated", bson.D{{"f1", 1}, {"v", 1}}, opt("collation", bson.D{{"locale", "fr"}, {"strength", 1}})),
		{name: "dropIndexes: one", often: 2, refuses: []int{needsItsShardKey}, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			c, name, err := w.someIndex(ctx, r)
			if err != nil {
				return err
			}
			return w.run(ctx, c.db, bson.D{{"dropIndexes", c.name}, {"index", name}})
		}},
		{name: "dropIndexes: all", often: 1, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			c, err := w.pick(ctx, r, unsharded)
			if err != nil {
				return err
			}
			if err := w.index(ctx, c, "to be dropped", bson.D{{"f0", 1}}); err != nil {
				return err
			}
			return w.run(ctx, c.db, bson.D{{"dropIndexes", c.name}, {"index", "*"}})
		}},
		{name: "drop and build an index of the same name", often: 1, refuses: []int{needsItsShardKey}, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			c, name, err := w.someIndex(ctx, r)
			if err != nil {
				return err
			}
			if err := w.run(ctx, c.db, bson.D{{"dropIndexes", c.name}, {"index", name}}); err != nil {
				return err
			}
			return w.index(ctx, c, name, bson.D{{"v", one(r, 1, -1)}, {"other", 1}})
		}},
	}
}

// someIndex finds a collection with an index beside that of _id.
func (w *world) someIndex(ctx context.Context, r *rand.Rand) (coll, string, error) {
	all, err := w.look(ctx)
	if err != nil {
		return coll{}, "", err
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, c := range all {
		if !plain(c) {
			continue
		}
		specs, err := w.coll(c).Indexes().ListSpecifications(ctx)
		if err != nil {
			return c, "", err
		}
		specs = slices.DeleteFunc(specs, func(s indexSpec) bool {
			// Without the index of a hashed shard key no sync can start.
			return s.Name == "_id_" || s.Name == shardKeyIndex || s.KeysDocument.String() == c.key.String() || (s.Clustered != nil && *s.Clustered)
		})
		if len(specs) > 0 {
			return c, specs[r.IntN(len(specs))].Name, nil
		}
	}
	return coll{}, "", errNothing
}
