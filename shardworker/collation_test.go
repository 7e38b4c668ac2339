package shardworker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/mongotest"
)

var ignoringCase = options.CreateCollection().SetCollation(&options.Collation{Locale: "en", Strength: 2})

// A history is what happens to the one document whose _id is h7 or H7: letters
// insert it by that case, and d, s, r and w delete it, set a field, replace it,
// and exchange it for the other case.
type history string

const historySteps = 4

// histories lists all of them.
func histories() (all []history) {
	var grow func(h history, exists bool)
	grow = func(h history, exists bool) {
		if len(h) == historySteps {
			all = append(all, h)
			return
		}
		if !exists {
			grow(h+"a", true)
			grow(h+"A", true)
			return
		}
		for _, step := range "dsrw" {
			grow(h+history(step), step != 'd')
		}
	}
	grow("", false)
	return all
}

// collatedStory plays histories on documents of one collection.
type collatedStory struct {
	p    *pair
	coll *mongo.Collection
	all  []history
	ids  []any // of each history's document, nil if it has none
	key  func(history int, x int) int
}

// idOfCase gives the two _ids of a history, which are equal when case is ignored: strings,
// and embedded documents and symbols that hold them.
func idOfCase(n int, upper bool) any {
	s := fmt.Sprintf("h%d", n)
	if upper {
		s = fmt.Sprintf("H%d", n)
	}
	switch n % 5 {
	case 1:
		return bson.D{{"k", s}}
	case 2:
		return bson.D{{"k", bson.D{{"$x", s}, {"n", 1}}}}
	}
	return s
}

func (s *collatedStory) play(step int) {
	s.p.t.Helper()
	ctx := s.p.t.Context()
	for n, h := range s.all {
		id := s.ids[n]
		// A document has the same shard key as long as it exists, the next another one.
		doc := bson.D{{"_id", id}, {"x", s.key(n, step)}, {"step", step}}
		q := bson.D{{"_id", bson.D{{"$eq", id}}}}
		insert := func(upper bool) {
			doc[0].Value = idOfCase(n, upper)
			s.ids[n] = doc[0].Value
			_, err := s.coll.InsertOne(ctx, doc)
			require.NoError(s.p.t, err, "history %d %s, step %d", n, h, step)
		}
		remove := func() {
			res, err := s.coll.DeleteOne(ctx, q)
			require.NoError(s.p.t, err)
			require.Equal(s.p.t, int64(1), res.DeletedCount, "history %d %s, step %d", n, h, step)
			s.ids[n] = nil
		}
		switch h[step] {
		case 'a', 'A':
			insert(h[step] == 'A')
		case 'd':
			remove()
		case 's':
			_, err := s.coll.UpdateOne(ctx, q, bson.D{{"$set", bson.D{{fmt.Sprintf("z%d", historySteps-step), step}, {"b", step}}}})
			require.NoError(s.p.t, err)
		case 'r':
			x, err := s.coll.FindOne(ctx, q).Raw()
			require.NoError(s.p.t, err)
			doc[1].Value = x.Lookup("x")
			_, err = s.coll.ReplaceOne(ctx, q, doc)
			require.NoError(s.p.t, err)
		case 'w':
			upper := fmt.Sprint(idOfCase(n, false)) == fmt.Sprint(id)
			remove()
			insert(upper)
		}
	}
}

