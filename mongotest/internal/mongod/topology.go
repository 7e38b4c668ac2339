package mongod

import (
	"encoding/binary"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// topology is what the node believes of its replica set.
type topology struct {
	changes *broadcast

	mu        sync.Mutex
	processID bson.ObjectID // new with every start of the process
	primary   bool
	leader    string // the primary's address, empty while there is none
	term      int64
	counter   int64
}

// topologyState is a topology at one moment.
type topologyState struct {
	processID bson.ObjectID
	primary   bool
	leader    string
	term      int64
	counter   int64
}

// newTopology is that of the leader itself, or of a member that follows it.
func newTopology(leader string, term int64, primary bool) *topology {
	return &topology{processID: bson.NewObjectID(), changes: newBroadcast(), primary: primary, leader: leader, term: term}
}

func (t *topology) state() topologyState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return topologyState{processID: t.processID, primary: t.primary, leader: t.leader, term: t.term, counter: t.counter}
}

func (t *topology) isPrimary() bool { return t.state().primary }

// demote makes the node a secondary. It reports whether it was the primary.
func (t *topology) demote() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.primary
	if was {
		t.primary, t.leader = false, ""
		t.counter++
		t.changes.fire()
	}
	return was
}

// restart makes the process a new one.
func (t *topology) restart() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.processID, t.counter = bson.NewObjectID(), 0
	t.changes.fire()
}

// lead makes the node the primary of a new term.
func (t *topology) lead(self string, term int64) { t.change(true, self, term) }

// follow notes which other member leads, or that none does.
func (t *topology) follow(leader string, term int64) { t.change(false, leader, term) }

func (t *topology) change(primary bool, leader string, term int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.primary, t.leader, t.term = primary, leader, term
	t.counter++
	t.changes.fire()
}

// electionID is the term in the form in which drivers compare primaries.
func (s topologyState) electionID() bson.ObjectID {
	id := bson.ObjectID{0x7f, 0xff, 0xff, 0xff}
	binary.BigEndian.PutUint64(id[4:], uint64(s.term))
	return id
}

func notPrimary() error { return mongoerr.New(mongoerr.NotWritablePrimary, "not primary") }

func notPrimaryNoSecondaryOK() error {
	return mongoerr.New(mongoerr.NotPrimaryNoSecondaryOk, "not primary and secondaryOk=false")
}
