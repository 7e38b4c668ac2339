package mongos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
)

// A life is a cluster whose chunks move about while clients write through two
// routers, over a network that takes its time.
type life struct {
	*cluster
	seed    uint64
	ctx     context.Context
	routers []*Router

	mu     sync.Mutex
	rnd    *rand.Rand // of the network
	writes map[int][]string
	docs   map[int]int // what the collection has to hold: n by _id
}

// Whatever is split, merged and moved meanwhile, no write is lost or doubled,
// streams show each once and in order, and shards hold the documents of others
// only as orphans.
func TestShardingLivesWithoutATrace(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for i := range uint64(8) {
		synctest.Test(t, func(t *testing.T) { newLife(t, seed+i).play() })
	}
}

func newLife(t *testing.T, seed uint64) *life {
	t.Helper()
	l := &life{
		cluster: newClusterWith(t, 5*time.Second), seed: seed, ctx: t.Context(),
		rnd: rand.New(rand.NewPCG(seed, 0)), writes: map[int][]string{}, docs: map[int]int{},
	}
	other, err := NewRouter(Config{Name: "mongos:27018", Catalog: l.catalog, Clock: oplog.NewClock(), Transport: l.transport})
	require.NoError(t, err)
	l.routers = []*Router{l.router, other}
	l.sharded("c")
	l.must("db", bson.D{{"create", "u"}})
	l.lose = func(string, *command.Request) error {
		time.Sleep(l.pause())
		return nil
	}
	return l
}

func (l *life) play() {
	t := l.t
	ctx, cancel := context.WithCancel(l.ctx)
	var background sync.WaitGroup
	defer background.Wait()
	defer cancel()
	for _, r := range l.routers {
		background.Go(func() { assert.NoError(t, r.Run(ctx)) })
	}
	merged := l.watch()
	shards := map[string]*shardWatcher{}
	for _, id := range shardNames {
		shards[id] = l.watchShard(id)
	}
	var clients sync.WaitGroup
	for w := range 4 {
		clients.Go(func() { l.write(w) })
	}
	for b := range 2 {
		clients.Go(func() { l.balance(uint64(100 + b)) })
	}
	clients.Wait()
	l.checkOrphans()
	time.Sleep(time.Minute)
	synctest.Wait()
	l.checkContents()
	l.checkStreams(merged.events(), shards)
}

// pause is how long the network takes this time.
func (l *life) pause() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(l.rnd.IntN(3000)) * time.Microsecond
}

// do runs a command on a router and returns its first error.
func (l *life) do(router int, db string, cmd bson.D) error {
	resp, err := l.routers[router].Handle(l.ctx, &command.Request{Name: cmd[0].Key, DB: db, Body: rawDoc(cmd), Client: l.client})
	if err != nil {
		return err
	}
	if errs := getDocs(resp.Body, "writeErrors"); len(errs) > 0 {
		return writeError(errs[0])
	}
	assert.NotZerof(l.t, getInt(resp.Body, "n", 1), "seed %d: %v found nothing to write", l.seed, cmd)
	return nil
}

// write is one client: it writes its own documents. Its single writes are
// retryable and now and then retried, acknowledged or not; others are
// transactions, on several shards often.
func (l *life) write(w int) {
	rnd := rand.New(rand.NewPCG(l.seed, uint64(w)+1))
	lsid, number := session(), int64(0)
	for range 120 {
		number++
		router, first := rnd.IntN(2), w*100+rnd.IntN(8)
		if rnd.IntN(6) == 0 {
			number = l.transact(router, rnd, lsid, number, first, w*100+8+rnd.IntN(8))
			continue
		}
		s := l.next(rnd, first)
		cmd := append(s.cmd, bson.E{Key: "lsid", Value: lsid}, bson.E{Key: "txnNumber", Value: number})
		for range 1 + rnd.IntN(2) {
			if err := l.do(router, "db", cmd); err != nil {
				assert.NoErrorf(l.t, err, "seed %d: %v", l.seed, cmd)
				return
			}
			time.Sleep(time.Duration(rnd.IntN(30)) * time.Millisecond)
		}
		l.done(s)
	}
}

