package mongod

import (
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// A ReplicaSet is what its members share. As long as they are of one line, a
// member that does not keep up has a snapshot of the moment at which it stopped,
// which is what it answers from.
type ReplicaSet struct {
	cfg      Config // of the first member
	id       bson.ObjectID
	accounts *Accounts
	wide     *setWide
	progress *broadcast           // fires when a member or a commit point may have moved
	newest   atomic.Pointer[line] // of the latest term
	shard    atomic.Pointer[ShardIdentity]

	mu      sync.Mutex
	members []*Node
	term    int64
	lineIDs int64 // the last one given out
	links   Links
	frozen  bool       // the majority commit points stand still
	changed *broadcast // fires when a member may have to do something at another time
}

// Links say how the members of a set can talk to each other.
type Links struct {
	// Up reports whether requests of one member reach another, and the answers
	// come back; nil is always.
	Up func(from, to string) bool
	// Delay is how long what one member fetches from another takes; nil is not
	// at all.
	Delay func(from, to string) time.Duration
}

// A standing is what a replica set knows of one of its members; its lock guards
// it.
type standing struct {
	lagging bool          // it was told not to apply any more
	late    time.Duration // how far behind it is to stay
	trail   []trailed     // what it will have applied, oldest first, while it is to stay behind
	down    bool          // it does not run, or nobody can reach it
	paused  bool          // it runs no more until it is continued
	ending  bool          // its operations are ending: it may still write

	lost    time.Time // since when it knows of no primary, zero if it does
	alone   time.Time // since when it is a primary without a majority, zero if it is not
	deposed time.Time // since when it could have heard of a later primary, zero if it could not
	barred  time.Time // until when it seeks no election
}

func newReplicaSet(c Config) *ReplicaSet {
	s := &ReplicaSet{cfg: c, id: bson.NewObjectID(), term: max(c.Log.Term(), 1), wide: &setWide{}, progress: newBroadcast(), changed: newBroadcast()}
	s.accounts = &Accounts{set: s}
	s.newest.Store(newLine(c.Engine, c.Log))
	return s
}

// line returns the history of the latest term: that of the primary, or of what
// was one last.
func (s *ReplicaSet) line() *line { return s.newest.Load() }

// Log returns the oplog of the latest term.
func (s *ReplicaSet) Log() *oplog.Log { return s.line().log }

// Engine returns the storage of the latest term.
func (s *ReplicaSet) Engine() *storage.Engine { return s.line().engine }

// Accounts returns the users and roles of the set.
func (s *ReplicaSet) Accounts() *Accounts { return s.accounts }

// hosts returns the members' addresses. They are fixed before anybody runs, so
// that it needs no lock: it is called with others held.
func (s *ReplicaSet) hosts() []string {
	out := make([]string, len(s.members))
	for i, m := range s.members {
		out[i] = m.cfg.Name
	}
	return out
}

func (s *ReplicaSet) size() int { return len(s.members) }

// majority is how many members must have a write before it cannot be lost.
func (s *ReplicaSet) majority() int { return len(s.members)/2 + 1 }

// Primary returns the member that takes writes, that of the latest term if there
// are two, nil while there is none.
func (s *ReplicaSet) Primary() *Node {
	primaries := s.Primaries()
	if len(primaries) == 0 {
		return nil
	}
	return primaries[0]
}

// primaryFor returns the primary that m can reach, nil if there is none.
func (s *ReplicaSet) primaryFor(m *Node) *Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.primaries() {
		if s.up(m, p) {
			return p
		}
	}
	return nil
}

// Primaries returns all members that take themselves for the primary, those of
// later terms first.
func (s *ReplicaSet) Primaries() []*Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.primaries()
}

func (s *ReplicaSet) primaries() []*Node {
	var out []*Node
	for _, m := range s.members {
		if !m.topo.isPrimary() {
			continue
		}
		i := len(out)
		for i > 0 && out[i-1].topo.state().term < m.topo.state().term {
			i--
		}
		out = append(out[:i], append([]*Node{m}, out[i:]...)...)
	}
	return out
}

// Term returns the term in which the node is, or was last.
func (n *Node) Term() int64 { return n.topo.state().term }

// IsPrimary reports whether the node takes itself for the primary.
func (n *Node) IsPrimary() bool { return n.topo.isPrimary() }

// up reports whether requests of a reach b. The caller holds mu.
func (s *ReplicaSet) up(a, b *Node) bool {
	if !a.runs() || !b.runs() {
		return false
	}
	return a == b || s.links.Up == nil || s.links.Up(a.cfg.Name, b.cfg.Name)
}

func (n *Node) runs() bool { return !n.standing.down && !n.standing.paused }

// follows reports whether m can fetch what p has, from p or from a member that
// can. The caller holds mu.
func (s *ReplicaSet) follows(m, p *Node) bool {
	seen := map[*Node]bool{m: true}
	for todo := []*Node{m}; len(todo) > 0; todo = todo[1:] {
		if todo[0] == p {
			return true
		}
		for _, next := range s.members {
			if !seen[next] && s.up(todo[0], next) {
				seen[next] = true
				todo = append(todo, next)
			}
		}
	}
	return false
}

// sees reports whether p hears of m: it reaches it, or fetches of m reach it.
func (s *ReplicaSet) sees(p, m *Node) bool { return s.up(p, m) || s.follows(m, p) }
