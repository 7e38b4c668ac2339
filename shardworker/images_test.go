package shardworker

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// A batch is applied in rounds, so a lane meets an event that is later than
// every image before earlier events of other keys, whose images still count.
func TestImagesOutliveALaterEventOfAnotherKey(t *testing.T) {
	coll := testCollection()
	one, two := raw(t, bson.D{{"_id", 1}}), raw(t, bson.D{{"_id", 2}})
	var m images
	m.put(&coll, one, image{includes: at(45), upTo: at(90)})
	assert.True(t, m.contain(&coll, one, at(40)), "first round")
	assert.False(t, m.maybeNewer(&coll, two, at(100)), "first round, another key")
	assert.True(t, m.maybeNewer(&coll, one, at(50)), "second round")
	assert.False(t, m.maybeNewer(&coll, one, at(91)))
}

// Large keys make a lane forget early, and whoever is forgotten may be newer.
func TestImagesAreBoundedByTheirKeys(t *testing.T) {
	coll := testCollection()
	var m images
	key := func(i int) bson.Raw { return raw(t, bson.D{{"_id", i}, {"x", make([]byte, maxImageBytes/3)}}) }
	for i := range 3 {
		m.put(&coll, key(i), image{includes: at(10), upTo: at(20)})
	}
	assert.Len(t, m.byKey, 1)
	assert.True(t, m.maybeNewer(&coll, key(0), at(15)))
	assert.True(t, m.contain(&coll, key(2), at(10)))
	assert.False(t, m.contain(&coll, key(0), at(10)))
}
