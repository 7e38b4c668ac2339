package shardworker_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/mongotest"
	"github.com/shardferry/shardferry/shardworker"
)

// Whatever the index that is scanned, each document is copied once, also where a
// run of equal keys is longer than a batch.
func TestEveryDocumentIsCopied(t *testing.T) {
	tests := []struct {
		name   string
		key    bson.D
		capped bool
		x      func(i int) any
		n      int
	}{
		{name: "by _id", n: 500, x: func(i int) any { return i }},
		{name: "by _id, exactly a batch", n: 40, x: func(i int) any { return i }},
		{name: "nothing there", x: func(i int) any { return i }},
		{name: "long runs of equal keys", key: bson.D{{"x", 1}}, n: 500, x: func(i int) any { return i / 200 }},
		{name: "equal keys of several types", key: bson.D{{"x", 1}}, n: 300, x: func(i int) any {
			return []any{int32(7), int64(7), 7.0}[i%3]
		}},
		{name: "missing keys", key: bson.D{{"x", 1}}, n: 300, x: func(int) any { return nil }},
		{name: "hashed keys", key: bson.D{{"x", "hashed"}}, n: 500, x: func(i int) any { return i % 7 }},
		{name: "types between types", key: bson.D{{"x", 1}}, n: 300, x: func(i int) any {
			return []any{"s", i, bson.NewObjectID(), true, nil, bson.D{{"a", i}}, bson.MinKey{}, bson.MaxKey{}}[i%8]
		}},
		{name: "capped", capped: true, n: 300, x: func(i int) any { return i }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			shards := 0
			if tt.key != nil {
				shards = 2
			}
			o := mongotest.Options{Shards: shards}
			bubble(t, o, o, func(t *testing.T, p *pair) {
				opts := options.CreateCollection()
				if tt.capped {
					opts.SetCapped(true).SetSizeInBytes(1 << 20)
				}
				c := p.create(orders, tt.key, tt.key, opts)
				c.Capped = tt.capped
				for i := range tt.n {
					doc := bson.D{{"_id", 10000 - i}}
					if x := tt.x(i); x != nil {
						doc = append(doc, bson.E{Key: "x", Value: x})
					}
					_, err := p.from.Database(orders.DB).Collection(orders.Coll).InsertOne(t.Context(), doc)
					require.NoError(t, err)
				}
				tasks := p.tasks(c, tt.key)
				if tt.capped {
					tasks[0].Index = mustMarshal(t, bson.D{{"$natural", 1}})
				}
				l := p.newLead(map[shardferry.UUID]shardferry.Collection{c.UUID: c}, tasks)
				stop := p.work(l, small)
				p.settle(l)
				assert.Equal(t, tt.n, p.requireEqual(orders))
				assert.Equal(t, int64(tt.n), l.copied(), "the totals count each document once")
				if tt.capped {
					assert.Equal(t, p.order(p.from, orders), p.order(p.to, orders))
				}
				stop()
			})
		})
	}
}

// copied returns the documents that the tasks count.
func (l *lead) copied() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.shards {
		for _, t := range s.a.Tasks {
			n += t.Docs
		}
	}
	return n
}

// Replies that are lost and connections that break change nothing: every write
// is sent again under its number.
func TestLostRepliesDoNoHarm(t *testing.T) {
	o := mongotest.Options{Shards: 2}
	bubble(t, o, o, func(t *testing.T, p *pair) {
		var mu sync.Mutex
		rng := rand.New(rand.NewPCG(11, 3))
		faults := mongotest.Faults{Command: func(c mongotest.Command) (f mongotest.Fault) {
			mu.Lock()
			defer mu.Unlock()
			if c.DB != orders.DB && c.Name != "getMore" {
				return f
			}
			switch n := rng.IntN(40); n {
			case 0:
				f.DropReply = true
			case 1:
				f.DropRequest = true
			case 2:
				f.Delay = 700 * time.Millisecond
			}
			return f
		}}
		s := twoCollections(p)
		p.dst.SetFaults(faults)
		var stop func() []error
		p.write(5, []shardferry.Namespace{orders, notes}, false, func() {
			stop = p.work(s.l, func(c *shardworker.Config) { small(c); c.WriteTimeout = 2 * time.Second })
			time.Sleep(3 * time.Second)
		})
		p.dst.SetFaults(mongotest.Faults{})
		p.settle(s.l)
		p.requireEqual(orders)
		p.requireEqual(notes)
		stop()
	})
}
