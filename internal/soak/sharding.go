package main

import (
	"context"
	"errors"
	"math/rand/v2"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

type indexSpec = mongo.IndexSpecification

// shardingKinds change where documents are.
func shardingKinds() []*Kind {
	shard := func(name string, key bson.D) *Kind {
		return &Kind{name: "shardCollection: " + name, often: 1, needs: onSharded, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			c, err := w.need(ctx, r, unsharded, makePlain(w))
			if err != nil {
				return err
			}
			return w.shard(ctx, r, c, key)
		}}
	}
	return []*Kind{
		shard("a range", bson.D{{"k", 1}}),
		shard("hashed", bson.D{{"k", "hashed"}}),
		shard("_id", bson.D{{"_id", 1}}),
		shard("compound", bson.D{{"k", 1}, {"_id", 1}}),
		shard("compound hashed", bson.D{{"n.x", 1}, {"_id", "hashed"}}),
		shard("nested", bson.D{{"n.x", 1}}),
		{name: "a shard key changes", often: 4, needs: onSharded, do: changeKey},
		{name: "the same _id on two shards", needs: onSeveral, mayHold: "the source holds both", do: sameID},
		{name: "splitChunk", often: 1, needs: onSharded, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			c, err := w.need(ctx, r, byK, makeSharded(w))
			if err != nil {
				return err
			}
			return w.admin(ctx, bson.D{{"split", c.ns()}, {"middle", bson.D{{"k", r.IntN(10)}}}})
		}},
		{name: "moveChunk", often: 2, needs: onSeveral, do: moveChunk},
		{name: "movePrimary", often: 1, needs: onSeveral, do: movePrimary},
		{name: "refineCollectionShardKey without an event (6.0)", needs: all(onSharded, onSix), caught: true, do: refine},
		{name: "refineCollectionShardKey", often: 1, needs: all(onSharded, not(onSix)), do: refine},
		{name: "reshardCollection without an event (6.0.5)", needs: all(onSeveral, not(splits)), caught: true, do: reshard},
		{name: "reshardCollection", often: 1, needs: all(onSeveral, splits), do: reshard},
		{name: "moveCollection", often: 1, needs: all(onSeveral, onEight), do: moveCollection},
		{name: "unshardCollection", often: 1, needs: all(onSeveral, onEight), do: func(ctx context.Context, w *world, r *rand.Rand) error {
			c, err := w.need(ctx, r, byK, makeSharded(w))
			if err != nil {
				return err
			}
			return w.admin(ctx, bson.D{{"unshardCollection", c.ns()}, {"toShard", one(r, w.source.Shards()...)}})
		}},
	}
}

// byK are collections sharded by ranges of k.
func byK(c coll) bool { return sharded(c) && c.key.String() == `{"k": {"$numberInt":"1"}}` }

const shardKeyIndex = "shard key"

// shard shards a collection, with the index that this needs.
func (w *world) shard(ctx context.Context, r *rand.Rand, c coll, key bson.D) error {
	if err := w.index(ctx, c, shardKeyIndex, key); err != nil && key[0].Key != "_id" {
		return err
	}
	if err := w.admin(ctx, bson.D{{"shardCollection", c.ns()}, {"key", key}}); err != nil {
		return err
	}
	return w.spread(ctx, r, c, key)
}

// spread cuts a collection of a range and moves a part of it, before the sync
// starts: later that is a change of its own.
func (w *world) spread(ctx context.Context, r *rand.Rand, c coll, key bson.D) error {
	if w.plan.Shards[0] < 2 || len(key) > 1 || key[0].Key != "k" || key[0].Value != 1 || w.started.Load() {
		return nil
	}
	if err := w.admin(ctx, bson.D{{"split", c.ns()}, {"middle", bson.D{{"k", 5}}}}); err != nil {
		return err
	}
	return w.admin(ctx, bson.D{{"moveChunk", c.ns()}, {"find", bson.D{{"k", 7}}}, {"to", one(r, w.source.Shards()...)}, {"_waitForDelete", true}})
}

func makeSharded(w *world) func(ctx context.Context, r *rand.Rand, c coll) error {
	return func(ctx context.Context, r *rand.Rand, c coll) error {
		if err := makePlain(w)(ctx, r, c); err != nil {
			return err
		}
		return w.shard(ctx, r, c, bson.D{{"k", 1}})
	}
}

// changeKey gives a document another shard key, so that it may move. It is one
// that nobody inserts again, perhaps under its former key.
func changeKey(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.need(ctx, r, sharded, makeSharded(w))
	if err != nil {
		return err
	}
	travellers := bson.D{{"traveller", true}}
	var doc bson.Raw
	switch doc, err = w.coll(c).FindOne(ctx, travellers).Raw(); {
	case errors.Is(err, mongo.ErrNoDocuments):
		for range 3 {
			d := append(w.document(r), bson.E{Key: "traveller", Value: true})
			d[0].Value = w.unique("traveller")
			if _, err := w.coll(c).InsertOne(ctx, d); err != nil {
				return err
			}
			doc, err = bson.Marshal(d)
		}
	}
	if err != nil {
		return err
	}
	_, err = w.coll(c).UpdateOne(ctx, keyFilter(c, doc), set("k", r.IntN(10), "n.x", r.IntN(4), "v", r.IntN(1000)))
	return err
}

// sameID makes two documents of one _id, which only a shard key tells apart.
func sameID(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.need(ctx, r, byK, makeSharded(w))
	if err != nil {
		return err
	}
	for _, k := range []int32{1, 8} {
		d := bson.D{{"_id", "same" + nth(r)}, {"k", k}, {"v", r.IntN(1000)}}
		if _, err := w.coll(c).InsertOne(ctx, d); err != nil && !mongo.IsDuplicateKeyError(err) {
			return err
		}
	}
	return nil
}

func moveChunk(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.need(ctx, r, byK, makeSharded(w))
	if err != nil {
		return err
	}
	return w.admin(ctx, bson.D{{"moveChunk", c.ns()}, {"find", bson.D{{"k", r.IntN(10)}}}, {"to", one(r, w.source.Shards()...)}})
}

func movePrimary(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.target(ctx, r)
	if err != nil {
		return err
	}
	return w.admin(ctx, bson.D{{"movePrimary", c.db}, {"to", one(r, w.source.Shards()...)}})
}

func refine(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.need(ctx, r, byK, makeSharded(w))
	if err != nil {
		return err
	}
	key := bson.D{{"k", 1}, {"v", 1}}
	if err := w.index(ctx, c, shardKeyIndex+" refined", key); err != nil {
		return err
	}
	return w.admin(ctx, bson.D{{"refineCollectionShardKey", c.ns()}, {"key", key}})
}

func reshard(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.need(ctx, r, byK, makeSharded(w))
	if err != nil {
		return err
	}
	return w.admin(ctx, bson.D{{"reshardCollection", c.ns()}, {"key", bson.D{{"_id", "hashed"}}}})
}

func moveCollection(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.need(ctx, r, unsharded, makePlain(w))
	if err != nil {
		return err
	}
	for _, to := range w.source.Shards() {
		if err := w.admin(ctx, bson.D{{"moveCollection", c.ns()}, {"toShard", to}}); err != nil {
			return err
		}
	}
	return nil
}
