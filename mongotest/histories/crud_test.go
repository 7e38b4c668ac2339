package histories_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// crud writes some documents of a collection.
func (w *world) crud() {
	c := w.pick(nil)
	if c == nil || w.chance(5) {
		w.insertSomewhere()
		return
	}
	switch w.rnd.IntN(12) {
	case 0, 1, 2:
		w.insert(c)
	case 3, 4, 5:
		w.update(c)
	case 6:
		w.replace(c)
	case 7:
		w.delete(c)
	case 8:
		w.changeKey(c)
	case 9:
		w.many(c)
	case 10:
		w.transaction()
	case 11:
		w.findAndModify(c)
	}
}

// insertSomewhere inserts, and creates the collection if there is none.
func (w *world) insertSomewhere() {
	ns := one(w.rnd, namespaces)
	if c := w.collections[ns]; c != nil {
		w.insert(c)
		return
	}
	c := w.newCollection(ns)
	d := w.newDoc(newID(w.rnd))
	_, err := w.coll(c).InsertOne(w.ctx, d)
	require.NoError(w.t, err)
	w.did("insert that creates "+ns, catalogPart("create", c), part{effects: []effect{w.change(c, nil, d)}})
}

// free returns an _id that no document has.
func (w *world) free(c *collection) (any, bool) {
	for range 20 {
		if id := newID(w.rnd); c.docs[keyOf(id)] == nil && !c.haunted[keyOf(id)] {
			return id, true
		}
	}
	return nil, false
}

func (w *world) insert(c *collection) {
	var docs []any
	var effects []effect
	for range 1 + w.rnd.IntN(3) {
		if id, ok := w.free(c); ok {
			d := w.newDoc(id)
			docs = append(docs, d)
			effects = append(effects, w.change(c, nil, d))
		}
	}
	if len(docs) == 0 {
		return
	}
	_, err := w.coll(c).InsertMany(w.ctx, docs)
	require.NoError(w.t, err)
	w.did(fmt.Sprintf("insert of %d into %s", len(docs), c.ns), part{effects: effects, ordered: w.onOneShard(c)})
}

// onOneShard reports whether one shard writes all there is of c, so that events
// come in the order of the statements.
func (w *world) onOneShard(c *collection) bool { return len(w.owners(c)) == 1 }

func (w *world) anyDoc(c *collection) bson.D {
	if len(c.docs) == 0 {
		return nil
	}
	return c.docs[one(w.rnd, c.ids())]
}

func filter(d bson.D) bson.D { return bson.D{{"_id", get(d, "_id")}, {"k", get(d, "k")}} }

func (w *world) update(c *collection) {
	d := w.anyDoc(c)
	if d == nil {
		return
	}
	u, after := w.mutate(d)
	r, err := w.coll(c).UpdateOne(w.ctx, filter(d), u)
	require.NoError(w.t, err)
	require.EqualValues(w.t, 1, r.MatchedCount)
	require.Equal(w.t, !same(d, after), r.ModifiedCount == 1)
	w.did(fmt.Sprintf("update %v in %s", u, c.ns), part{effects: []effect{w.change(c, d, after)}})
}

// replace replaces a document, or inserts one.
func (w *world) replace(c *collection) {
	id := newID(w.rnd)
	before := c.docs[keyOf(id)]
	if before == nil && c.haunted[keyOf(id)] {
		return
	}
	after := w.newDoc(id)
	if before != nil {
		after = set(after, "k", get(before, "k"))
	}
	r, err := w.coll(c).ReplaceOne(w.ctx, filter(after), after, options.Replace().SetUpsert(true))
	require.NoError(w.t, err)
	require.Equal(w.t, before == nil, r.UpsertedCount == 1)
	w.did("replace in "+c.ns, part{effects: []effect{w.change(c, before, after)}})
}

func (w *world) delete(c *collection) {
	d := w.anyDoc(c)
	if d == nil {
		return
	}
	r, err := w.coll(c).DeleteOne(w.ctx, filter(d))
	require.NoError(w.t, err)
	require.EqualValues(w.t, 1, r.DeletedCount)
	w.did("delete from "+c.ns, part{effects: []effect{w.change(c, d, nil)}})
}

// changeKey gives a document another shard key, so that it may change its shard.
func (w *world) changeKey(c *collection) {
	d := w.anyDoc(c)
	if d == nil || c.haunted[keyOf(get(d, "_id"))] {
		return
	}
	k := int32(w.rnd.IntN(10))
	_, err := w.coll(c).UpdateOne(w.ctx, filter(d), bson.D{{"$set", bson.D{{"k", k}}}})
	require.NoError(w.t, err)
	w.did(fmt.Sprintf("k becomes %d in %s", k, c.ns), part{effects: []effect{w.change(c, d, set(d, "k", k))}})
}

