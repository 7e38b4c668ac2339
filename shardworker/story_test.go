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

var (
	orders = shardferry.Namespace{DB: "shop", Coll: "orders"}
	notes  = shardferry.Namespace{DB: "shop", Coll: "notes"}
)

func fill(p *pair, ns shardferry.Namespace, n int) {
	p.t.Helper()
	docs := make([]any, 0, n)
	for i := range n {
		docs = append(docs, bson.D{{"_id", i}, {"x", i % 50}, {"list", bson.A{1, 2, 3, 4}}, {"sub", bson.D{{"n", i}}}})
	}
	_, err := p.from.Database(ns.DB).Collection(ns.Coll).InsertMany(p.t.Context(), docs)
	require.NoError(p.t, err)
}

// churn writes to a collection until ctx ends, with every shape of change.
func churn(ctx context.Context, t *testing.T, coll *mongo.Collection, seed uint64, ids int, moveShardKey bool) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for ctx.Err() == nil {
		id := rng.IntN(ids)
		var err error
		switch q := (bson.D{{"_id", id}}); rng.IntN(9) {
		case 0:
			_, err = coll.DeleteOne(ctx, q)
		case 1, 2:
			// An _id is unique on its shard only; the story has each once.
			if coll.FindOne(ctx, q).Err() != nil {
				_, err = coll.InsertOne(ctx, bson.D{{"_id", id}, {"x", rng.IntN(50)}, {"v", rng.Int64()}, {"list", bson.A{1, 2, 3}}})
			}
		case 3:
			_, err = coll.UpdateOne(ctx, q, bson.D{{"$set", bson.D{{"z", rng.Int64()}, {"b", rng.Int64()}, {"sub.k", 1}}}})
		case 4:
			_, err = coll.UpdateOne(ctx, q, bson.D{{"$unset", bson.D{{"z", ""}, {"list", ""}}}, {"$set", bson.D{{"a", rng.Int64()}}}})
		case 5:
			_, err = coll.UpdateOne(ctx, q, bson.D{{"$push", bson.D{{"list", bson.D{{"$each", bson.A{rng.IntN(9)}}, {"$slice", -3}}}}}})
		case 6:
			_, err = coll.UpdateOne(ctx, q, bson.A{bson.D{{"$set", bson.D{{"y", rng.Int64()}, {"c", 1}}}}, bson.D{{"$unset", bson.A{"v"}}}})
		case 7:
			_, err = coll.UpdateOne(ctx, q, bson.D{{"$set", bson.D{{"list.1", rng.IntN(99)}}}})
		case 8:
			if moveShardKey {
				_, err = coll.UpdateOne(ctx, q, bson.D{{"$set", bson.D{{"x", rng.IntN(50)}}}})
			}
		}
		var we mongo.WriteException
		if err != nil && ctx.Err() == nil && !errors.As(err, &we) {
			t.Errorf("seed %d: write to the source: %v", seed, err)
			return
		}
		time.Sleep(time.Duration(rng.IntN(8)) * time.Millisecond)
	}
}

// spread shards d.c by x and moves half of it to the second shard.
func spread(p *pair, cl *mongo.Client, c *mongotest.Cluster, ns shardferry.Namespace) {
	p.t.Helper()
	p.run(cl, "admin", bson.D{{"split", ns.String()}, {"middle", bson.D{{"x", 25}}}})
	owner, err := cl.Database("config").Collection("databases").FindOne(p.t.Context(), bson.D{{"_id", ns.DB}}).Raw()
	require.NoError(p.t, err)
	for _, s := range c.Shards() {
		if s != owner.Lookup("primary").StringValue() {
			p.run(cl, "admin", bson.D{{"moveChunk", ns.String()}, {"find", bson.D{{"x", 30}}}, {"to", s}})
			return
		}
	}
}

// write runs churn on collections beside what do does.
func (p *pair) write(seed uint64, colls []shardferry.Namespace, moveShardKey bool, do func()) {
	ctx, cancel := context.WithCancel(p.t.Context())
	var wg sync.WaitGroup
	for i, ns := range colls {
		wg.Go(func() {
			churn(ctx, p.t, p.from.Database(ns.DB).Collection(ns.Coll), seed+uint64(i), 800, moveShardKey && i == 0)
		})
	}
	do()
	cancel()
	wg.Wait()
}

type story struct {
	p     *pair
	l     *lead
	colls map[shardferry.UUID]shardferry.Collection
}

