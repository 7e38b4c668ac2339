package shardworker

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestRounds(t *testing.T) {
	a, b := bson.D{{"_id", 1}}, bson.D{{"_id", 2}}
	oldKey, newKey := bson.D{{"x", 1}, {"_id", 1}}, bson.D{{"x", 2}, {"_id", 1}}
	put := func(key bson.D) event { return putEvent(t, 10, "insert", key, key) }
	del := func(key bson.D) event { return deleteEvent(t, 10, key) }
	upd := func(key bson.D) event {
		ev := del(key)
		ev.kind = kindUpdate
		return ev
	}
	tests := []struct {
		name   string
		events []event
		capped bool
		key    bson.D // the destination's shard key
		repair int    // index of a job that is a repair, if positive
		want   [][]int
	}{
		{name: "different keys share a round", events: []event{put(a), put(b)}, want: [][]int{{0, 1}}},
		{name: "one key, one round each", events: []event{upd(a), upd(b), upd(a)}, want: [][]int{{0, 1}, {2}}},
		{name: "a whole image replaces what was before", events: []event{upd(a), upd(a), put(a), upd(a)}, want: [][]int{{2}, {3}}},
		{name: "a delete replaces what was before", events: []event{put(a), upd(a), del(a)}, want: [][]int{{2}}},
		{name: "equal ids are one key", events: []event{upd(a), upd(bson.D{{"_id", 1.0}})}, want: [][]int{{0}, {1}}},
		{name: "an image of another shard key replaces nothing", events: []event{put(oldKey), del(oldKey), put(newKey)}, want: [][]int{{1}, {2}}},
		{name: "nothing is replaced across another document of the id", events: []event{put(oldKey), put(newKey), del(oldKey)}, want: [][]int{{0}, {1}, {2}}},
		{name: "an id that comes back under another shard key, of which the source says nothing", events: []event{put(a), del(a), put(a)}, key: bson.D{{"x", 1}}, want: [][]int{{1}, {2}}},
		{name: "a repair is not replaced", events: []event{put(b), put(a), put(a)}, repair: 1, want: [][]int{{0, 1}, {2}}},
		{name: "capped: strictly in order", events: []event{put(a), put(b), del(a)}, capped: true, want: [][]int{{0}, {1}, {2}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			coll := testCollection()
			coll.Capped = tt.capped
			if tt.key != nil {
				coll.ShardKey = raw(t, tt.key)
			}
			index := map[*job]int{}
			var batch []*job
			for i, ev := range tt.events {
				j := &job{coll: &coll, ev: ev, hash: laneHash(&coll, ev.key)}
				if tt.repair > 0 && i == tt.repair {
					j.done = func() {}
				}
				index[j] = i
				batch = append(batch, j)
			}
			var got [][]int
			for _, round := range rounds(batch) {
				var at []int
				for _, j := range round {
					at = append(at, index[j])
				}
				got = append(got, at)
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

// The full key is the filter, so that a late delete of a document's old shard
// key cannot hit it under its new one.
func TestDocumentKeyFilter(t *testing.T) {
	tests := []struct {
		name    string
		shardK  bson.D
		sharded bool
		key     bson.D
		doc     bson.D
		want    bson.D
	}{
		{name: "unsharded", key: bson.D{{"_id", 1}}, want: bson.D{{"_id", 1}}},
		{name: "shard key and _id", shardK: bson.D{{"x", 1}}, sharded: true, key: bson.D{{"x", 5}, {"_id", 1}}, want: bson.D{{"x", 5}, {"_id", 1}}},
		{name: "a missing field is null", shardK: bson.D{{"x", 1}}, sharded: true, key: bson.D{{"_id", 1}}, want: bson.D{{"x", nil}, {"_id", 1}}},
		{name: "kept where the destination is unsharded", sharded: true, key: bson.D{{"x", 5}, {"_id", 1}}, want: bson.D{{"x", 5}, {"_id", 1}}},
		{name: "hashed keys are plain values", shardK: bson.D{{"x", "hashed"}}, sharded: true, key: bson.D{{"x", "v"}, {"_id", 1}}, want: bson.D{{"x", "v"}, {"_id", 1}}},
		{name: "dotted", shardK: bson.D{{"a.b", 1}}, sharded: true, key: bson.D{{"a.b", 5}, {"_id", 1}}, want: bson.D{{"a.b", 5}, {"_id", 1}}},
		{name: "an unsharded source says nothing of other fields", shardK: bson.D{{"x", 1}}, key: bson.D{{"_id", 1}}, want: bson.D{{"_id", 1}}},
		{name: "but its documents do", shardK: bson.D{{"x", 1}}, key: bson.D{{"_id", 1}}, doc: bson.D{{"_id", 1}, {"x", 7}}, want: bson.D{{"x", 7}, {"_id", 1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			coll := testCollection()
			if tt.shardK != nil {
				coll.ShardKey = raw(t, tt.shardK)
			}
			var doc bson.Raw
			if tt.doc != nil {
				doc = raw(t, tt.doc)
			}
			want := bson.D{}
			for _, e := range tt.want {
				want = append(want, bson.E{Key: e.Key, Value: bson.D{{"$eq", e.Value}}})
			}
			key := keyer{sourceSharded: tt.sharded}.fromEvent(&coll, raw(t, tt.key), doc)
			got := filter(key)
			assert.Equal(t, raw(t, want), got, "%v", got)
		})
	}
}

func TestStatements(t *testing.T) {
	coll := testCollection()
	doc := raw(t, bson.D{{"_id", 1}, {"a", 2}})
	dollar := raw(t, bson.D{{"_id", 1}, {"$a", 2}})
	key := raw(t, bson.D{{"_id", 1}})
	q := bson.D{{"_id", bson.D{{"$eq", 1}}}}
	tests := []struct {
		name     string
		s        statement
		collated bool
		want     bson.D
	}{
		{"put", statement{kind: puts, key: key, doc: doc}, false, bson.D{{"q", q}, {"u", doc}, {"upsert", true}}},
		{"put of dollar names", statement{kind: puts, key: key, doc: dollar}, false, bson.D{
			{"q", q}, {"u", bson.A{bson.D{{"$replaceWith", bson.D{{"$literal", dollar}}}}}}, {"upsert", true},
		}},
		{"delete", statement{kind: deletes, key: key}, false, bson.D{{"q", q}, {"limit", int32(1)}}},
		{"collated", statement{kind: deletes, key: key}, true, bson.D{{"q", q}, {"limit", int32(1)}, {"collation", bson.D{{"locale", "simple"}}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := coll
			c.Collated = tt.collated
			got := build(func(dst []byte) []byte { return tt.s.append(dst, &c) })
			assert.Equal(t, raw(t, tt.want), got, "%v", got)
		})
	}
}

func TestEmptyTimestampsAreKept(t *testing.T) {
	coll := testCollection()
	doc := raw(t, bson.D{{"_id", 1}, {"ts", bson.Timestamp{}}})
	cmd, start := command{coll: &coll, kind: puts, statements: []statement{{kind: puts, key: raw(t, bson.D{{"_id", 1}}), doc: doc}}}.build()
	_, found := field(closeDocument(cmd, start), "bypassEmptyTsReplacement")
	assert.True(t, found)
}

func TestCommandsAreBounded(t *testing.T) {
	coll := testCollection()
	var w writeSet
	for i := range 10 {
		w.add(&coll, statement{kind: puts, key: raw(t, bson.D{{"_id", i}}), size: 3 << 20})
	}
	require.Len(t, w.commands(), 5)
	for _, c := range w.commands() {
		assert.Len(t, c.statements, 2, fmt.Sprint(c.kind))
	}
}
