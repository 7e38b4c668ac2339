package mongod

import (
	"encoding/binary"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// topology is what the node believes of its replica set.
type topology struct {
	processID bson.ObjectID // new with every start of the process
	changes   *broadcast

	mu      sync.Mutex
	primary bool
	term    int64
	counter int64
}

// topologyState is a topology at one moment.
type topologyState struct {
	processID bson.ObjectID
	primary   bool
	term      int64
	counter   int64
}

func newTopology(term int64) *topology {
	return &topology{processID: bson.NewObjectID(), changes: newBroadcast(), primary: true, term: max(term, 1)}
}

func (t *topology) state() topologyState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return topologyState{processID: t.processID, primary: t.primary, term: t.term, counter: t.counter}
}

func (t *topology) isPrimary() bool { return t.state().primary }

// demote makes the node a secondary. It reports whether it was the primary.
func (t *topology) demote() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.primary
	if was {
		t.primary = false
		t.counter++
		t.changes.fire()
	}
	return was
}

// promote makes the node the primary of a new term, which it returns.
func (t *topology) promote() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.primary = true
	t.term++
	t.counter++
	t.changes.fire()
	return t.term
}

// electionID is the term in the form in which drivers compare primaries.
func (s topologyState) electionID() bson.ObjectID {
	id := bson.ObjectID{0x7f, 0xff, 0xff, 0xff}
	binary.BigEndian.PutUint64(id[4:], uint64(s.term))
	return id
}

func notPrimary() error { return mongoerr.New(mongoerr.NotWritablePrimary, "not primary") }
