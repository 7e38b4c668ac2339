package main

import (
	"context"
	"errors"
	"math/rand/v2"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// writeKinds are the changes of documents.
func writeKinds() []*Kind {
	out := []*Kind{
		{name: "insert", often: 8, do: insertOne},
		{name: "insert many", often: 8, do: insertMany},
		{name: "insert into capped", often: 2, do: insertCapped},
		{name: "replace", often: 6, do: replace},
		{name: "replace by another size", often: 2, do: replaceWhole},
		{name: "upsert", often: 3, do: upsert},
		{name: "delete", often: 8, do: remove},
		{name: "delete many", often: 1, do: removeMany},
		{name: "delete and insert again", often: 4, do: removeAndInsert},
		{name: "update many", often: 3, do: updateMany},
		{name: "findAndModify", often: 3, refuses: []int{sliceOfNoArray}, do: findAndModify},
		{name: "bulk write of one collection", often: 3, do: bulkWrite},
		{name: "bulkWrite of several collections", often: 2, needs: onEight, do: clientBulkWrite},
		{name: "swap unique values", often: 2, do: swapUnique},
		{name: "a hot document", often: 3, do: hot},
		{name: "expire documents", often: 1, do: expire},
		{name: "an event in fragments", needs: splits, do: fragments},
		{name: "an event in fragments, before 6.0.9", needs: not(splits), holds: "BSONObjectTooLarge", do: fragments},
		{name: "$merge", often: 2, do: merge},
		{name: "GridFS", often: 1, do: gridFS},
	}
	for i, u := range updates {
		often := 2
		if i >= usual {
			often = 0
		}
		var refuses []int
		if u.name == "cut an array and set in it" {
			refuses = []int{sliceOfNoArray}
		}
		out = append(out, &Kind{name: "update: " + u.name, often: often, caught: i >= usual, refuses: refuses, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			return updateBy(ctx, w, r, u)
		}})
	}
	return out
}

func makePlain(w *world) func(ctx context.Context, r *rand.Rand, c coll) error {
	return func(ctx context.Context, r *rand.Rand, c coll) error {
		_, err := w.coll(c).InsertMany(ctx, w.documents(r, 5), options.InsertMany().SetOrdered(false))
		if mongo.IsDuplicateKeyError(err) {
			return nil
		}
		return err
	}
}

func (w *world) documents(r *rand.Rand, n int) []any {
	var docs []any
	for range n {
		docs = append(docs, w.document(r))
	}
	return docs
}

// target picks a plain collection, and makes one if there is none.
func (w *world) target(ctx context.Context, r *rand.Rand) (coll, error) {
	return w.need(ctx, r, plain, makePlain(w))
}

func insertOne(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.target(ctx, r)
	if err != nil {
		return err
	}
	cmd := bson.D{{"insert", c.name}, {"documents", bson.A{w.document(r)}}}
	if !w.plan.before("8") {
		cmd = append(cmd, bson.E{Key: "bypassEmptyTsReplacement", Value: true})
	}
	return w.runWrite(ctx, c, cmd)
}

// runWrite runs a write command whose statements may fail.
func (w *world) runWrite(ctx context.Context, c coll, cmd bson.D) error {
	return w.app.Database(c.db).RunCommand(ctx, cmd).Err()
}

func insertMany(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.target(ctx, r)
	if err != nil {
		return err
	}
	_, err = w.coll(c).InsertMany(ctx, w.documents(r, 2+r.IntN(12)), options.InsertMany().SetOrdered(r.IntN(2) == 0))
	if mongo.IsDuplicateKeyError(err) {
		return nil // others of them are there
	}
	return err
}

// fill puts documents that nothing is special about into some collections.
func (w *world) fill(ctx context.Context, r *rand.Rand, n int) error {
	for ; n > 0; n -= filled {
		c, err := w.target(ctx, r)
		switch {
		case errors.Is(err, errNothing):
			continue
		case err != nil:
			return err
		}
		var docs []any
		for range filled {
			docs = append(docs, w.simple(r, w.unique("fill")))
		}
		if _, err := w.coll(c).InsertMany(ctx, docs, options.InsertMany().SetOrdered(false)); err != nil && !tolerable(err) {
			return err
		}
	}
	return nil
}

// filled is how many documents fill puts into one collection at a time.
const filled = 20

func insertCapped(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.need(ctx, r, func(c coll) bool { return c.kind == "collection" && c.is("capped") }, createCapped(w))
	if err != nil {
		return err
	}
	_, err = w.coll(c).InsertMany(ctx, w.documents(r, 1+r.IntN(5)), options.InsertMany().SetOrdered(false))
	if mongo.IsDuplicateKeyError(err) {
		return nil
	}
	return err
}

// existing picks a document of a plain collection.
func (w *world) existing(ctx context.Context, r *rand.Rand) (coll, bson.Raw, bson.D, error) {
	c, err := w.target(ctx, r)
	if err != nil {
		return c, nil, nil, err
	}
	doc, filter, err := w.someDoc(ctx, r, c)
	return c, doc, filter, err
}

// with gives a document the _id and the shard key of another one.
func with(doc bson.D, of bson.Raw, c coll) bson.D {
	doc[0].Value = of.Lookup("_id")
	for _, name := range []string{"k", "n"} {
		at := indexOf(doc, name)
		v, err := of.LookupErr(name)
		switch {
		case c.key == nil:
		case err == nil && at >= 0:
			doc[at].Value = v
		case err == nil:
			doc = append(doc, bson.E{Key: name, Value: v})
		case at >= 0:
			doc = append(doc[:at:at], doc[at+1:]...)
		}
	}
	return doc
}

