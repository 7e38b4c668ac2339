package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

// swapUnique lets two documents exchange a unique value by way of a third one, so
// that on another cluster, in another order, each stands in the other's way.
func swapUnique(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.pick(ctx, r, unsharded)
	if err != nil {
		return err
	}
	if _, err := w.coll(c).Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{"u", 1}}, Options: options.Index().SetUnique(true).SetSparse(true).SetName("u_unique")}); err != nil {
		return err
	}
	for i := range 2 {
		_, err := w.coll(c).UpdateOne(ctx, bson.D{{"_id", fmt.Sprintf("u%d", i)}}, bson.D{{"$setOnInsert", bson.D{{"u", i}}}}, options.UpdateOne().SetUpsert(true))
		if err != nil {
			return err
		}
	}
	for _, move := range []struct {
		id string
		to int
	}{{"u0", 1000 + r.IntN(1000)}, {"u1", 0}, {"u0", 1}} {
		if _, err := w.coll(c).UpdateOne(ctx, bson.D{{"_id", move.id}}, set("u", move.to)); err != nil {
			return err
		}
	}
	return nil
}

// hot changes one document again and again.
func hot(ctx context.Context, w *world, r *rand.Rand) error {
	c, _, filter, err := w.existing(ctx, r)
	if err != nil {
		return err
	}
	for i := range 8 {
		switch _, err = w.coll(c).UpdateOne(ctx, filter, one(r, updates[:10]...).make(r)); {
		case err != nil && !tolerable(err):
			return err
		case i == 7:
			return err
		}
	}
	return nil
}

// expiring begins the _id of every document that is made to expire.
const expiring = "gone"

// expire lets the server's TTL monitor delete documents.
func expire(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.pick(ctx, r, plain)
	if err != nil {
		return err
	}
	if _, err := w.coll(c).Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{"gone", 1}}, Options: options.Index().SetExpireAfterSeconds(1).SetName("gone_ttl")}); err != nil {
		return err
	}
	for i := range 3 {
		d := w.document(r)
		d[1] = bson.E{Key: "k", Value: int32(3)}
		d = append(d, bson.E{Key: "gone", Value: bson.NewDateTimeFromTime(time.Now().Add(-time.Duration(i) * time.Second))})
		d[0].Value = fmt.Sprintf(expiring+"%d", r.IntN(100))
		if _, err := w.coll(c).InsertOne(ctx, d); err != nil && !tolerable(err) {
			return err
		}
	}
	return mongoconn.Sleep(ctx, 3*time.Second)
}

// fragments makes an event that is larger than a reply can hold. Its token holds
// the key in hexadecimal digits, and each fragment has the token.
func fragments(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.pick(ctx, r, unsharded)
	if err != nil {
		return err
	}
	id := strings.Repeat("i", 3<<20)
	_, err = w.coll(c).InsertOne(ctx, bson.D{{"_id", id}, {"k", 1}, {"a", strings.Repeat("a", 6<<20)}})
	if err != nil {
		return err
	}
	_, err = w.coll(c).UpdateOne(ctx, bson.D{{"_id", id}}, set("a", strings.Repeat("b", 6<<20), "v", r.IntN(9)))
	return err
}

// merge writes what an aggregation finds into another collection.
func merge(ctx context.Context, w *world, r *rand.Rand) error {
	from, err := w.pick(ctx, r, plain)
	if err != nil {
		return err
	}
	into, err := w.pick(ctx, r, func(c coll) bool { return unsharded(c) && c.ns() != from.ns() })
	if err != nil {
		return err
	}
	cur, err := w.coll(from).Aggregate(ctx, bson.A{
		bson.D{{"$limit", 4}},
		bson.D{{"$project", bson.D{{"v", 1}, {"k", 1}, {"n", 1}, {"merged", bson.D{{"$literal", r.IntN(99)}}}}}},
		bson.D{{"$merge", bson.D{{"into", bson.D{{"db", into.db}, {"coll", into.name}}}, {"whenMatched", one(r, "merge", "replace", "keepExisting")}}}},
	})
	return exhaust(ctx, cur, err)
}

func exhaust(ctx context.Context, cur *mongo.Cursor, err error) error {
	if err != nil {
		return err
	}
	return errors.Join(cur.Err(), cur.Close(ctx))
}