// transact writes two documents in a transaction, which begins anew when it
// meets a chunk on the move. It returns the number of the one that went well.
func (l *life) transact(router int, rnd *rand.Rand, lsid bson.D, number int64, ids ...int) int64 {
	for ; ; number++ {
		fields := bson.D{{"lsid", lsid}, {"txnNumber", number}, {"autocommit", false}}
		var steps []step
		var err error
		for i, id := range ids {
			s := l.next(rnd, id)
			steps = append(steps, s)
			cmd := append(s.cmd, fields...)
			if i == 0 {
				cmd = append(cmd, bson.E{Key: "startTransaction", Value: true})
			}
			if err = l.do(router, "db", cmd); err != nil {
				break
			}
		}
		if err == nil {
			err = l.do(router, "admin", append(bson.D{{"commitTransaction", 1}}, fields...))
		}
		if err == nil {
			for _, s := range steps {
				l.done(s)
			}
			return number
		}
		if !assert.Truef(l.t, slices.Contains(mongoerr.From(err).Labels, "TransientTransactionError"), "seed %d: %v", l.seed, err) {
			return number
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A step is a write to one document: the command, the event it makes and the
// document's n behind it, 0 if it is gone.
type step struct {
	id    int
	cmd   bson.D
	event string
	n     int
}

// next chooses a write to a document. Some are in a collection that is not
// sharded.
func (l *life) next(rnd *rand.Rand, id int) step {
	l.mu.Lock()
	defer l.mu.Unlock()
	coll := collectionOf(id)
	n, version := l.docs[id], len(l.writes[id])+1
	q := bson.D{{"_id", id}, {"k", keyOf(id)}}
	switch {
	case n == 0:
		doc := append(q, bson.E{Key: "n", Value: version})
		return step{id, bson.D{{"insert", coll}, {"documents", bson.A{doc}}}, fmt.Sprint("insert ", version), version}
	case rnd.IntN(4) == 0:
		return step{id, bson.D{{"delete", coll}, {"deletes", bson.A{bson.D{{"q", q}, {"limit", 1}}}}}, "delete", 0}
	default:
		inc := bson.D{{"$inc", bson.D{{"n", version - n}}}}
		return step{id, bson.D{{"update", coll}, {"updates", bson.A{bson.D{{"q", q}, {"u", inc}}}}}, fmt.Sprint("update ", version), version}
	}
}

func collectionOf(id int) string {
	if id%4 == 3 {
		return "u"
	}
	return "c"
}

func (l *life) done(s step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes[s.id], l.docs[s.id] = append(l.writes[s.id], s.event), s.n
	if s.n == 0 {
		delete(l.docs, s.id)
	}
}

// keyOf spreads the documents over the key space.
func keyOf(id int) int { return id*37%200 - 50 }

// balance changes chunks at random. Each change may be refused, but only for
// the reasons a server has.
func (l *life) balance(stream uint64) {
	rnd := rand.New(rand.NewPCG(l.seed, stream))
	for range 40 {
		time.Sleep(time.Duration(rnd.IntN(200)) * time.Millisecond)
		cmd := l.change(rnd)
		db := "admin"
		if cmd[0].Key == "createIndexes" {
			db = "db"
		}
		err := l.do(rnd.IntN(2), db, cmd)
		if err != nil {
			refusals := []mongoerr.Code{mongoerr.ConflictingOperationInProgress, mongoerr.BadValue, mongoerr.IllegalOperation, mongoerr.InvalidOptions, mongoerr.CommandFailed}
			assert.Containsf(l.t, refusals, mongoerr.From(err).Code, "seed %d: %v: %v", l.seed, cmd, err)
		}
	}
}

func (l *life) change(rnd *rand.Rand) bson.D {
	at, to := rnd.IntN(200)-50, shardNames[rnd.IntN(3)]
	chunks := l.catalog.table("db.c").chunks
	i := rnd.IntN(len(chunks))
	switch rnd.IntN(12) {
	case 8:
		return bson.D{{"movePrimary", "db"}, {"to", to}}
	case 9:
		keys := []bson.D{{{"k", 1}}, {{"_id", 1}}, {{"k", "hashed"}}, {{"_id", "hashed"}, {"k", 1}}}
		return bson.D{{"reshardCollection", "db.c"}, {"key", keys[rnd.IntN(len(keys))]}, {"numInitialChunks", 1 + rnd.IntN(6)}}
	case 10:
		return bson.D{{"moveCollection", "db.u"}, {"toShard", to}}
	case 0:
		return bson.D{{"split", "db.c"}, {"middle", bson.D{{"k", at}}}}
	case 1:
		return bson.D{{"mergeChunks", "db.c"}, {"bounds", bson.A{chunks[i].min, chunks[min(i+1, len(chunks)-1)].max}}}
	case 2:
		return bson.D{{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{fmt.Sprint("f", at), 1}}}, {"name", fmt.Sprint("f", at)}}}}}
	case 3:
		return bson.D{{"moveRange", "db.c"}, {"min", bson.D{{"k", at}}}, {"toShard", to}}
	default:
		return bson.D{{"moveChunk", "db.c"}, {"bounds", bson.A{chunks[i].min, chunks[i].max}}, {"to", to}}
	}
}

