package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
)

// A hardship is what goes on all the time in an endurance run: writes at a
// steady rate, moves of chunks, elections and changes of the schema. Of what
// became of a write it keeps no account: the clusters are compared in the end.
type hardship struct {
	s *scenario
	e Endurance
	a *administrator

	mu               sync.Mutex
	writes           int64
	moves, elections int
	schema           int
}

// How often things happen.
const (
	writeEvery    = 100 * time.Millisecond
	moveEvery     = 2 * time.Second
	electionEvery = 20 * time.Second
	schemaEvery   = 3 * time.Second
	loadWriters   = 4
	// loadIDs is how many documents each writer has at most in each collection.
	loadIDs = 4000
)

func newHardship(s *scenario, e Endurance) *hardship {
	return &hardship{s: s, e: e, a: &administrator{crowd: s.crowd, r: rand.New(rand.NewPCG(e.Seed, 99))}}
}

// run goes on until ctx ends.
func (h *hardship) run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	for w := range loadWriters {
		l := &loader{h: h, r: rand.New(rand.NewPCG(h.e.Seed, 200+uint64(w))), base: int64(w) * 10 * loadIDs}
		g.Go(func() error { return h.s.crowd.every(gctx, writeEvery, l.step) })
	}
	r := rand.New(rand.NewPCG(h.e.Seed, 300))
	g.Go(func() error { return h.s.crowd.every(gctx, moveEvery, func(ctx context.Context) { h.move(ctx, r) }) })
	re := rand.New(rand.NewPCG(h.e.Seed, 301))
	g.Go(func() error {
		return h.s.crowd.every(gctx, electionEvery, func(ctx context.Context) { h.elect(ctx, re) })
	})
	g.Go(func() error { return h.s.crowd.every(gctx, schemaEvery, h.change) })
	return g.Wait()
}

// tell writes the counts.
func (h *hardship) tell(out *Endured) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out.Writes, out.Moves, out.Elections, out.Schema = h.writes, h.moves, h.elections, h.schema
}

// change changes the schema.
func (h *hardship) change(ctx context.Context) {
	h.a.step(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.schema = h.a.n
}

// move moves a chunk of one of the sharded collections to a random shard. There
// may be no primary at the moment, or the chunk may be there already.
func (h *hardship) move(ctx context.Context, r *rand.Rand) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	shards := h.s.sides[Source].cluster.Shards()
	cmd := bson.D{{"moveChunk", ranged}, {"find", bson.D{{"k", int32(r.IntN(keySpan))}}}, {"to", pick(r, shards...)}}
	if r.IntN(2) == 0 {
		var c struct {
			Min bson.Raw `bson:"min"`
			Max bson.Raw `bson:"max"`
		}
		client := h.s.operators[Source]
		var coll struct {
			UUID bson.Binary `bson:"uuid"`
		}
		err := client.Database("config").Collection("collections").FindOne(ctx, bson.D{{"_id", hashed}}).Decode(&coll)
		if err == nil {
			err = client.Database("config").Collection("chunks").FindOne(ctx, bson.D{{"uuid", coll.UUID}},
				options.FindOne().SetSkip(int64(r.IntN(4)))).Decode(&c)
		}
		if err != nil {
			return
		}
		cmd = bson.D{{"moveChunk", hashed}, {"bounds", bson.A{c.Min, c.Max}}, {"to", pick(r, shards...)}}
	}
	if err := h.s.operators[Source].Database("admin").RunCommand(ctx, cmd).Err(); err != nil {
		h.s.trace.add("move: %v", err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.moves++
}

// elect deposes a primary.
func (h *hardship) elect(ctx context.Context, r *rand.Rand) {
	c := h.s.sides[r.IntN(2)].cluster
	err := c.StepDown(ctx, pick(r, c.Shards()...), time.Second)
	switch {
	case errors.Is(err, mongotest.ErrNoPrimary):
		return
	case err != nil:
		h.s.bad.add("step down: %v", err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.elections++
}

// A loader writes documents that no other loader writes.
type loader struct {
	h    *hardship
	r    *rand.Rand
	base int64 // its first document
}

// step writes a tenth of a second's share of all writes.
func (l *loader) step(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	n := l.h.e.Rate * int(writeEvery) / int(time.Second) / loadWriters
	name := pick(l.r, collections...)
	models := make([]mongo.WriteModel, n)
	for i := range models {
		models[i] = l.write()
	}
	res, err := collection(l.h.s.crowd.clients[Source], name).BulkWrite(ctx, models, options.BulkWrite().SetOrdered(l.r.IntN(2) == 0))
	if err != nil && mongoconn.Classify(err) != mongoconn.Transient && !errors.Is(err, context.DeadlineExceeded) && !mongo.IsDuplicateKeyError(err) {
		l.h.s.bad.add("a write failed: %v", err)
	}
	if res == nil {
		return
	}
	l.h.mu.Lock()
	defer l.h.mu.Unlock()
	l.h.writes += res.InsertedCount + res.ModifiedCount + res.DeletedCount + res.UpsertedCount
}

// write draws one write. Its document may be there or not.
func (l *loader) write() mongo.WriteModel {
	id := l.base + l.r.Int64N(loadIDs)
	k := int32(id * 7919 % keySpan)
	filter := bson.D{{"_id", id}, {"k", k}}
	switch p := l.r.IntN(10); {
	case p < 3:
		return mongo.NewReplaceOneModel().SetFilter(filter).SetUpsert(true).
			SetReplacement(bson.D{{"_id", id}, {"k", k}, {"n", id}, {"v", l.r.Int64()}, {"items", bson.A{1, 2, 3}}, {"text", strings.Repeat("x", l.r.IntN(200))}})
	case p < 5:
		return mongo.NewDeleteOneModel().SetFilter(filter)
	case p < 8:
		return mongo.NewUpdateOneModel().SetFilter(filter).SetUpsert(true).
			SetUpdate(bson.D{{"$inc", bson.D{{"count", 1}}}, {"$set", bson.D{{"v", l.r.Int64()}, {"n", id}, {"deep.x", l.r.IntN(100)}}}})
	default:
		return mongo.NewUpdateOneModel().SetFilter(filter).SetUpsert(true).
			SetUpdate(bson.D{{"$set", bson.D{{"n", id}}}, {"$push", bson.D{{"items", bson.D{{"$each", bson.A{l.r.IntN(9)}}, {"$slice", -6}}}}}})
	}
}

// isIndex reports whether a difference that a check has found is about an index.
func isIndex(difference string) bool { return strings.Contains(difference, " index ") }

func (e Endured) String() string {
	verdict := "ok    "
	if !e.Passed {
		verdict = "FAILED"
	}
	var low, high int
	for i, m := range e.HeapMiB {
		if i == 0 || m < low {
			low = m
		}
		high = max(high, m)
	}
	return fmt.Sprintf("%s seed %d: %.0f s of cluster life in %.0f s, %d writes, %d moves of chunks, %d elections, %d schema changes, %d documents compared, lag at most %v, heap %d to %d MiB",
		verdict, e.Seed, e.Virtual.Seconds(), e.Real.Seconds(), e.Writes, e.Moves, e.Elections, e.Schema, e.Documents, e.MaxLag, low, high)
}