func gridFS(ctx context.Context, w *world, r *rand.Rand) error {
	bucket := w.app.Database(databases[r.IntN(2)]).GridFSBucket(options.GridFSBucket().SetName("files").SetChunkSizeBytes(1000))
	name := "file" + nth(r)
	id, err := bucket.UploadFromStream(ctx, name, strings.NewReader(strings.Repeat("x", 2500+r.IntN(1000))))
	if err != nil || r.IntN(3) > 0 {
		return err
	}
	return bucket.Delete(ctx, id)
}

// transactionKinds are the changes of several documents at once.
func transactionKinds() []*Kind {
	all := []*Kind{
		{name: "transaction in one collection", often: 3, do: func(ctx context.Context, w *world, r *rand.Rand) error { return transaction(ctx, w, r, 1, false) }},
		{name: "transaction across collections", often: 3, do: func(ctx context.Context, w *world, r *rand.Rand) error { return transaction(ctx, w, r, 3, false) }},
		{name: "transaction on several shards", often: 5, needs: onSeveral, do: transactionAcross},
		{name: "transaction that is given up", often: 1, do: func(ctx context.Context, w *world, r *rand.Rand) error { return transaction(ctx, w, r, 2, true) }},
		{name: "large transaction", do: largeTransaction},
	}
	for _, k := range all {
		k.refuses = []int{notInTransactions}
	}
	return all
}

var errGivenUp = errors.New("the transaction is given up")

// transaction writes into some collections at once.
func transaction(ctx context.Context, w *world, r *rand.Rand, colls int, giveUp bool) error {
	type target struct {
		c      coll
		doc    bson.Raw
		filter bson.D
	}
	var targets []target
	for range colls {
		c, doc, filter, err := w.existing(ctx, r)
		if err != nil {
			return err
		}
		targets = append(targets, target{c, doc, filter})
	}
	what, fresh, v := r.IntN(3), w.document(r), r.IntN(1000)
	err := w.transact(ctx, func(ctx context.Context) error {
		for i, t := range targets {
			var err error
			switch (what + i) % 3 {
			case 0:
				_, err = w.coll(t.c).UpdateOne(ctx, t.filter, set("v", v+i))
			case 1:
				_, err = w.coll(t.c).DeleteOne(ctx, t.filter)
			default:
				_, err = w.coll(t.c).ReplaceOne(ctx, t.filter, with(append(bson.D{}, fresh...), t.doc, t.c))
			}
			if err != nil {
				return err
			}
		}
		if giveUp {
			return errGivenUp
		}
		return nil
	})
	if errors.Is(err, errGivenUp) {
		return nil
	}
	return err
}

func (w *world) transact(ctx context.Context, do func(ctx context.Context) error) error {
	s, err := w.app.StartSession()
	if err != nil {
		return err
	}
	defer s.EndSession(ctx)
	if err := s.StartTransaction(); err != nil {
		return err
	}
	sctx := mongo.NewSessionContext(ctx, s)
	if err := do(sctx); err != nil {
		_ = s.AbortTransaction(sctx) // a server that is gone forgets it
		return err
	}
	return s.CommitTransaction(sctx)
}

// transactionAcross changes documents of all shards of a collection at once.
func transactionAcross(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.need(ctx, r, sharded, makeSharded(w))
	if err != nil {
		return err
	}
	v := r.IntN(1000)
	return w.transact(ctx, func(ctx context.Context) error {
		if _, err := w.coll(c).UpdateMany(ctx, bson.D{{"k", bson.D{{"$gte", r.IntN(5)}}}}, set("v", v, "txn", true)); err != nil {
			return err
		}
		_, err := w.coll(c).DeleteMany(ctx, bson.D{{"v", v + 1}})
		return err
	})
}

// largeTransaction needs several entries of the oplog.
func largeTransaction(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.pick(ctx, r, unsharded)
	if err != nil {
		return err
	}
	return w.transact(ctx, func(ctx context.Context) error {
		for i := range 4 {
			d := bson.D{{"_id", fmt.Sprintf("large%d-%d", i, r.IntN(1000))}, {"fill", strings.Repeat("x", 5<<20)}}
			if _, err := w.coll(c).InsertOne(ctx, d); err != nil {
				return err
			}
		}
		_, err := w.coll(c).DeleteMany(ctx, bson.D{{"_id", bson.D{{"$gte", "large0"}, {"$lt", "large3"}}}})
		return err
	})
}
