package mongos

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// A move is one range on its way from a shard to another.
type move struct {
	ns       string
	part     chunk // the range; its shard is the donor
	to       string
	aborted  bool // guarded by moves.mu: the collection's shape changed meanwhile
	critical bool // guarded by moves.mu: the owner changes just now
}

// moves knows what is on its way between the shards of the cluster.
type moves struct {
	reshapings *reshapings

	mu     sync.Mutex
	active []*move
	frozen map[string]bool // databases and namespaces that change their place as a whole
}

func newMoves() *moves { return &moves{reshapings: newReshapings(), frozen: map[string]bool{}} }

// begin registers a move. A shard takes part in one at a time, and so does a
// collection.
func (ms *moves) begin(m *move) error {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for _, a := range ms.active {
		switch {
		case a.part.shard == m.part.shard || a.ns == m.ns:
			return ms.busy("donating range '[%s, %s)' for namespace %s to %s", a, a.to)
		case a.to == m.to || a.to == m.part.shard || a.part.shard == m.to:
			return ms.busy("receiving range '[%s, %s)' for namespace %s from %s", a, a.part.shard)
		}
	}
	ms.active = append(ms.active, m)
	return nil
}

func (ms *moves) busy(what string, a *move, other string) error {
	return mongoerr.New(mongoerr.ConflictingOperationInProgress,
		"Unable to start new balancer operation because this shard is currently "+what, a.part.min, a.part.max, a.ns, other)
}

func (ms *moves) end(m *move) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.active = slices.DeleteFunc(ms.active, func(a *move) bool { return a == m })
}

// interrupt makes the moves of a collection fail: what they have brought to the
// recipient lacks a change of its indexes or options.
func (ms *moves) interrupt(ns string) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for _, a := range ms.active {
		if a.ns == ns {
			a.aborted = true
		}
	}
}

// enter begins the critical section of m and reports whether m may still end
// well.
func (ms *moves) enter(m *move) bool {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	m.critical = true
	return !m.aborted
}

// freeze makes a database or a namespace nobody's until the returned function
// is called.
func (ms *moves) freeze(name string) (thaw func()) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.frozen[name] = true
	return func() {
		ms.mu.Lock()
		defer ms.mu.Unlock()
		delete(ms.frozen, name)
	}
}

// still reports whether the owner of a document of ns is certain: the whole is
// not frozen, and the position, nil without a shard key, not in a critical
// section.
func (ms *moves) still(ns string, pos []byte) bool {
	db, _, _ := strings.Cut(ns, ".")
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.frozen[db] || ms.frozen[ns] {
		return false
	}
	return !slices.ContainsFunc(ms.active, func(a *move) bool {
		return a.critical && a.ns == ns && bytes.Compare(a.part.lo, pos) <= 0 && bytes.Compare(pos, a.part.hi) < 0
	})
}

// reshardingPrefix starts the name of the collection that a resharding fills.
const reshardingPrefix = "system.resharding."
