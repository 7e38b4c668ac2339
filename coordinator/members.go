package coordinator

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A Member is one node of the cluster, as this node knows it.
type Member struct {
	ID     string
	Addr   string // of its port for other nodes
	Voter  bool
	Leader bool

	// FailingSince is when it last answered the leader, and zero while it answers.
	// Only the leader knows it; on other nodes it is always zero.
	FailingSince time.Time
}

// Members lists the nodes of the cluster in the order in which they joined. It
// may be called at any time, from any goroutine; before the node has started the
// list is empty. On a follower it may be a little old:
// see ClusterMembers.
func (c *Coordinator) Members() []Member {
	select {
	case <-c.ready:
	default:
		return nil
	}
	future := c.raft.GetConfiguration()
	if future.Error() != nil {
		return nil
	}
	_, leader := c.raft.LeaderWithID()
	failing := map[raft.ServerID]time.Time{}
	if c.raft.State() == raft.Leader {
		failing = c.lookout.failing()
	}
	servers := future.Configuration().Servers
	all := make([]Member, 0, len(servers))
	for _, s := range servers {
		all = append(all, Member{
			ID: string(s.ID), Addr: string(s.Address), Voter: s.Suffrage == raft.Voter,
			Leader: s.ID == leader, FailingSince: failing[s.ID],
		})
	}
	return all
}

// A lookout knows what raft tells of other nodes: who leads, and who does not
// answer the leader.
type lookout struct {
	mu      sync.Mutex
	silent  map[raft.ServerID]silence
	leader  raft.ServerID // empty if there is none
	missed  raft.ServerID // the last leader that fell silent, until it is heard of again
	since   time.Time     // when missed was
	changed chan struct{} // closed when another node leads, or none
	tells   chan raft.Observation
	by      *raft.Observer
}

// A silence is since when a node has not answered, and when that was last seen.
type silence struct{ since, seen time.Time }

// staleSilence is after how long without another failed heartbeat a silence
// counts as over. Raft tries at least every other second. What it tells late of
// an earlier leadership would otherwise never be taken back.
const staleSilence = 5 * time.Second

func newLookout() *lookout {
	l := &lookout{silent: map[raft.ServerID]silence{}, changed: make(chan struct{}), tells: make(chan raft.Observation, 16)}
	// Blocking: an answer that got lost would leave a node failing for ever.
	l.by = raft.NewObserver(l.tells, true, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.FailedHeartbeatObservation, raft.ResumedHeartbeatObservation, raft.PeerObservation:
			return true
		}
		return false
	})
	return l
}

// run takes what raft tells until ctx ends. Raft must not tell anything any more
// by then.
func (l *lookout) run(ctx context.Context) {
	for {
		select {
		case o := <-l.tells:
			l.note(o.Data)
		case <-ctx.Done():
			return
		}
	}
}

func (l *lookout) note(told any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch o := told.(type) {
	case raft.LeaderObservation:
		// What an earlier leadership knew is old, but for one thing: who has taken
		// over from a leader has not heard of that one for longer than it leads.
		if o.LeaderID == "" && l.leader != "" {
			l.missed, l.since = l.leader, time.Now()
		}
		l.leader = o.LeaderID
		clear(l.silent)
		close(l.changed)
		l.changed = make(chan struct{})
	case raft.FailedHeartbeatObservation:
		now := time.Now()
		known, ok := l.silent[o.PeerID]
		if !ok {
			known.since = o.LastContact
		}
		if known.since.IsZero() {
			known.since = now
		}
		if o.PeerID == l.missed && now.Sub(l.since) < staleSilence && l.since.Before(known.since) {
			known.since = l.since
		}
		known.seen = now
		l.silent[o.PeerID] = known
	case raft.ResumedHeartbeatObservation:
		l.heard(o.PeerID)
	case raft.PeerObservation:
		l.heard(o.Peer.ID)
	}
}

// heard forgets that a node was silent. The caller holds mu.
func (l *lookout) heard(id raft.ServerID) {
	delete(l.silent, id)
	if l.missed == id {
		l.missed = ""
	}
}

func (l *lookout) failing() map[raft.ServerID]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	failing := map[raft.ServerID]time.Time{}
	for id, s := range l.silent {
		if time.Since(s.seen) < staleSilence {
			failing[id] = s.since
		}
	}
	return failing
}

// leaderChanged returns a channel that is closed when another node leads, or none.
func (l *lookout) leaderChanged() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// Leading reports whether this node leads, by its own word, and who does
// otherwise. Without a leader the member is zero.
func (c *Coordinator) Leading() (bool, Member) {
	for _, m := range c.Members() {
		if m.Leader {
			return m.ID == c.cfg.ID, m
		}
	}
	return false, Member{}
}

// AwaitMember waits until this node belongs to a cluster: because it began one,
// was taken into one, or did either in an earlier life.
func (c *Coordinator) AwaitMember(ctx context.Context) error {
	if err := c.started(ctx); err != nil {
		return err
	}
	return c.belong(ctx)
}