// twoCollections starts a story with a sharded and an unsharded collection.
func twoCollections(p *pair) story {
	p.t.Helper()
	key := bson.D{{"x", 1}}
	if !p.sharded {
		key = nil
	}
	a := p.create(orders, key, key)
	b := p.create(notes, nil, nil)
	if p.sharded {
		spread(p, p.from, p.src, orders)
	}
	fill(p, orders, 1000)
	fill(p, notes, 1000)
	colls := map[shardferry.UUID]shardferry.Collection{a.UUID: a, b.UUID: b}
	l := p.newLead(colls, append(p.tasks(a, key), p.tasks(b, nil)...))
	return story{p: p, l: l, colls: colls}
}

// small batches make many of them meet many events.
func small(c *shardworker.Config) { c.BatchDocs, c.Lanes, c.Copiers = 40, 4, 2 }

// What is copied while it is written ends equal, byte for byte.
func TestCopyAndStreamUnderWrites(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			o := mongotest.Options{Shards: shards}
			bubble(t, o, o, func(t *testing.T, p *pair) {
				s := twoCollections(p)
				var stop func() []error
				p.write(42, []shardferry.Namespace{orders, notes}, false, func() {
					stop = p.work(s.l, small)
					time.Sleep(5 * time.Second)
				})
				p.settle(s.l)
				assert.Positive(t, p.requireEqual(orders))
				assert.Positive(t, p.requireEqual(notes))
				for _, err := range stop() {
					require.ErrorIs(t, err, context.Canceled)
				}
				assert.Positive(t, s.l.sessions)
			})
		})
	}
}

// A worker that dies anywhere, again and again, and is continued from what it
// has reported, loses nothing.
func TestCrashesInCopyAndStream(t *testing.T) {
	for seed := range uint64(crashSeeds) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			o := mongotest.Options{Shards: 2}
			bubble(t, o, o, func(t *testing.T, p *pair) {
				s := twoCollections(p)
				rng := rand.New(rand.NewPCG(seed, 2))
				var stop func() []error
				p.write(seed, []shardferry.Namespace{orders, notes}, false, func() {
					for range 6 {
						stop = p.work(s.l, small)
						time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)
						s.l.crash(stop)
					}
					stop = p.work(s.l, small)
					time.Sleep(time.Second)
				})
				p.settle(s.l)
				p.requireEqual(orders)
				p.requireEqual(notes)
				stop()
			})
		})
	}
}

// Documents that change their shard key, on one shard or from one to the other,
// are on the destination once.
func TestDocumentKeyFilterWhenShardKeysChange(t *testing.T) {
	for _, dest := range []int{0, 2} {
		t.Run(fmt.Sprintf("to %d shards", dest), func(t *testing.T) {
			bubble(t, mongotest.Options{Shards: 2}, mongotest.Options{Shards: dest}, func(t *testing.T, p *pair) {
				key := bson.D{{"x", 1}}
				destKey := key
				if dest == 0 {
					destKey = nil
				}
				a := p.create(orders, key, destKey)
				spread(p, p.from, p.src, orders)
				fill(p, orders, 800)
				l := p.newLead(map[shardferry.UUID]shardferry.Collection{a.UUID: a}, p.tasks(a, key))
				var stop func() []error
				p.write(7, []shardferry.Namespace{orders}, true, func() {
					stop = p.work(l, small)
					time.Sleep(3 * time.Second)
					l.crash(stop)
					stop = p.work(l, small)
					time.Sleep(2 * time.Second)
				})
				p.settle(l)
				p.requireEqual(orders)
				stop()
			})
		})
	}
}

// An insert that a lane applies before an older image of its key lands is not
// undone, nor is a delete.
func TestOvertakingEventsWin(t *testing.T) {
	bubble(t, mongotest.Options{}, mongotest.Options{}, func(t *testing.T, p *pair) {
		a := p.create(notes, nil, nil)
		fill(p, notes, 100)
		// The copier's inserts take long; events pass them.
		p.dst.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) mongotest.Fault {
			if c.Name == "insert" {
				return mongotest.Fault{Delay: 3 * time.Second}
			}
			return mongotest.Fault{}
		}})
		l := p.newLead(map[shardferry.UUID]shardferry.Collection{a.UUID: a}, p.tasks(a, nil))
		stop := p.work(l, nil)
		time.Sleep(time.Second)
		coll := p.from.Database(notes.DB).Collection(notes.Coll)
		for i := range 30 {
			_, err := coll.DeleteOne(t.Context(), bson.D{{"_id", i}})
			require.NoError(t, err)
		}
		for i := 10; i < 20; i++ {
			_, err := coll.InsertOne(t.Context(), bson.D{{"_id", i}, {"again", true}})
			require.NoError(t, err)
		}
		for i := 40; i < 50; i++ {
			_, err := coll.UpdateOne(t.Context(), bson.D{{"_id", i}}, bson.D{{"$set", bson.D{{"late", i}}}})
			require.NoError(t, err)
		}
		time.Sleep(time.Second)
		require.Equal(t, 1, l.undone(), "the copy is still in flight")
		p.settle(l)
		assert.Equal(t, 80, p.requireEqual(notes))
		stop()
	})
}

