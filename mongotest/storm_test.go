package mongotest_test

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
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// Whatever happens to connections, primaries and chunks, the change stream
// tells the whole history: each document's events arrive once, in order, and
// lead to what the collection holds in the end.
func TestStreamTellsTheHistoryOfAStorm(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			bubble(t, mongotest.Options{Shards: 3, OrphanDelay: time.Second, Mongos: 2}, func(t *testing.T, c *mongotest.Cluster) {
				newStorm(t, c, seed).run()
			})
		})
	}
}

// A storm is writers and weather over one collection.
type storm struct {
	t    *testing.T
	c    *mongotest.Cluster
	seed uint64
	cl   *mongo.Client
	coll *mongo.Collection
	ctx  context.Context
}

func newStorm(t *testing.T, c *mongotest.Cluster, seed uint64) *storm {
	return &storm{t: t, c: c, seed: seed, ctx: t.Context()}
}

const (
	stormWriters = 4
	stormWrites  = 150 // of each writer
	stormIDs     = 20  // documents of each writer
)

func (s *storm) run() {
	t := s.t
	cl, done := connect(t, s.c, options.Client().SetServerSelectionTimeout(5*time.Minute))
	defer done()
	s.cl, s.coll = cl, cl.Database("d").Collection("c")
	require.NoError(t, cl.Database("admin").RunCommand(s.ctx, bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"_id", 1}}}}).Err())
	require.NoError(t, s.move(0, 40, "shard1"))
	stream, err := s.coll.Watch(s.ctx, mongo.Pipeline{})
	require.NoError(t, err)

	replayed := make(chan map[int64]int64, 1)
	go func() { replayed <- s.replay(stream) }()
	var writers sync.WaitGroup
	for w := range stormWriters {
		writers.Go(func() { s.write(w) })
	}
	calm := make(chan struct{})
	var weather sync.WaitGroup
	weather.Go(func() { s.weather(calm) })
	writers.Wait()
	close(calm)
	weather.Wait()
	s.retry("end mark", func() error {
		_, err := s.coll.ReplaceOne(s.ctx, bson.D{{"_id", -1}}, bson.D{{"n", 0}}, options.Replace().SetUpsert(true))
		return err
	})
	assert.Equal(t, s.contents(), <-replayed)
}

// write changes the documents that belong to writer w. n grows with each
// write, so that a write done twice or out of order shows.
func (s *storm) write(w int) {
	rnd := rand.New(rand.NewPCG(s.seed, uint64(w)))
	for n := range stormWrites {
		id := w*stormIDs + rnd.IntN(stormIDs)
		key, doc := bson.D{{"_id", id}}, bson.D{{"_id", id}, {"n", n}}
		switch rnd.IntN(6) {
		case 0:
			s.retry("delete", func() error { _, err := s.coll.DeleteOne(s.ctx, key); return err })
		case 1:
			s.retry("replace", func() error {
				_, err := s.coll.ReplaceOne(s.ctx, key, doc, options.Replace().SetUpsert(true))
				return err
			})
		case 2:
			s.retry("findAndModify", func() error {
				err := s.coll.FindOneAndUpdate(s.ctx, key, bson.D{{"$set", bson.D{{"n", n}}}}).Err()
				if errors.Is(err, mongo.ErrNoDocuments) {
					return nil
				}
				return err
			})
		case 3:
			s.transact(w, rnd.IntN(stormIDs), n)
		default:
			s.retry("update", func() error {
				_, err := s.coll.UpdateOne(s.ctx, key, bson.D{{"$set", bson.D{{"n", n}}}}, options.UpdateOne().SetUpsert(true))
				return err
			})
		}
		rest(time.Duration(rnd.IntN(300)) * time.Millisecond)
	}
}

// transact writes two documents, in most cases of two shards, in one go.
func (s *storm) transact(w, i, n int) {
	s.retry("transaction", func() error {
		return s.cl.UseSession(s.ctx, func(ctx context.Context) error {
			_, err := mongo.SessionFromContext(ctx).WithTransaction(ctx, func(ctx context.Context) (any, error) {
				for _, id := range []int{w*stormIDs + i, w*stormIDs + (i+10)%stormIDs} {
					_, err := s.coll.UpdateOne(ctx, bson.D{{"_id", id}}, bson.D{{"$set", bson.D{{"n", n}}}}, options.UpdateOne().SetUpsert(true))
					if err != nil {
						return nil, err
					}
				}
				return nil, nil
			})
			return err
		})
	})
}

