package shardworker_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/mongotest"
	"github.com/shardferry/shardferry/shardworker"
)

// european is a filter that looks at a field and into an array.
var european = bson.D{{"$or", bson.A{bson.D{{"region", "eu"}}, bson.D{{"list.r", "eu"}}}}}

// isEuropean is what european asks, of the documents of these stories.
func isEuropean(doc bson.Raw) bool {
	if region, _ := doc.Lookup("region").StringValueOK(); region == "eu" {
		return true
	}
	list, _ := doc.Lookup("list").ArrayOK()
	values, _ := list.Values()
	for _, v := range values {
		if one, ok := v.DocumentOK(); ok {
			if r, _ := one.Lookup("r").StringValueOK(); r == "eu" {
				return true
			}
		}
	}
	return false
}

func randomRegion(rng *rand.Rand) string { return []string{"eu", "us", "ap"}[rng.IntN(3)] }

func randomListed(rng *rand.Rand, id int) bson.D {
	d := bson.D{{"_id", id}, {"x", rng.IntN(50)}}
	if rng.IntN(3) > 0 {
		d = append(d, bson.E{Key: "region", Value: randomRegion(rng)})
	}
	if rng.IntN(2) == 0 {
		d = append(d, bson.E{Key: "list", Value: bson.A{bson.D{{"r", "us"}, {"n", 1}}, bson.D{{"n", rng.IntN(9)}}}})
	}
	return append(d, bson.E{Key: "v", Value: rng.Int64()})
}

// wander has documents enter and leave the filter, in every way that an event tells
// of, until ctx ends.
func wander(ctx context.Context, t *testing.T, client *mongo.Client, ns shardferry.Namespace, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 11))
	coll := client.Database(ns.DB).Collection(ns.Coll)
	session, err := client.StartSession()
	if err != nil {
		t.Error(err)
		return
	}
	defer session.EndSession(context.WithoutCancel(ctx))
	for ctx.Err() == nil {
		id := rng.IntN(120)
		q := bson.D{{"_id", id}}
		set := func(d bson.D) error { _, err := coll.UpdateOne(ctx, q, bson.D{{"$set", d}}); return err }
		switch rng.IntN(10) {
		case 0:
			_, err = coll.DeleteOne(ctx, q)
		case 1, 2:
			// An _id is unique on its shard only; the story has each once.
			if err = coll.FindOne(ctx, q).Err(); errors.Is(err, mongo.ErrNoDocuments) {
				_, err = coll.InsertOne(ctx, randomListed(rng, id))
			}
		case 3:
			err = set(bson.D{{"v", rng.Int64()}, {"b", 1}})
		case 4:
			err = set(bson.D{{"region", randomRegion(rng)}})
		case 5:
			_, err = coll.UpdateOne(ctx, q, bson.D{{"$unset", bson.D{{"region", ""}}}})
		case 6:
			_, err = coll.UpdateOne(ctx, bson.D{{"_id", id}, {"list.0", bson.D{{"$exists", true}}}}, bson.D{{"$set", bson.D{{"list.0.r", randomRegion(rng)}}}})
		case 7:
			// As an application does: under the shard key that the document has.
			var now bson.Raw
			if now, err = coll.FindOne(ctx, q).Raw(); err == nil {
				next := randomListed(rng, id)
				if rng.IntN(2) == 0 {
					next[1].Value = now.Lookup("x")
				}
				_, err = coll.ReplaceOne(ctx, bson.D{{"_id", id}, {"x", now.Lookup("x")}}, next)
			}
		case 8:
			err = set(bson.D{{"x", rng.IntN(50)}, {"region", randomRegion(rng)}})
		case 9:
			_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
				if _, err := coll.DeleteOne(ctx, q); err != nil {
					return nil, err
				}
				if _, err := coll.InsertOne(ctx, randomListed(rng, id)); err != nil {
					return nil, err
				}
				_, err := coll.UpdateOne(ctx, bson.D{{"_id", (id + 1) % 120}}, bson.D{{"$set", bson.D{{"region", randomRegion(rng)}}}})
				return nil, err
			})
		}
		var failed mongo.ServerError
		if err != nil && ctx.Err() == nil && !errors.As(err, &failed) && !errors.Is(err, mongo.ErrNoDocuments) {
			t.Errorf("seed %d: write to the source: %v", seed, err)
			return
		}
		time.Sleep(time.Duration(rng.IntN(8)) * time.Millisecond)
	}
}

