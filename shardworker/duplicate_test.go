package shardworker_test

import (
	"fmt"
	"strings"
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

// Documents that pass unique values on to each other, two or many, end as they
// are on the source, although lanes apply them in parallel and a repair sees
// only the end of it.
func TestDuplicateKeyThatDocumentsExchange(t *testing.T) {
	for name, ring := range map[string]int{"pairs": 2, "rings of ten": 10, "pairs under a collation": 2} {
		t.Run(name, func(t *testing.T) {
			value := func(u int) any { return u }
			unique := bson.D{{"key", bson.D{{"u", 1}}}, {"name", "u_1"}, {"unique", true}}
			if name == "pairs under a collation" {
				value = func(u int) any {
					return bson.A{fmt.Sprint("other", u), fmt.Sprint([]string{"v", "V"}[u%2], u/100, u%100)}
				}
				unique = append(unique, bson.E{Key: "collation", Value: bson.D{{"locale", "en"}, {"strength", 2}}})
			}
			bubble(t, mongotest.Options{}, mongotest.Options{}, func(t *testing.T, p *pair) {
				a := p.create(notes, nil, nil)
				for _, cl := range []*mongo.Client{p.from, p.to} {
					p.run(cl, notes.DB, bson.D{{"createIndexes", notes.Coll}, {"indexes", bson.A{unique}}})
					for i := range 20 {
						_, err := cl.Database(notes.DB).Collection(notes.Coll).InsertOne(t.Context(), bson.D{{"_id", i}, {"u", value(i)}})
						require.NoError(t, err)
					}
				}
				l := p.newLead(map[shardferry.UUID]shardferry.Collection{a.UUID: a}, nil)
				set := func(id, u int) {
					_, err := p.from.Database(notes.DB).Collection(notes.Coll).
						UpdateOne(t.Context(), bson.D{{"_id", id}}, bson.D{{"$set", bson.D{{"u", value(u)}}}})
					require.NoError(t, err)
				}
				for first := 0; first < 20; first += ring {
					set(first, 100+first)
					for i := first + 1; i < first+ring; i++ {
						set(i, i-1)
					}
					set(first, first+ring-1)
				}
				stop := p.work(l, nil)
				p.settle(l)
				assert.Equal(t, 20, p.requireEqual(notes))
				stop()
			})
		})
	}
}

// A document leaves a shard and comes back while the worker of the other shard
// is about to delete what it takes for the document that has left. Both workers
// are right about what they have read, and the document stays.
func TestDuplicateKeyOfADocumentThatComesBack(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2}, mongotest.Options{}, func(t *testing.T, p *pair) {
		a := p.create(orders, bson.D{{"x", 1}}, nil)
		spread(p, p.from, p.src, orders)
		owner, err := p.from.Database("config").Collection("databases").FindOne(t.Context(), bson.D{{"_id", orders.DB}}).Raw()
		require.NoError(t, err)
		home := owner.Lookup("primary").StringValue() // of x = 3
		coll := p.from.Database(orders.DB).Collection(orders.Coll)
		for _, cl := range []*mongo.Client{p.from, p.to} {
			_, err := cl.Database(orders.DB).Collection(orders.Coll).InsertOne(t.Context(), bson.D{{"_id", 1}, {"x", 3}})
			require.NoError(t, err)
		}
		l := p.newLead(map[shardferry.UUID]shardferry.Collection{a.UUID: a}, nil)
		var once sync.Once
		p.dst.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) (f mongotest.Fault) {
			if c.Name == "delete" {
				once.Do(func() { f.Delay = 30 * time.Second })
			}
			return f
		}})
		stop := p.work(l, func(c *shardworker.Config) { c.WriteTimeout = time.Minute })
		time.Sleep(time.Second)
		p.src.SetFaults(mongotest.Faults{Route: func(c mongotest.Command) mongotest.Fault {
			if c.Name == "getMore" && strings.Contains(c.Addr, home) {
				return mongotest.Fault{Delay: 5 * time.Second} // the worker of that shard is late
			}
			return mongotest.Fault{}
		}})
		time.Sleep(time.Second)
		move := func(x int) {
			_, err := coll.UpdateOne(t.Context(), bson.D{{"_id", 1}}, bson.D{{"$set", bson.D{{"x", x}}}})
			require.NoError(t, err)
		}
		move(41)
		time.Sleep(2 * time.Second)
		move(3)
		time.Sleep(time.Second)
		p.src.SetFaults(mongotest.Faults{})
		p.settle(l)
		require.Equal(t, 1, p.requireEqual(orders))
		stop()
	})
}
