package shardworker_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/mongotest"
	"github.com/shardferry/shardferry/shardworker"
)

// natural lists the _id values of a collection in natural order.
func (p *pair) natural(cl *mongo.Client, ns shardferry.Namespace) (ids []int64) {
	p.t.Helper()
	cur, err := cl.Database(ns.DB).Collection(ns.Coll).Find(p.t.Context(), bson.D{}, options.Find().SetSort(bson.D{{"$natural", 1}}))
	require.NoError(p.t, err)
	for cur.Next(p.t.Context()) {
		id, ok := cur.Current.Lookup("_id").AsInt64OK()
		require.True(p.t, ok)
		ids = append(ids, id)
	}
	require.NoError(p.t, cur.Err())
	return ids
}

// slowCapped begins the copy of capped collections of 300 documents each, whose
// inserts take long on the destination.
func slowCapped(p *pair, names ...shardferry.Namespace) *lead {
	p.t.Helper()
	colls := map[shardferry.UUID]shardferry.Collection{}
	var tasks []shardferry.CopyTask
	for _, ns := range names {
		c := p.create(ns, nil, nil, options.CreateCollection().SetCapped(true).SetSizeInBytes(10<<20))
		c.Capped = true
		colls[c.UUID] = c
		fill(p, ns, 300)
		tasks = append(tasks, shardferry.CopyTask{
			Shard: shardferry.ShardID(p.src.Shards()[0]), UUID: c.UUID, Index: mustMarshal(p.t, bson.D{{"$natural", 1}}),
		})
	}
	p.dst.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) mongotest.Fault {
		if c.Name == "insert" {
			return mongotest.Fault{Delay: 3 * time.Second}
		}
		return mongotest.Fault{}
	}})
	return p.newLead(colls, tasks)
}

func (p *pair) more(ns shardferry.Namespace) {
	p.t.Helper()
	for i := 1000; i < 1010; i++ {
		_, err := p.from.Database(ns.DB).Collection(ns.Coll).InsertOne(p.t.Context(), bson.D{{"_id", i}})
		require.NoError(p.t, err)
	}
}

// What is inserted into a capped collection while it is copied comes after what
// was there before: the server deletes from the front.
func TestCappedKeepsItsOrder(t *testing.T) {
	bubble(t, mongotest.Options{}, mongotest.Options{}, func(t *testing.T, p *pair) {
		l := slowCapped(p, notes)
		stop := p.work(l, small)
		time.Sleep(time.Second)
		p.more(notes)
		time.Sleep(4 * time.Second)
		l.crash(stop)
		stop = p.work(l, small)
		p.settle(l)
		p.requireEqual(notes)
		assert.Equal(t, p.natural(p.from, notes), p.natural(p.to, notes))
		stop()
	})
}

// A barrier behind events that wait for copies is reached: of these, also those
// copies go on that had not begun.
func TestCappedIsCopiedBeforeABarrier(t *testing.T) {
	bubble(t, mongotest.Options{}, mongotest.Options{}, func(t *testing.T, p *pair) {
		l := slowCapped(p, orders, notes)
		stop := p.work(l, func(c *shardworker.Config) { small(c); c.Copiers = 1 })
		time.Sleep(time.Second)
		p.more(orders)
		p.more(notes)
		barrier := &shardferry.Barrier{ID: 1, Time: p.src.ClusterTime()}
		l.assign(func(a *shardferry.Assignment) { a.Barrier = barrier })
		time.Sleep(5 * time.Minute)
		for id, r := range l.reports() {
			require.Equal(t, int64(1), r.Ready, "shard %s: %+v", id, r)
		}
		l.assign(func(a *shardferry.Assignment) { a.Barrier = nil })
		p.settle(l)
		for _, ns := range []shardferry.Namespace{orders, notes} {
			assert.Equal(t, p.natural(p.from, ns), p.natural(p.to, ns))
		}
		stop()
	})
}

// A capped collection that is dropped while it is copied holds up nothing.
func TestCappedThatIsDroppedIsNotWaitedFor(t *testing.T) {
	bubble(t, mongotest.Options{}, mongotest.Options{}, func(t *testing.T, p *pair) {
		l := slowCapped(p, notes)
		stop := p.work(l, small)
		time.Sleep(time.Second)
		p.more(notes)
		require.NoError(t, p.from.Database(notes.DB).Collection(notes.Coll).Drop(t.Context()))
		time.Sleep(2 * time.Minute)
		for id, r := range l.reports() {
			require.NotNil(t, r.Schema, "shard %s: %+v", id, r)
			assert.Equal(t, "drop", r.Schema.Kind)
		}
		stop()
	})
}