// requireFiltered compares the destination with what the filter takes of the source.
func (p *pair) requireFiltered(ns shardferry.Namespace) (matching int) {
	p.t.Helper()
	want := p.docs(p.from, ns)
	for d := range want {
		if !isEuropean(bson.Raw(d)) {
			delete(want, d)
		}
	}
	got := p.docs(p.to, ns)
	var diff []string
	for d, n := range want {
		if got[d] != n {
			diff = append(diff, fmt.Sprintf("lacks %v", bson.Raw(d)))
		}
	}
	for d, n := range got {
		if want[d] != n {
			diff = append(diff, fmt.Sprintf("has %v", bson.Raw(d)))
		}
	}
	require.Empty(p.t, diff, "%s: the destination differs", ns)
	return len(want)
}

// Only documents that match the filter are moved: also those that enter or leave it
// while they are copied, change their shard key with it, and while workers die.
func TestDocumentsEnterAndLeaveTheFilter(t *testing.T) {
	for _, shards := range [][2]int{{0, 0}, {2, 2}, {0, 2}, {2, 0}} {
		for seed := range uint64(crashSeeds) {
			t.Run(fmt.Sprintf("%d to %d shards, seed %d", shards[0], shards[1], seed), func(t *testing.T) {
				bubble(t, mongotest.Options{Shards: shards[0]}, mongotest.Options{Shards: shards[1]}, func(t *testing.T, p *pair) {
					var keys [2]bson.D
					for i, n := range shards {
						if n > 0 {
							keys[i] = bson.D{{"x", 1}}
						}
					}
					a := p.create(orders, keys[0], keys[1])
					if shards[0] > 0 {
						spread(p, p.from, p.src, orders)
					}
					if shards[1] > 0 {
						spread(p, p.to, p.dst, orders)
					}
					rng := rand.New(rand.NewPCG(seed, 12))
					var docs []any
					for id := range 180 { // some of which nobody writes to
						docs = append(docs, randomListed(rng, id))
					}
					_, err := p.from.Database(orders.DB).Collection(orders.Coll).InsertMany(t.Context(), docs)
					require.NoError(t, err)

					l := p.newLead(map[shardferry.UUID]shardferry.Collection{a.UUID: a}, p.tasks(a, keys[0]))
					tune := func(c *shardworker.Config) {
						c.BatchDocs, c.Lanes, c.Copiers = 5, 3, 2
						c.Filters = map[shardferry.Namespace]bson.Raw{orders: mustMarshal(t, european)}
					}
					ctx, cancel := context.WithCancel(t.Context())
					var writers sync.WaitGroup
					for i := range uint64(2) {
						writers.Go(func() { wander(ctx, t, p.from, orders, 2*seed+i) })
					}
					var stop func() []error
					for range 4 {
						stop = p.work(l, tune)
						time.Sleep(time.Duration(rng.IntN(700)) * time.Millisecond)
						l.crash(stop)
					}
					stop = p.work(l, tune)
					time.Sleep(time.Second)
					cancel()
					writers.Wait()
					p.settle(l)
					assert.Positive(t, p.requireFiltered(orders))
					stop()
				})
			})
		}
	}
}

// A unique value is free once the document that has it matches no more.
func TestAUniqueValueOfADocumentThatLeftTheFilter(t *testing.T) {
	bubble(t, mongotest.Options{}, mongotest.Options{}, func(t *testing.T, p *pair) {
		a := p.create(orders, nil, nil)
		for _, cl := range []*mongo.Client{p.from, p.to} {
			p.run(cl, orders.DB, bson.D{{"createIndexes", orders.Coll}, {"indexes", bson.A{bson.D{{"key", bson.D{{"u", 1}}}, {"name", "u"}, {"unique", true}}}}})
		}
		coll := p.from.Database(orders.DB).Collection(orders.Coll)
		l := p.newLead(map[shardferry.UUID]shardferry.Collection{a.UUID: a}, p.tasks(a, nil))
		stop := p.work(l, func(c *shardworker.Config) {
			c.Filters = map[shardferry.Namespace]bson.Raw{orders: mustMarshal(t, european)}
		})
		for i := range 60 {
			_, err := coll.InsertOne(t.Context(), bson.D{{"_id", 2 * i}, {"u", i}, {"region", "eu"}})
			require.NoError(t, err)
			_, err = coll.UpdateOne(t.Context(), bson.D{{"_id", 2 * i}}, bson.D{{"$set", bson.D{{"u", -i - 1}, {"region", "us"}}}})
			require.NoError(t, err)
			_, err = coll.InsertOne(t.Context(), bson.D{{"_id", 2*i + 1}, {"u", i}, {"region", "eu"}})
			require.NoError(t, err)
		}
		p.settle(l)
		assert.Equal(t, 60, p.requireFiltered(orders))
		stop()
	})
}