func (w *world) findAndModify(c *collection) {
	d := w.anyDoc(c)
	if d == nil {
		return
	}
	var was *mongo.SingleResult
	var after bson.D
	if w.chance(30) {
		was = w.coll(c).FindOneAndDelete(w.ctx, filter(d))
	} else {
		var u any
		u, after = w.mutate(d)
		was = w.coll(c).FindOneAndUpdate(w.ctx, filter(d), u)
	}
	got, err := was.Raw()
	require.NoError(w.t, err)
	require.Equal(w.t, raw(d), got)
	w.did("findAndModify in "+c.ns, part{effects: []effect{w.change(c, d, after)}})
}

// many updates or deletes several documents with one statement.
func (w *world) many(c *collection) {
	ids, v := bson.A{}, w.next()
	remove := w.chance(30)
	var effects []effect
	for _, id := range c.ids() {
		if len(ids) == 4 || w.chance(40) {
			continue
		}
		d := c.docs[id]
		ids = append(ids, get(d, "_id"))
		if remove {
			effects = append(effects, w.change(c, d, nil))
		} else {
			effects = append(effects, w.change(c, d, set(d, "v", v)))
		}
	}
	q := bson.D{{"_id", bson.D{{"$in", ids}}}}
	if remove {
		r, err := w.coll(c).DeleteMany(w.ctx, q)
		require.NoError(w.t, err)
		require.EqualValues(w.t, len(ids), r.DeletedCount)
	} else {
		r, err := w.coll(c).UpdateMany(w.ctx, q, bson.D{{"$set", bson.D{{"v", v}}}})
		require.NoError(w.t, err)
		require.EqualValues(w.t, len(ids), r.ModifiedCount)
	}
	w.did(fmt.Sprintf("%d at once in %s", len(ids), c.ns), part{effects: effects})
}

var errAborted = errors.New("the transaction is given up")

// transaction writes several documents, in one or several collections, or none
// if it is given up.
func (w *world) transaction() {
	saved := map[*collection]map[string]bson.D{}
	for _, c := range w.existing() {
		saved[c] = maps.Clone(c.docs)
	}
	restore := func() {
		for c, docs := range saved {
			c.docs = maps.Clone(docs)
		}
	}
	seed, abort := w.rnd.Uint64(), w.chance(20)
	var effects []effect
	err := w.cl.UseSession(w.ctx, func(ctx context.Context) error {
		_, err := mongo.SessionFromContext(ctx).WithTransaction(ctx, func(ctx context.Context) (any, error) {
			restore() // it may be the second attempt
			t := &txn{w: w, seed: seed}
			err := t.run(ctx)
			effects = t.effects
			if err == nil && abort {
				err = errAborted
			}
			return nil, err
		})
		return err
	})
	if errors.Is(err, errAborted) {
		restore()
		return
	}
	require.NoError(w.t, err)
	w.did(fmt.Sprintf("transaction of %d", len(effects)), part{effects: effects, txn: true, ordered: len(w.shards) == 1})
}

// A txn is one attempt of a transaction.
type txn struct {
	w       *world
	seed    uint64
	effects []effect
}

func (t *txn) run(ctx context.Context) error {
	w := t.w
	all := w.existing()
	for n := range 1 + int(t.seed%4) {
		c := all[int(t.seed>>(8+n))%len(all)]
		kind := int(t.seed>>(16+2*n)) % 4
		d := t.choose(c, int(t.seed>>(24+n)&0xff))
		if d == nil {
			kind = 0
		}
		var err error
		switch kind {
		case 0:
			id, ok := w.free(c)
			if !ok {
				continue
			}
			doc := w.newDoc(id)
			_, err = w.coll(c).InsertOne(ctx, doc)
			t.effects = append(t.effects, w.change(c, nil, doc))
		case 1:
			_, err = w.coll(c).DeleteOne(ctx, filter(d))
			t.effects = append(t.effects, w.change(c, d, nil))
		case 2:
			if c.haunted[keyOf(get(d, "_id"))] {
				continue
			}
			k := int32(w.rnd.IntN(10))
			_, err = w.coll(c).UpdateOne(ctx, filter(d), bson.D{{"$set", bson.D{{"k", k}}}})
			t.effects = append(t.effects, w.change(c, d, set(d, "k", k)))
		case 3:
			u, after := w.mutate(d)
			_, err = w.coll(c).UpdateOne(ctx, filter(d), u)
			t.effects = append(t.effects, w.change(c, d, after))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// choose returns a document that the transaction has not touched yet: what it did
// to one that changes its shard comes in no known order.
func (t *txn) choose(c *collection, n int) bson.D {
	ids := slices.DeleteFunc(c.ids(), func(id string) bool {
		return slices.ContainsFunc(t.effects, func(e effect) bool { return e.c.ns == c.ns && e.key() == id })
	})
	if len(ids) == 0 {
		return nil
	}
	return c.docs[ids[n%len(ids)]]
}