// Where a collation holds two _ids for equal, a document that is deleted under
// the one and inserted under the other is there once, as the source has it: for
// every short history, wherever in it the copy begins, and wherever the worker
// dies.
func TestIdsThatACollationHoldsForEqual(t *testing.T) {
	for _, shape := range collatedShapes {
		for begin := range historySteps {
			t.Run(fmt.Sprintf("%d to %d, copy from step %d", shape[0], shape[1], begin), func(t *testing.T) {
				bubble(t, mongotest.Options{Shards: shape[0]}, mongotest.Options{Shards: shape[1]}, func(t *testing.T, p *pair) {
					keys := [2]bson.D{{{"x", 1}}, {{"x", 1}}}
					for i := range keys {
						if shape[i] == 0 {
							keys[i] = nil
						}
					}
					c := p.createCollated(orders, keys[0], keys[1])
					s := collatedStory{p: p, coll: p.from.Database(orders.DB).Collection(orders.Coll), all: histories(), key: func(n, step int) int { return (n*7 + step*31) % 50 }}
					if keys[0] != nil {
						spread(p, p.from, p.src, orders)
						// Of the documents that are held for equal each shard may have one; the
						// story has one.
						s.key = func(n, _ int) int { return n * 7 % 50 }
					}
					if keys[1] != nil {
						spread(p, p.to, p.dst, orders)
					}
					s.ids = make([]any, len(s.all))
					for step := range begin {
						s.play(step)
					}
					l := p.newLead(map[shardferry.UUID]shardferry.Collection{c.UUID: c}, p.tasks(c, keys[0]))
					// What is copied lands late, after events that overtook it.
					p.dst.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) mongotest.Fault {
						if c.Name == "insert" {
							return mongotest.Fault{Delay: 300 * time.Millisecond}
						}
						return mongotest.Fault{}
					}})
					stop := p.work(l, small)
					for step := begin; step < historySteps; step++ {
						time.Sleep(200 * time.Millisecond)
						s.play(step)
						if step == begin {
							l.crash(stop)
							stop = p.work(l, small)
						}
					}
					p.settle(l)
					assert.Positive(t, p.requireEqual(orders))
					stop()
				})
			})
		}
	}
}

// createCollated makes a collection whose default collation ignores case. Shard
// keys need an index that does not.
func (p *pair) createCollated(ns shardferry.Namespace, srcKey, dstKey bson.D) shardferry.Collection {
	p.t.Helper()
	c := p.create(ns, nil, nil, ignoringCase)
	c.Collated = true
	simple := bson.E{Key: "collation", Value: bson.D{{"locale", "simple"}}}
	for cl, key := range map[*mongo.Client]bson.D{p.from: srcKey, p.to: dstKey} {
		if key != nil {
			p.run(cl, "admin", bson.D{{"shardCollection", ns.String()}, {"key", key}, simple})
		}
	}
	if dstKey != nil {
		c.ShardKey = mustMarshal(p.t, dstKey)
	}
	return c
}

// On a sharded source every shard may have a document of those that are held for
// equal. Each is a document of its own: to delete one spares the others.
func TestEqualIdsOnDifferentShards(t *testing.T) {
	o := mongotest.Options{Shards: 2}
	bubble(t, o, o, func(t *testing.T, p *pair) {
		hashed := bson.D{{"_id", "hashed"}}
		c := p.createCollated(notes, hashed, hashed)
		coll := p.from.Database(notes.DB).Collection(notes.Coll)
		both := 0
		var twins []int
		for n := range 40 {
			_, err := coll.InsertOne(t.Context(), bson.D{{"_id", fmt.Sprintf("h%d", n)}, {"n", n}})
			require.NoError(t, err)
			if _, err = coll.InsertOne(t.Context(), bson.D{{"_id", fmt.Sprintf("H%d", n)}, {"n", n}}); err == nil {
				both++
				twins = append(twins, n)
			} else {
				require.True(t, mongo.IsDuplicateKeyError(err))
			}
		}
		require.Positive(t, both, "some are on different shards")
		l := p.newLead(map[shardferry.UUID]shardferry.Collection{c.UUID: c}, p.tasks(c, hashed))
		stop := p.work(l, small)
		p.settle(l)
		require.Equal(t, 40+both, p.requireEqual(notes))
		simple := options.DeleteOne().SetCollation(&options.Collation{Locale: "simple"})
		for _, n := range twins {
			_, err := coll.DeleteOne(t.Context(), bson.D{{"_id", fmt.Sprintf("h%d", n)}}, simple)
			require.NoError(t, err)
		}
		p.settle(l)
		assert.Equal(t, 40, p.requireEqual(notes))
		stop()
	})
}
