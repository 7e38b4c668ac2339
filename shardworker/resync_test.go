package shardworker_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/mongotest"
	"github.com/shardferry/shardferry/shardworker"
)

// resyncs makes every task of a story one of a destination that holds something.
func (s *story) resyncs() {
	s.l.assign(func(a *shardferry.Assignment) {
		tasks := append([]shardferry.CopyTask{}, a.Tasks...)
		for i := range tasks {
			tasks[i].Resync = true
		}
		a.Tasks = tasks
	})
}

// old puts onto the destination what it might have held before changes were lost:
// most documents as they are, some as they were, some that the source has deleted
// since, and not those that are new.
func (s *story) old(ns shardferry.Namespace) {
	t := s.p.t
	coll := s.p.to.Database(ns.DB).Collection(ns.Coll)
	for id := range 1300 {
		doc := bson.D{{"_id", id}, {"x", id % 50}, {"list", bson.A{1, 2, 3, 4}}, {"sub", bson.D{{"n", id}}}}
		switch {
		case id%10 == 3:
			continue
		case id%10 == 4:
			doc[2].Value = bson.A{"old"}
		case id%10 == 5 && ns == orders && s.p.sharded:
			doc[1].Value = (id + 7) % 50 // its shard key was another one
		}
		_, err := coll.InsertOne(t.Context(), doc)
		require.NoError(t, err)
	}
}

// A destination that holds a range as it was at some time becomes equal, under
// writes and through crashes: what changed, what came, and what went.
func TestResyncMakesAnOldCopyEqual(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			o := mongotest.Options{Shards: shards}
			bubble(t, o, o, func(t *testing.T, p *pair) {
				s := twoCollections(p)
				s.old(orders)
				s.old(notes)
				s.resyncs()
				var stop func() []error
				p.write(11, []shardferry.Namespace{orders, notes}, false, func() {
					for range 3 {
						stop = p.work(s.l, small)
						time.Sleep(700 * time.Millisecond)
						s.l.crash(stop)
					}
					stop = p.work(s.l, small)
					time.Sleep(3 * time.Second)
				})
				p.settle(s.l)
				assert.Positive(t, p.requireEqual(orders))
				assert.Positive(t, p.requireEqual(notes))
				stop()
			})
		})
	}
}

// What is equal is not written again.
func TestResyncWritesOnlyWhatDiffers(t *testing.T) {
	bubble(t, mongotest.Options{}, mongotest.Options{}, func(t *testing.T, p *pair) {
		a := p.create(notes, nil, nil)
		fill(p, notes, 1000)
		l := p.newLead(map[shardferry.UUID]shardferry.Collection{a.UUID: a}, p.tasks(a, nil))
		stop := p.work(l, nil)
		p.settle(l)
		stop()
		var written atomic.Int64
		p.dst.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) mongotest.Fault {
			for _, list := range []string{"updates", "documents", "deletes"} {
				if stmts, ok := c.Body.Lookup(list).ArrayOK(); ok {
					v, err := stmts.Values()
					assert.NoError(t, err)
					written.Add(int64(len(v)))
				}
			}
			return mongotest.Fault{}
		}})
		again := p.newLead(map[shardferry.UUID]shardferry.Collection{a.UUID: a}, p.tasks(a, nil))
		s := story{p: p, l: again}
		s.resyncs()
		coll := p.to.Database(notes.DB).Collection(notes.Coll)
		_, err := coll.DeleteOne(t.Context(), bson.D{{"_id", 500}})
		require.NoError(t, err)
		_, err = coll.InsertOne(t.Context(), bson.D{{"_id", -1}})
		require.NoError(t, err)
		written.Store(0)
		stop = p.work(again, func(c *shardworker.Config) { c.BatchDocs = 100 })
		p.settle(again)
		assert.Equal(t, 1000, p.requireEqual(notes))
		assert.Equal(t, int64(2), written.Load())
		for _, err := range stop() {
			require.ErrorIs(t, err, context.Canceled)
		}
	})
}