// checkOrphans reads the shards directly: what a shard owns is there as it has
// to be; the rest may be anything, for it is nobody's.
func (l *life) checkOrphans() {
	found := map[int]int{}
	for _, coll := range []string{"c", "u"} {
		t := l.catalog.table("db." + coll)
		primary, _ := l.catalog.primary("db")
		for _, shard := range shardNames {
			for _, doc := range l.on(shard, coll) {
				owner := primary
				if t != nil {
					owner, _ = t.shardOf(doc)
				}
				if owner == shard {
					found[int(getInt(doc, "_id", 0))] += int(getInt(doc, "n", 0))
				}
			}
		}
	}
	assert.Equalf(l.t, l.docs, found, "seed %d: owned documents", l.seed)
}

// checkContents asks a router, and the shards once the orphans have had their
// time.
func (l *life) checkContents() {
	found := map[int]int{}
	for _, coll := range []string{"c", "u"} {
		for _, doc := range l.all("db", bson.D{{"find", coll}}) {
			found[int(getInt(doc, "_id", 0))] += int(getInt(doc, "n", 0))
		}
	}
	assert.Equalf(l.t, l.docs, found, "seed %d: through mongos", l.seed)
	total := 0
	for _, shard := range shardNames {
		total += len(l.on(shard, "c")) + len(l.on(shard, "u"))
		resp, err := l.nodes[shard].Handle(l.ctx, &command.Request{Name: "find", DB: "config", Client: l.client, Body: rawDoc(bson.D{{"find", "rangeDeletions"}})})
		require.NoError(l.t, err)
		assert.Emptyf(l.t, getDocs(getDoc(resp.Body, "cursor"), "firstBatch"), "seed %d: range deletions of %s", l.seed, shard)
	}
	assert.Equalf(l.t, len(l.docs), total, "seed %d: orphans are left", l.seed)
}

// checkStreams compares the merged stream with what the clients wrote, and with
// the streams of the shards.
func (l *life) checkStreams(merged []bson.Raw, shards map[string]*shardWatcher) {
	seen := map[int][]string{}
	for _, e := range merged {
		if getDoc(e, "documentKey") == nil {
			continue
		}
		event := getString(e, "operationType")
		switch event {
		case "insert":
			event = fmt.Sprint(event, " ", getInt(getDoc(e, "fullDocument"), "n", 0))
		case "update":
			event = fmt.Sprint(event, " ", getInt(getDoc(getDoc(e, "updateDescription"), "updatedFields"), "n", 0))
		}
		id := int(getInt(getDoc(e, "documentKey"), "_id", 0))
		seen[id] = append(seen[id], event)
	}
	assert.Equalf(l.t, l.writes, seen, "seed %d: merged stream", l.seed)
	var union []string
	for _, id := range shardNames {
		own := tokens(shards[id].events())
		assert.Truef(l.t, slices.IsSorted(own), "seed %d: stream of %s is in order", l.seed, id)
		union = append(union, own...)
	}
	slices.Sort(union)
	assert.Equalf(l.t, union, tokens(merged), "seed %d: the merged stream is the union of the shards'", l.seed)
}

// tokens returns the resume tokens of events.
func tokens(events []bson.Raw) []string {
	var out []string
	for _, e := range events {
		out = append(out, getString(getDoc(e, "_id"), "_data"))
	}
	return out
}

// A shardWatcher reads the change stream of one shard, directly.
type shardWatcher struct {
	l     *life
	shard string
	id    int64
}

func (l *life) watchShard(shard string) *shardWatcher {
	w := &shardWatcher{l: l, shard: shard}
	body := w.run(bson.D{{"aggregate", int32(1)}, {"cursor", bson.D{}}, {"pipeline", bson.A{
		bson.D{{"$changeStream", bson.D{{"allChangesForCluster", true}, {"showExpandedEvents", true}}}},
	}}})
	w.id = getInt(getDoc(body, "cursor"), "id", 0)
	return w
}

func (w *shardWatcher) run(cmd bson.D) bson.Raw {
	resp, err := w.l.nodes[w.shard].Handle(w.l.ctx, &command.Request{Name: cmd[0].Key, DB: "admin", Body: rawDoc(cmd), Client: w.l.client})
	require.NoError(w.l.t, err)
	return resp.Body
}

func (w *shardWatcher) events() []bson.Raw {
	var docs []bson.Raw
	for {
		body := w.run(bson.D{{"getMore", w.id}, {"collection", "$cmd.aggregate"}, {"maxTimeMS", int32(1)}})
		batch := getDocs(getDoc(body, "cursor"), "nextBatch")
		if len(batch) == 0 {
			return docs
		}
		docs = append(docs, batch...)
	}
}
