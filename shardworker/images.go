package shardworker

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/keyhash"
)

// maxImages and maxImageBytes bound the memory of one lane; what is forgotten
// costs repairs, never correctness.
const (
	maxImages     = 1 << 14
	maxImageBytes = 2 << 20 // of keys
)

// images remembers what a lane's repairs have put. The document of a key is then
// newer than the events that are still to come: those it includes are skipped,
// and deltas it may include are repaired again, because a delta applied to a
// newer document can change the order of its fields.
//
// Keys that could be taken for each other share one place: 1 and 1.0, or under a
// collation "a" and "A". A document may be deleted under the one and inserted
// under the other, and then the image of one says nothing about events of the
// other but that they may be older: see related.
type images struct {
	byKey map[imageKey]image
	bytes int // of all keys put into byKey
	// newest is not before any image; forgotten not before any that was let go.
	newest    shardferry.ClusterTime
	forgotten shardferry.ClusterTime
}

type imageKey struct {
	uuid shardferry.UUID
	hash uint64
}

func placeOf(coll *shardferry.Collection, key bson.Raw) imageKey {
	if coll.Collated && onlyID(key) {
		return imageKey{coll.UUID, keyhash.Collated(idOf(key))}
	}
	return imageKey{coll.UUID, keyhash.Key(key)}
}

type image struct {
	key      string                 // of the document that was put last
	shared   bool                   // upTo is of others of its place too
	includes shardferry.ClusterTime // every event at or before it
	upTo     shardferry.ClusterTime // no event after it
}

// put notes that the document of key was read between two cluster times.
func (m *images) put(coll *shardferry.Collection, key bson.Raw, im image) {
	if m.byKey == nil || len(m.byKey) >= maxImages || m.bytes+len(key) > maxImageBytes {
		m.byKey, m.bytes = map[imageKey]image{}, 0
		m.forgotten = m.newest
	}
	m.bytes += len(key)
	place := placeOf(coll, key)
	im.key = string(key)
	if other, ok := m.byKey[place]; ok && (other.shared || other.key != im.key) {
		im.shared, im.upTo = true, shardferry.LaterOf(im.upTo, other.upTo)
	}
	m.byKey[place] = im
	m.newest = shardferry.LaterOf(m.newest, im.upTo)
}

// forget notes that the document of key is exactly what an event made it.
func (m *images) forget(coll *shardferry.Collection, key bson.Raw) {
	if len(m.byKey) == 0 {
		return
	}
	place := placeOf(coll, key)
	if im := m.byKey[place]; im.key == string(key) && !im.shared {
		delete(m.byKey, place)
	}
}

// contain reports whether the document of key includes the event at t.
func (m *images) contain(coll *shardferry.Collection, key bson.Raw, t shardferry.ClusterTime) bool {
	if t.After(m.newest) {
		return false
	}
	im, ok := m.byKey[placeOf(coll, key)]
	return ok && im.key == string(key) && !t.After(im.includes)
}

// related reports whether the image of another key, which could be taken for
// key, may include the event at t. The document that it put may be the one that
// the event is about to delete or replace.
func (m *images) related(coll *shardferry.Collection, key bson.Raw, t shardferry.ClusterTime) bool {
	if t.After(m.newest) {
		return false
	}
	im, ok := m.byKey[placeOf(coll, key)]
	return ok && im.key != string(key) && !t.After(im.upTo)
}

// maybeNewer reports whether the document of key may include the event at t.
func (m *images) maybeNewer(coll *shardferry.Collection, key bson.Raw, t shardferry.ClusterTime) bool {
	if t.After(m.newest) {
		// The lane has passed every image, but earlier events of other keys may
		// still be in later rounds of the same batch.
		m.byKey, m.forgotten = nil, m.newest
		return false
	}
	im, ok := m.byKey[placeOf(coll, key)]
	return !t.After(m.forgotten) || (ok && !t.After(im.upTo))
}