// retry repeats a write that the weather has kept from happening.
func (s *storm) retry(what string, write func() error) {
	var err error
	for range 100 {
		if err = write(); err == nil {
			return
		}
		rest(500 * time.Millisecond)
	}
	assert.NoErrorf(s.t, err, "%s, seed %d", what, s.seed)
}

// weather disturbs the cluster until calm is closed, and leaves it whole.
func (s *storm) weather(calm <-chan struct{}) {
	rnd := rand.New(rand.NewPCG(s.seed, 1000))
	shards, addrs := s.c.Shards(), s.c.Addrs()
	for {
		select {
		case <-calm:
			s.c.SetFaults(mongotest.Faults{})
			return
		case <-time.After(time.Duration(rnd.IntN(2000)) * time.Millisecond):
		}
		addr := addrs[rnd.IntN(len(addrs)-1)] // all but the config server
		switch rnd.IntN(6) {
		case 0:
			s.c.KillConnections()
		case 1:
			_ = s.c.StepDown(s.ctx, shards[rnd.IntN(len(shards))], time.Second) // fails while it has stepped down already
		case 2:
			s.c.Pause(addr)
			rest(time.Second)
			s.c.Resume(addr)
		case 3:
			s.c.Cut(addr)
			rest(time.Second)
			s.c.Heal(addr)
		case 4:
			from := 10 * rnd.IntN(8)
			_ = s.move(from, from+10, shards[rnd.IntN(len(shards))]) // may fail in this weather
		case 5:
			s.c.SetFaults(mongotest.Faults{Command: s.drops(0.05), Route: s.drops(0.05)})
		}
	}
}

// drops loses a share of requests and of replies.
func (s *storm) drops(share float64) func(mongotest.Command) mongotest.Fault {
	return func(mongotest.Command) mongotest.Fault {
		switch x := rand.Float64(); {
		case x < share/2:
			return mongotest.Fault{DropRequest: true}
		case x < share:
			return mongotest.Fault{DropReply: true}
		default:
			return mongotest.Fault{}
		}
	}
}

func (s *storm) move(from, to int, shard string) error {
	return s.cl.Database("admin").RunCommand(s.ctx, bson.D{
		{"moveRange", "d.c"}, {"min", bson.D{{"_id", from}}}, {"max", bson.D{{"_id", to}}}, {"toShard", shard},
	}).Err()
}

// replay applies the stream's events to an empty collection until the end
// mark, opening the stream again where the driver gives up.
func (s *storm) replay(stream *mongo.ChangeStream) map[int64]int64 {
	t, docs := s.t, map[int64]int64{}
	for {
		for !stream.Next(s.ctx) {
			token := stream.ResumeToken()
			_ = stream.Close(s.ctx) // broken already
			s.retry("watch", func() (err error) {
				stream, err = s.coll.Watch(s.ctx, mongo.Pipeline{}, options.ChangeStream().SetResumeAfter(token))
				return err
			})
			if t.Failed() {
				return nil
			}
		}
		ev := stream.Current
		id := ev.Lookup("documentKey", "_id").AsInt64()
		if id == -1 {
			assert.NoError(t, stream.Close(s.ctx))
			return docs
		}
		before, existed := docs[id]
		switch kind := ev.Lookup("operationType").StringValue(); kind {
		case "insert":
			assert.Falsef(t, existed, "seed %d: inserted twice: %s", s.seed, ev)
			docs[id] = ev.Lookup("fullDocument", "n").AsInt64()
		case "update", "replace":
			assert.Truef(t, existed, "seed %d: changed but not there: %s", s.seed, ev)
			field := []string{"fullDocument", "n"}
			if kind == "update" {
				field = []string{"updateDescription", "updatedFields", "n"}
			}
			docs[id] = ev.Lookup(field...).AsInt64()
			assert.Greaterf(t, docs[id], before, "seed %d: out of order: %s", s.seed, ev)
		case "delete":
			assert.Truef(t, existed, "seed %d: deleted but not there: %s", s.seed, ev)
			delete(docs, id)
		default:
			assert.Failf(t, "unexpected event", "seed %d: %s", s.seed, ev)
		}
	}
}

// contents returns what the collection holds, without the end mark.
func (s *storm) contents() map[int64]int64 {
	docs := map[int64]int64{}
	cur, err := s.coll.Find(s.ctx, bson.D{{"_id", bson.D{{"$gte", 0}}}})
	require.NoError(s.t, err)
	for cur.Next(s.ctx) {
		docs[cur.Current.Lookup("_id").AsInt64()] = cur.Current.Lookup("n").AsInt64()
	}
	require.NoError(s.t, cur.Err())
	return docs
}
