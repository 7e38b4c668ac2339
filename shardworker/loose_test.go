package shardworker

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// A filter by nothing but the _id compares as the collection does, because only
// then the index on _id can serve it; any other compares bytes.
func TestFiltersUnderACollation(t *testing.T) {
	id, full := bson.D{{"_id", "a"}}, bson.D{{"x", "b"}, {"_id", "a"}}
	for _, tt := range []struct {
		name             string
		collated         bool
		sourceSharded    bool
		key              bson.D
		statement, query bool // compare bytes by their own word
	}{
		{name: "no collation", key: id},
		{name: "only the _id", collated: true, key: id},
		{name: "the destination has a shard key", collated: true, key: full, statement: true},
		{name: "the source is sharded by the _id", collated: true, sourceSharded: true, key: id, statement: true, query: true},
		{name: "the source is sharded", collated: true, sourceSharded: true, key: full, statement: true, query: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			coll := testCollection()
			coll.Collated = tt.collated
			k := keyer{sourceSharded: tt.sourceSharded}
			s := statement{kind: deletes, key: raw(t, tt.key), loose: k.loose(&coll, raw(t, tt.key))}
			sent := build(func(dst []byte) []byte { return s.append(dst, &coll) })
			_, err := sent.LookupErr("collation")
			assert.Equal(t, tt.statement, err == nil, "%v", sent)
			q := k.query(&coll, raw(t, tt.key), at(1))
			assert.Equal(t, tt.query, coll.Collated && !q.loose)
		})
	}
}

// An event of a key that another one may be held for equal to is neither skipped
// nor applied where the image of that other key may be newer.
func TestImagesOfKeysThatMayBeEqual(t *testing.T) {
	for name, keys := range map[string][2]any{"numbers": {int32(1), 1.0}, "strings under a collation": {"a", "A"}} {
		t.Run(name, func(t *testing.T) {
			coll := testCollection()
			coll.Collated = true
			old, put := raw(t, bson.D{{"_id", keys[0]}}), raw(t, bson.D{{"_id", keys[1]}})
			a := applier{memory: newRereadMemory(newAccount(rereadBytes))}
			a.images.put(&coll, put, image{includes: at(10), upTo: at(20)})
			planned := func(ev event) (repairs int, commands int) {
				var writes writeSet
				repairs = len(a.plan(newJob(&coll, ev), &writes))
				return repairs, len(writes.commands())
			}
			for _, sec := range []uint32{5, 15, 20} {
				repairs, commands := planned(deleteEvent(t, sec, bson.D{{"_id", keys[0]}}))
				assert.Equal(t, [2]int{1, 0}, [2]int{repairs, commands}, "the delete at %d", sec)
			}
			repairs, commands := planned(deleteEvent(t, 5, bson.D{{"_id", keys[1]}}))
			assert.Equal(t, [2]int{0, 0}, [2]int{repairs, commands}, "the image includes it")

			a.images.put(&coll, old, image{includes: at(12), upTo: at(15)})
			assert.True(t, a.images.related(&coll, put, at(20)), "the first image still counts")
			a.images.forget(&coll, old)
			assert.True(t, a.images.related(&coll, put, at(20)), "what an event put says nothing about the other key")
			repairs, commands = planned(deleteEvent(t, 21, bson.D{{"_id", keys[1]}}))
			assert.Equal(t, [2]int{0, 1}, [2]int{repairs, commands}, "it is later than both")
		})
	}
}

// What stands in the way of a put is looked for as the index compares: by the
// document's own values if the error shows only what stands for them.
func TestWhatAConflictIsLookedForBy(t *testing.T) {
	doc := bson.D{{"_id", "a"}, {"u", bson.A{"x", "y"}}, {"in", bson.A{bson.D{{"v", 1}}, bson.D{{"v", "z"}}}}}
	german := raw(t, bson.D{{"locale", "de"}})
	for _, tt := range []struct {
		name   string
		err    statementError
		filter bson.D
		loose  bool
	}{
		{"no details", statementError{}, bson.D{{"_id", bson.D{{"$eq", "a"}}}}, true},
		{"the _id", statementError{keyPattern: raw(t, bson.D{{"_id", 1}}), keyValue: raw(t, bson.D{{"_id", "*"}}), collation: german}, bson.D{{"_id", bson.D{{"$eq", "a"}}}}, true},
		{"simple", statementError{keyPattern: raw(t, bson.D{{"u", 1}}), keyValue: raw(t, bson.D{{"u", "x"}})}, bson.D{{"u", bson.D{{"$eq", "x"}}}}, false},
		{
			"collated",
			statementError{keyPattern: raw(t, bson.D{{"u", 1}, {"in.v", 1}, {"none", 1}}), keyValue: raw(t, bson.D{{"u", "*"}}), collation: german},
			bson.D{{"u", bson.D{{"$in", bson.A{bson.A{"x", "y"}, "x", "y"}}}}, {"in.v", bson.D{{"$in", bson.A{1, "z"}}}}, {"none", bson.D{{"$in", bson.A{nil}}}}},
			false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			coll := testCollection()
			coll.Collated = true
			q := conflict(failure{coll: &coll, key: raw(t, bson.D{{"_id", "a"}}), err: tt.err}, raw(t, doc))
			assert.Equal(t, raw(t, tt.filter), q.filter)
			assert.Equal(t, tt.loose, q.loose)
			assert.Equal(t, tt.err.collation, q.collation)
		})
	}
}