func replace(ctx context.Context, w *world, r *rand.Rand) error {
	c, doc, filter, err := w.existing(ctx, r)
	if err != nil {
		return err
	}
	_, err = w.coll(c).ReplaceOne(ctx, filter, with(w.document(r), doc, c))
	return err
}

func replaceWhole(ctx context.Context, w *world, r *rand.Rand) error {
	c, doc, filter, err := w.existing(ctx, r)
	if err != nil {
		return err
	}
	d := with(bson.D{{"_id", nil}, {"k", 0}, {"n", bson.D{}}}, doc, c)
	_, err = w.coll(c).ReplaceOne(ctx, filter, append(d, bson.E{Key: "little", Value: r.IntN(9)}))
	return err
}

func upsert(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.target(ctx, r)
	if err != nil {
		return err
	}
	_, err = w.coll(c).UpdateOne(ctx, bson.D{{"_id", "upsert" + nth(r)}, {"k", 4}, {"n.x", 1}},
		bson.D{{"$inc", bson.D{{"v", 1}}}, {"$setOnInsert", bson.D{{"new", true}}}}, options.UpdateOne().SetUpsert(true))
	return err
}

func remove(ctx context.Context, w *world, r *rand.Rand) error {
	c, _, filter, err := w.existing(ctx, r)
	if err != nil {
		return err
	}
	_, err = w.coll(c).DeleteOne(ctx, filter)
	return err
}

func removeMany(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.target(ctx, r)
	if err != nil {
		return err
	}
	_, err = w.coll(c).DeleteMany(ctx, bson.D{{"v", bson.D{{"$lt", r.IntN(400)}}}})
	return err
}

func removeAndInsert(ctx context.Context, w *world, r *rand.Rand) error {
	c, doc, filter, err := w.existing(ctx, r)
	if err != nil {
		return err
	}
	if _, err = w.coll(c).DeleteOne(ctx, filter); err != nil {
		return err
	}
	_, err = w.coll(c).InsertOne(ctx, with(w.document(r), doc, c))
	return err
}

func updateMany(ctx context.Context, w *world, r *rand.Rand) error {
	c, err := w.target(ctx, r)
	if err != nil {
		return err
	}
	_, err = w.coll(c).UpdateMany(ctx, bson.D{{"v", bson.D{{"$gte", r.IntN(800)}}}}, one(r, updates[:6]...).make(r))
	return err
}

func updateBy(ctx context.Context, w *world, r *rand.Rand, u update) error {
	c, doc, filter, err := w.existing(ctx, r)
	if err != nil {
		return err
	}
	if u.name == "numeric path in an array" && doc.Lookup("h").Type == 0 {
		if _, err := w.coll(c).UpdateOne(ctx, filter, set("h", bson.D{{"0", 1}, {"1", bson.A{1, 2}}})); err != nil {
			return err
		}
	}
	res, err := w.coll(c).UpdateOne(ctx, filter, u.make(r))
	if err == nil && res.ModifiedCount == 0 {
		return errNothing
	}
	return err
}

func findAndModify(ctx context.Context, w *world, r *rand.Rand) error {
	c, doc, filter, err := w.existing(ctx, r)
	if err != nil {
		return err
	}
	switch r.IntN(3) {
	case 0:
		err = w.coll(c).FindOneAndDelete(ctx, filter).Err()
	case 1:
		err = w.coll(c).FindOneAndReplace(ctx, filter, with(w.document(r), doc, c)).Err()
	default:
		err = w.coll(c).FindOneAndUpdate(ctx, filter, one(r, updates[:usual]...).make(r)).Err()
	}
	return noDocument(err)
}

func noDocument(err error) error {
	if err == mongo.ErrNoDocuments { //nolint:errorlint // the driver returns it bare
		return errNothing
	}
	return err
}

func bulkWrite(ctx context.Context, w *world, r *rand.Rand) error {
	c, doc, filter, err := w.existing(ctx, r)
	if err != nil {
		return err
	}
	models := []mongo.WriteModel{
		mongo.NewInsertOneModel().SetDocument(w.document(r)),
		mongo.NewUpdateOneModel().SetFilter(filter).SetUpdate(set("v", r.IntN(1000))),
		mongo.NewReplaceOneModel().SetFilter(filter).SetReplacement(with(w.document(r), doc, c)),
		mongo.NewDeleteOneModel().SetFilter(filter),
		mongo.NewInsertOneModel().SetDocument(with(w.document(r), doc, c)),
	}
	r.Shuffle(len(models), func(i, j int) { models[i], models[j] = models[j], models[i] })
	_, err = w.coll(c).BulkWrite(ctx, models, options.BulkWrite().SetOrdered(r.IntN(2) == 0))
	return err
}

func clientBulkWrite(ctx context.Context, w *world, r *rand.Rand) error {
	a, doc, filter, err := w.existing(ctx, r)
	if err != nil {
		return err
	}
	b, err := w.target(ctx, r)
	if err != nil {
		return err
	}
	_, err = w.app.BulkWrite(ctx, []mongo.ClientBulkWrite{
		{Database: a.db, Collection: a.name, Model: mongo.NewClientDeleteOneModel().SetFilter(filter)},
		{Database: b.db, Collection: b.name, Model: mongo.NewClientInsertOneModel().SetDocument(w.document(r))},
		{Database: a.db, Collection: a.name, Model: mongo.NewClientInsertOneModel().SetDocument(with(w.document(r), doc, a))},
	}, options.ClientBulkWrite().SetOrdered(r.IntN(2) == 0))
	return err
}
