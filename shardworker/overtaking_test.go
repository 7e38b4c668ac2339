package shardworker

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// A batch is read at or after every event that was handed to a lane, notes those
// that follow until it has landed, and holds the frontier until it is released.
func TestOvertakingIsRecorded(t *testing.T) {
	l := newLedger("s0", testAssignment(testCollection()), nil)
	first, _ := l.admit(deleteEvent(t, 10, bson.D{{"_id", 1}}))
	b, _, _ := l.startBatch(testTask)
	require.Equal(t, at(10), b.readAt)
	second, _ := l.admit(deleteEvent(t, 11, bson.D{{"_id", 2}}))
	l.finish([]uint64{first.ticket, second.ticket}, 0)
	l.pass(at(50))
	assert.Equal(t, at(10), l.report().Applied, "held at the read time")

	keys := l.landed(b, at(40), false)
	assert.Equal(t, map[uint64]struct{}{second.hash: {}}, keys)
	third, _ := l.admit(deleteEvent(t, 51, bson.D{{"_id", 3}}))
	assert.NotContains(t, b.overtaken, third.hash, "what follows lands on what was copied")
	assert.Equal(t, at(10), l.report().Applied, "repairs are still to do")
	l.release(b)
	assert.Equal(t, before(51), l.report().Applied)
}

// A delta that may meet a newer image is read again instead.
func TestOvertakingDeltasAreReadAgain(t *testing.T) {
	l := newLedger("s0", testAssignment(testCollection()), nil)
	l.setHorizon(at(20))
	delta := func(sec uint32) event {
		ev := deleteEvent(t, sec, bson.D{{"_id", 1}})
		ev.kind, ev.op = kindUpdate, "update"
		return ev
	}
	j, _ := l.admit(delta(20))
	assert.True(t, j.reread, "a former epoch may have applied it")
	j, _ = l.admit(delta(21))
	assert.False(t, j.reread)
	b, _, _ := l.startBatch(testTask)
	l.landed(b, at(30), false)
	j, _ = l.admit(delta(30))
	assert.True(t, j.reread, "a copied image may include it")
	j, _ = l.admit(delta(31))
	assert.False(t, j.reread)
}

// What a repair has put contains events up to its read time, and may contain
// those up to when it was read.
func TestOvertakingRepairsAreRemembered(t *testing.T) {
	coll, key := testCollection(), raw(t, bson.D{{"_id", 1}})
	var m images
	m.put(&coll, key, image{includes: at(10), upTo: at(20)})
	assert.True(t, m.contain(&coll, key, at(10)))
	assert.False(t, m.contain(&coll, key, at(11)))
	assert.True(t, m.maybeNewer(&coll, key, at(20)))
	assert.False(t, m.maybeNewer(&coll, raw(t, bson.D{{"_id", 2}}), at(20)))
	m.forget(&coll, key)
	assert.False(t, m.maybeNewer(&coll, key, at(20)), "an event has put the whole document")

	m.put(&coll, key, image{includes: at(10), upTo: at(20)})
	for i := range maxImages {
		m.put(&coll, raw(t, bson.D{{"_id", i + 2}}), image{includes: at(10), upTo: at(20)})
	}
	assert.True(t, m.maybeNewer(&coll, key, at(20)), "what was let go stays suspect")
	assert.False(t, m.maybeNewer(&coll, key, at(21)))
}

// An event that gives its document another key is applied even where a repair of
// the old key already read what came later: it found nothing there, and said
// nothing about the new key.
func TestOvertakingRepairsDoNotHideAMove(t *testing.T) {
	for name, shardKey := range map[string]bson.D{"sharded destination": {{"k", 1}}, "unsharded destination": nil} {
		t.Run(name, func(t *testing.T) {
			coll := testCollection()
			if shardKey != nil {
				coll.ShardKey = raw(t, shardKey)
			}
			a := applier{memory: newRereadMemory(newAccount(rereadBytes)), keys: keyer{sourceSharded: true}}
			old, moved := raw(t, bson.D{{"k", 342}, {"_id", 1}}), raw(t, bson.D{{"k", 466}, {"_id", 1}})
			a.images.put(&coll, old, image{includes: at(20), upTo: at(20)})
			events := map[string]event{
				"update": {kind: kindUpdate, op: "update", body: raw(t, bson.D{
					{"updatedFields", bson.D{{"k", 466}}}, {"removedFields", bson.A{}}, {"disambiguatedPaths", bson.D{}},
				})},
				"replace": {kind: kindPut, op: "replace", body: raw(t, bson.D{{"_id", 1}, {"k", 466}})},
			}
			for op, ev := range events {
				ev.key, ev.time = old, at(10)
				var writes writeSet
				repairs := a.plan(&job{coll: &coll, ev: ev}, &writes)
				var keys []bson.Raw
				for _, r := range repairs {
					keys = append(keys, r.key)
				}
				assert.Contains(t, keys, moved, op)
				assert.Empty(t, writes.commands(), op)
			}
		})
	}
}

// A collection that was not selected before a time is read no earlier: what
// happened to it until then is in the copy or nowhere.
func TestACopyIsReadNoEarlierThanItsCollectionWasSelected(t *testing.T) {
	l := newLedger("s0", testAssignment(testCollection()), nil)
	l.pass(at(10))
	task := testTask
	task.After = at(70)
	b, _, _ := l.startBatch(task)
	assert.Equal(t, at(70), b.readAt)
	task.After = at(5)
	b, _, _ = l.startBatch(task)
	assert.Equal(t, at(10), b.readAt, "nor than what was handed on")
}