// While one document's write is stuck, others land, but the reported position
// stays before the stuck one.
func TestFrontierIsHeldByAStuckWrite(t *testing.T) {
	bubble(t, mongotest.Options{}, mongotest.Options{}, func(t *testing.T, p *pair) {
		a := p.create(notes, nil, nil)
		l := p.newLead(map[shardferry.UUID]shardferry.Collection{a.UUID: a}, nil)
		var once sync.Once
		p.dst.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) (f mongotest.Fault) {
			if c.Name == "update" {
				once.Do(func() { f.Delay = 60 * time.Second })
			}
			return f
		}})
		stop := p.work(l, func(c *shardworker.Config) { c.WriteTimeout = 5 * time.Minute })
		time.Sleep(time.Second)
		coll := p.from.Database(notes.DB).Collection(notes.Coll)
		_, err := coll.InsertOne(t.Context(), bson.D{{"_id", 0}})
		require.NoError(t, err)
		time.Sleep(3 * time.Second)
		id := shardferry.ShardID(p.src.Shards()[0])
		stuck := l.reports()[id].Applied
		for i := 1; i < 50; i++ {
			_, err := coll.InsertOne(t.Context(), bson.D{{"_id", i}})
			require.NoError(t, err)
		}
		time.Sleep(20 * time.Second)
		assert.Greater(t, len(p.docs(p.to, notes)), 10, "other lanes go on")
		assert.Equal(t, stuck, l.reports()[id].Applied)
		time.Sleep(time.Minute)
		p.settle(l)
		assert.Equal(t, 50, p.requireEqual(notes))
		stop()
	})
}

// At a barrier the destination does not change until it is lifted.
func TestBarrierHoldsTheDestination(t *testing.T) {
	o := mongotest.Options{Shards: 2}
	bubble(t, o, o, func(t *testing.T, p *pair) {
		s := twoCollections(p)
		var stop func() []error
		p.write(3, []shardferry.Namespace{orders, notes}, false, func() {
			stop = p.work(s.l, small)
			time.Sleep(200 * time.Millisecond)
			barrier := &shardferry.Barrier{ID: 5, Time: p.src.ClusterTime()}
			s.l.assign(func(a *shardferry.Assignment) { a.Barrier = barrier })
			time.Sleep(5 * time.Second)
			for id, r := range s.l.reports() {
				require.Equal(t, int64(5), r.Ready, "shard %s: %+v", id, r)
			}
			was := []map[string]int{p.docs(p.to, orders), p.docs(p.to, notes)}
			time.Sleep(4 * time.Second)
			now := []map[string]int{p.docs(p.to, orders), p.docs(p.to, notes)}
			assert.Equal(t, was, now)
			s.l.assign(func(a *shardferry.Assignment) { a.Barrier = nil })
			time.Sleep(time.Second)
		})
		p.settle(s.l)
		p.requireEqual(orders)
		p.requireEqual(notes)
		stop()
	})
}

// A document that the source no longer has gives way to one that needs its _id;
// two that it has cannot both be put where an _id is unique.
func TestDuplicateKeyGivesWay(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2}, mongotest.Options{}, func(t *testing.T, p *pair) {
		a := p.create(orders, bson.D{{"x", 1}}, nil)
		spread(p, p.from, p.src, orders)
		_, err := p.to.Database(orders.DB).Collection(orders.Coll).InsertOne(t.Context(), bson.D{{"_id", 1}, {"x", 40}})
		require.NoError(t, err, "as if the delete on the other shard were still to come")
		l := p.newLead(map[shardferry.UUID]shardferry.Collection{a.UUID: a}, nil)
		stop := p.work(l, nil)
		time.Sleep(time.Second)
		coll := p.from.Database(orders.DB).Collection(orders.Coll)
		_, err = coll.InsertOne(t.Context(), bson.D{{"_id", 1}, {"x", 3}})
		require.NoError(t, err)
		p.settle(l)
		require.Equal(t, 1, p.requireEqual(orders))

		_, err = coll.InsertOne(t.Context(), bson.D{{"_id", 1}, {"x", 41}})
		require.NoError(t, err, "an _id is unique per shard only")
		time.Sleep(time.Minute)
		var failed error
		for _, err := range stop() {
			if !errors.Is(err, context.Canceled) {
				failed = err
			}
		}
		require.Error(t, failed)
		assert.ErrorContains(t, failed, "source holds both")
	})
}