// A capped collection that is renamed while it is copied is read on under its new
// name, so that what was inserted in between still comes after what was there.
func TestCappedIsCopiedUnderItsNewName(t *testing.T) {
	bubble(t, mongotest.Options{}, mongotest.Options{}, func(t *testing.T, p *pair) {
		l := slowCapped(p, notes)
		stop := p.work(l, small)
		time.Sleep(time.Second)
		p.more(notes)
		ids := p.natural(p.from, notes)
		name := notes.String()
		for _, to := range []string{"once", "twice"} {
			to = notes.DB + "." + to
			require.NoError(t, p.from.Database("admin").RunCommand(t.Context(), bson.D{{"renameCollection", name}, {"to", to}}).Err())
			name = to
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Minute)
		for id, r := range l.reports() {
			require.NotNil(t, r.Schema, "shard %s: %+v", id, r)
			assert.Equal(t, "rename", r.Schema.Kind)
		}
		assert.Equal(t, ids, p.natural(p.to, notes))
		stop()
	})
}

// Where documents are read instead of taking events, the first event of one may
// bring what a later one has inserted. It still comes behind the others.
func TestCappedInsertsAgainWhileItMoves(t *testing.T) {
	bubble(t, mongotest.Options{}, mongotest.Options{}, func(t *testing.T, p *pair) {
		c := p.create(notes, nil, nil, options.CreateCollection().SetCapped(true).SetSizeInBytes(10<<20))
		c.Capped = true
		coll := p.from.Database(notes.DB).Collection(notes.Coll)
		require.NoError(t, p.from.Database(notes.DB).RunCommand(t.Context(), bson.D{{"collMod", notes.Coll}, {"cappedMax", 3}}).Err())
		l := p.newLead(map[shardferry.UUID]shardferry.Collection{c.UUID: c}, nil)
		l.assign(func(a *shardferry.Assignment) { a.Ownership = &shardferry.Ownership{Known: p.src.ClusterTime()} })
		stop := p.work(l, small)
		for _, ids := range [][]int64{{1, 2, 3, 4, 5}, {1, 5}, {6, 2, 1}} {
			for _, id := range ids {
				if id == 5 {
					_, err := coll.DeleteOne(t.Context(), bson.D{{"_id", 5}})
					require.NoError(t, err)
				}
				_, err := coll.InsertOne(t.Context(), bson.D{{"_id", id}})
				require.NoError(t, err)
			}
			time.Sleep(time.Second)
			now := p.src.ClusterTime()
			l.assign(func(a *shardferry.Assignment) {
				a.Ownership = &shardferry.Ownership{Known: now, Moving: &shardferry.Moved{Until: now, Collections: []shardferry.UUID{c.UUID}}}
			})
			time.Sleep(time.Second)
			assert.Equal(t, p.natural(p.from, notes), p.natural(p.to, notes))
		}
		stop()
	})
}

// What is applied again, over a newer state, comes to stand as on the source.
func TestCappedIsAppliedAgainInOrder(t *testing.T) {
	bubble(t, mongotest.Options{}, mongotest.Options{}, func(t *testing.T, p *pair) {
		c := p.create(notes, nil, nil, options.CreateCollection().SetCapped(true).SetSizeInBytes(10<<20))
		c.Capped = true
		coll := p.from.Database(notes.DB).Collection(notes.Coll)
		colls := map[shardferry.UUID]shardferry.Collection{c.UUID: c}
		for _, l := range []*lead{p.newLead(colls, nil), p.newLead(colls, nil)} {
			if p.natural(p.from, notes) == nil {
				for _, id := range []int{1, 2, 3} {
					_, err := coll.InsertOne(t.Context(), bson.D{{"_id", id}})
					require.NoError(t, err)
				}
				_, err := coll.DeleteOne(t.Context(), bson.D{{"_id", 1}})
				require.NoError(t, err)
				for _, id := range []int{1, 4} {
					_, err := coll.InsertOne(t.Context(), bson.D{{"_id", id}})
					require.NoError(t, err)
				}
			}
			stop := p.work(l, small)
			p.settle(l)
			assert.Equal(t, []int64{2, 3, 1, 4}, p.natural(p.to, notes))
			stop()
		}
	})
}
