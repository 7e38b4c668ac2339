package histories_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/shardferry/shardferry/mongotest"
)

// A world is a cluster, and what is known of it.
type world struct {
	setting
	model
	t        *testing.T
	ctx      context.Context
	c        *mongotest.Cluster
	cl       *mongo.Client
	readers  map[string]*mongo.Client // of single shards, directly
	rnd      *rand.Rand
	follower *follower
	hasty    bool                // writes are acknowledged by one member
	told     map[string]bson.Raw // the expanded events, by their tokens
}

// A setting is what kind of cluster it is.
type setting struct {
	version string
	shards  []string // the ids; one for a replica set
	sharded bool
	members int
	orphans bool // what has moved stays for a while where it was
}

// A model is what there must be, and what has been done.
type model struct {
	primaries   map[string]string      // of databases
	collections map[string]*collection // by namespace
	steps       []step
	serial      int32
	born        int // collections so far
}

// A collection is what the model holds of one.
type collection struct {
	ns          string
	incarnation int               // stays with renames
	docs        map[string]bson.D // by idKey
	chunks      []chunk           // nil if it is not sharded; ascending, without gaps
	indexes     []string

	// haunted are the documents that a shard may still have a copy of, from
	// before a chunk moved: none of that _id may come there before it is deleted.
	haunted map[string]bool
	moving  bool
}

// A chunk holds the documents with min <= k < max, where math.MinInt and MaxInt
// stand for MinKey and MaxKey. While it moves it has two owners.
type chunk struct {
	min, max int
	owners   []string
}

var namespaces = []string{"a.x", "a.y", "b.x"}

func (c *collection) sharded() bool { return c.chunks != nil }

func (c *collection) db() string { return c.ns[:1] }

func (c *collection) name() string { return c.ns[2:] }

// owners are the shards that have chunks, in the order of the chunks.
func (w *world) owners(c *collection) []string {
	if !c.sharded() {
		return []string{w.primaries[c.db()]}
	}
	var all []string
	for _, ch := range c.chunks {
		for _, o := range ch.owners {
			if !slices.Contains(all, o) {
				all = append(all, o)
			}
		}
	}
	return all
}

// ownersOf are the shards that a document with this k may be on.
func (w *world) ownersOf(c *collection, k int32) []string {
	for _, ch := range c.chunks {
		if ch.min <= int(k) && int(k) < ch.max {
			return ch.owners
		}
	}
	return w.owners(c)
}

func bound(k int) any {
	switch k {
	case math.MinInt:
		return bson.MinKey{}
	case math.MaxInt:
		return bson.MaxKey{}
	}
	return int32(k)
}

// existing returns the collections there are, in the order of their names.
func (w *world) existing() []*collection {
	var all []*collection
	for _, ns := range namespaces {
		if c := w.collections[ns]; c != nil {
			all = append(all, c)
		}
	}
	return all
}

// pick chooses one of them, nil if there is none.
func (w *world) pick(fits func(*collection) bool) *collection {
	all := slices.DeleteFunc(w.existing(), func(c *collection) bool { return fits != nil && !fits(c) })
	if len(all) == 0 {
		return nil
	}
	return all[w.rnd.IntN(len(all))]
}

// coll is the collection as a client has it.
func (w *world) coll(c *collection) *mongo.Collection {
	o := options.Collection()
	if w.hasty {
		o.SetWriteConcern(writeconcern.W1())
	}
	return w.cl.Database(c.db()).Collection(c.name(), o)
}

// ids of a collection's documents, in an order that the seed alone decides.
func (c *collection) ids() []string {
	var ids []string
	for id := range c.docs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (w *world) admin(cmd bson.D) {
	w.t.Helper()
	require.NoError(w.t, w.cl.Database("admin").RunCommand(w.ctx, cmd).Err(), "%v", cmd)
}

func (w *world) next() int32 {
	w.serial++
	return w.serial
}

func (w *world) chance(percent int) bool { return w.rnd.IntN(100) < percent }

func one[T any](rnd *rand.Rand, all []T) T { return all[rnd.IntN(len(all))] }

// rest lets virtual time pass.
func rest(d time.Duration) { time.Sleep(d) }

// born notes a new collection.
func (w *world) newCollection(ns string) *collection {
	w.born++
	c := &collection{ns: ns, incarnation: w.born, docs: map[string]bson.D{}, haunted: map[string]bool{}}
	w.collections[ns] = c
	return c
}

// now is the time of the latest thing this client knows of.
func (w *world) now() bson.Timestamp {
	raw, err := w.cl.Database("admin").RunCommand(w.ctx, bson.D{{"ping", 1}}).Raw()
	require.NoError(w.t, err)
	t, i := raw.Lookup("$clusterTime", "clusterTime").Timestamp()
	return bson.Timestamp{T: t, I: i}
}

// note writes a no-op on every shard, after all that has happened.
func (w *world) note() {
	w.admin(bson.D{{"appendOplogNote", 1}, {"data", bson.D{{"n", w.next()}}}})
}

func (w *world) String() string {
	return fmt.Sprintf("%s, %d shards, %d members", w.version, len(w.shards), w.members)
}
