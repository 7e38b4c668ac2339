package mongos

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Over random writes and moves, a merged stream shows every change once, in an
// order that ends with what the collection holds.
func TestAMergedStreamShowsEveryChangeOnce(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	c := newCluster(t)
	c.sharded("c")
	w := c.watch()
	lsid := session()
	for i := range 300 {
		id, k := rnd.IntN(40), rnd.IntN(300)-100
		switch rnd.IntN(8) {
		case 0:
			c.move("c", k, shardNames[rnd.IntN(3)])
		case 1:
			c.must("db", bson.D{{"delete", "c"}, {"deletes", bson.A{bson.D{{"q", bson.D{{"_id", id}}}, {"limit", 1}}}}})
		case 2, 3: // moves the document when the new key belongs to another shard
			c.must("db", bson.D{{"update", "c"}, {"lsid", lsid}, {"txnNumber", int64(i)}, {"updates", bson.A{
				bson.D{{"q", bson.D{{"_id", id}}}, {"u", bson.D{{"$set", bson.D{{"k", k}}}}}},
			}}})
		default:
			if len(c.all("db", bson.D{{"find", "c"}, {"filter", bson.D{{"_id", id}}}})) == 0 {
				c.insert("c", bson.D{{"_id", id}, {"k", k}, {"n", i}})
			} else {
				c.must("db", bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{{"_id", id}}}, {"u", bson.D{{"$set", bson.D{{"n", i}}}}}}}}})
			}
		}
	}
	replayed := replay(t, w.events())
	want := map[string]string{}
	for _, d := range c.all("db", bson.D{{"find", "c"}}) {
		id, _ := value.Get(d, "_id")
		want[id.String()] = fmt.Sprint(getInt(d, "k", -1), getInt(d, "n", -1))
	}
	assert.Equal(t, want, replayed)
}

// replay applies events by _id; the delete of a document that moved may come
// after the insert at its new place.
func replay(t *testing.T, events []bson.Raw) map[string]string {
	t.Helper()
	docs := map[string]bson.Raw{}
	last := ""
	for _, e := range events {
		token := getString(getDoc(e, "_id"), "_data")
		require.Greater(t, token, last, "tokens ascend")
		last = token
		key := getDoc(e, "documentKey")
		idv, _ := value.Get(key, "_id")
		id := idv.String()
		switch getString(e, "operationType") {
		case "insert", "replace":
			docs[id] = getDoc(e, "fullDocument")
		case "update":
			docs[id] = set(docs[id], elementsOf(getDoc(getDoc(e, "updateDescription"), "updatedFields"))...)
		case "delete":
			if getInt(docs[id], "k", -1) == getInt(key, "k", -1) {
				delete(docs, id)
			}
		}
	}
	out := map[string]string{}
	for id, d := range docs {
		out[id] = fmt.Sprint(getInt(d, "k", -1), getInt(d, "n", -1))
	}
	return out
}

func TestAStreamResumesFromAnyEvent(t *testing.T) {
	c := newCluster(t)
	c.sharded("c")
	w := c.watch()
	for i := range 12 {
		c.insert("c", bson.D{{"_id", i}, {"k", i*30 - 100}})
	}
	events := w.events()
	require.Len(t, events, 12)
	for i, e := range events {
		body := c.must("db", bson.D{{"aggregate", "c"}, {"cursor", bson.D{}}, {"pipeline", bson.A{bson.D{{"$changeStream", bson.D{{"resumeAfter", getDoc(e, "_id")}}}}}}})
		cur := getDoc(body, "cursor")
		assert.NotNil(t, getDoc(cur, "postBatchResumeToken"))
		again := &watcher{c: c, id: getInt(cur, "id", 0), coll: "c"}
		var rest []bson.Raw
		for empty := 0; empty < 2; {
			b := c.must("db", bson.D{{"getMore", again.id}, {"collection", "c"}, {"maxTimeMS", int32(1)}})
			batch := getDocs(getDoc(b, "cursor"), "nextBatch")
			rest = append(rest, batch...)
			if len(batch) == 0 {
				empty++
			}
		}
		assert.Equal(t, summary(events[i+1:]), summary(rest), "after event %d", i)
		c.must("db", bson.D{{"killCursors", "c"}, {"cursors", bson.A{again.id}}})
	}
	c.fails(31123, "db", bson.D{{"aggregate", "c"}, {"cursor", bson.D{}}, {"pipeline", bson.A{bson.D{{"$changeStream", bson.D{{"showMigrationEvents", true}}}}}}})
}

func TestAStreamThatLosesAShardIsResumable(t *testing.T) {
	c := newCluster(t)
	c.sharded("c")
	w := c.watch()
	c.lose = func(shard string, req *command.Request) error {
		if shard == "s1" && req.Name == "getMore" {
			return mongoerr.New(mongoerr.HostUnreachable, "lost")
		}
		return nil
	}
	_, err := c.run("admin", bson.D{{"getMore", w.id}, {"collection", w.coll}, {"maxTimeMS", int32(1)}})
	require.Error(t, err)
	assert.Contains(t, mongoerr.From(err).Labels, "ResumableChangeStreamError")
	c.fails(mongoerr.CursorNotFound, "admin", bson.D{{"getMore", w.id}, {"collection", w.coll}})
}
