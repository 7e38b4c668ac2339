package histories_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// pause is how long a reader waits before it tries again.
const pause = 200 * time.Millisecond

// Whatever has happened, a stream tells all of it, from wherever it is resumed:
// nothing is lost and nothing comes twice, merged and shard by shard.
// SHARDFERRY_HISTORIES says how many histories, SHARDFERRY_HISTORY which one.
func TestStreamsTellHistories(t *testing.T) {
	n := number(t, "SHARDFERRY_HISTORIES", 40)
	if testing.Short() {
		n = min(n, 10)
	}
	if _, ok := os.LookupEnv("SHARDFERRY_HISTORY"); ok {
		history(t, uint64(number(t, "SHARDFERRY_HISTORY", 0)))
		return
	}
	failures := 0
	for seed := range uint64(n) {
		if !t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { history(t, seed) }) {
			if failures++; failures == 20 {
				t.Fatal("too many")
			}
		}
	}
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	s, ok := os.LookupEnv(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	require.NoError(t, err, name)
	return n
}

// history plays one history and resumes streams in the middle of it.
func history(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(seed, 20))
		w := &world{
			t: t, ctx: t.Context(), rnd: rnd, readers: map[string]*mongo.Client{},
			setting: setting{version: one(rnd, []string{"6.0", "7.0", "8.0"}), members: one(rnd, []int{1, 1, 3})},
			model:   model{primaries: map[string]string{}, collections: map[string]*collection{}},
		}
		o := mongotest.Options{
			Version: w.version, Members: w.members, Shards: rnd.IntN(4), ElectionTimeout: 2 * time.Second,
			OrphanDelay: one(rnd, []time.Duration{-1, time.Second, time.Minute}),
		}
		var err error
		w.c, err = mongotest.New(o)
		require.NoError(t, err)
		w.shards, w.sharded, w.orphans = w.c.Shards(), o.Shards > 0, o.OrphanDelay > 0
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- w.c.Run(ctx) }()
		defer func() {
			cancel()
			assert.NoError(t, <-ran)
		}()
		<-w.c.Ready()
		defer func() {
			if t.Failed() {
				t.Logf("seed %d: %v", seed, w)
				for i, s := range w.steps {
					t.Logf("step %d: %s", i, s.what)
				}
			}
		}()
		w.connect()
		defer w.disconnect()
		w.tell()
	})
}

func (w *world) connect() {
	var err error
	w.cl, err = mongo.Connect(w.c.ClientOptions().SetServerSelectionTimeout(time.Minute))
	require.NoError(w.t, err)
	for _, s := range w.shards {
		uri, err := w.c.ShardURI(s)
		if !w.sharded {
			w.readers[s] = w.cl
			continue
		}
		require.NoError(w.t, err)
		w.readers[s], err = mongo.Connect(options.Client().ApplyURI(uri).SetDialer(w.c.Dialer()))
		require.NoError(w.t, err)
	}
}

func (w *world) disconnect() {
	ctx := context.WithoutCancel(w.ctx)
	require.NoError(w.t, w.cl.Disconnect(ctx))
	for _, cl := range w.readers {
		if cl != w.cl {
			require.NoError(w.t, cl.Disconnect(ctx))
		}
	}
}

// tell plays the history, and checks the streams.
func (w *world) tell() {
	t := w.t
	w.place("a")
	w.place("b")
	from := w.now()
	from.I++
	f := &follower{from: from}
	w.follower = f
	require.NoError(t, f.resume(w))
	for range 10 + w.rnd.IntN(40) {
		w.something()
		if w.chance(30) {
			w.follow()
		}
		if w.chance(5) {
			w.contents()
		}
	}
	end := w.now()
	w.note()
	for !parseToken(f.pbrt).timestamp().After(end) {
		require.NoError(t, f.poll(w))
	}
	f.close()

	all, marks, err := w.all(scope{expanded: true}, from, end)
	require.NoError(t, err)
	w.told = map[string]bson.Raw{}
	for _, e := range all {
		w.told[str(e, "_id", "_data")] = e
	}
	require.NoError(t, w.match(all))
	require.NoError(t, differ(unique(all), unique(f.events)), "followed")
	byShard := map[string][]bson.Raw{}
	var shards [][]bson.Raw
	for _, s := range w.shards {
		events, _, err := w.all(w.on(scope{expanded: true}, s), from, end)
		require.NoError(t, err)
		byShard[s] = events
		shards = append(shards, events)
	}
	require.NoError(t, differ(merged(shards), all), "shard by shard")
	require.NoError(t, w.resume(scope{expanded: true}, all, all, marks, end))
	for range 3 {
		w.checkStreams(all, byShard, from, end)
	}
	w.contents()
	w.truncated(all, marks, end)
}

// on lets a scope read one shard, through the router or by itself.
func (w *world) on(s scope, shard string) scope {
	s.shard = shard
	s.direct = !w.sharded || w.chance(50)
	return s
}

// unique leaves one of the events that several shards tell with the same token:
// a reader that resumes between two of them gets only one.
func unique(events []bson.Raw) []bson.Raw {
	var out []bson.Raw
	for _, e := range ordered(events) {
		if len(out) == 0 || compare(id(out[len(out)-1]), id(e)) != 0 {
			out = append(out, e)
		}
	}
	return out
}

// checkStreams checks what a stream of some scope shows, read as a whole and from
// many places.
func (w *world) checkStreams(all []bson.Raw, byShard map[string][]bson.Raw, from, end bson.Timestamp) {
	t := w.t
	s := scope{db: one(w.rnd, []string{"", "a", "a", "b"}), expanded: w.chance(50)}
	if s.db != "" && w.chance(60) {
		s.coll = one(w.rnd, []string{"x", "y"})
	}
	base := all
	if w.chance(50) {
		s = w.on(s, one(w.rnd, w.shards))
		base = byShard[s.shard]
	}
	want := s.derive(base)
	events, marks, err := w.all(s, from, end)
	require.NoError(t, err, s)
	require.NoError(t, differ(want, events), s)
	full := s
	full.expanded = true
	known := full.derive(base)
	require.NoError(t, w.resume(s, events, known, marks, end))
	require.NoError(t, w.strangers(s, events, known, all, end))
}

// something happens.
func (w *world) something() {
	switch n := w.rnd.IntN(100); {
	case n < 62:
		w.crud()
	case n < 78:
		w.ddl()
	case n < 90 && w.sharded:
		w.chunks()
	case n < 92 && w.sharded:
		w.movePrimary()
	case n < 94:
		w.election()
	case n < 97:
		w.frozen()
	default:
		rest(time.Duration(w.rnd.IntN(3000)) * time.Millisecond)
	}
}
