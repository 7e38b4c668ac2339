package coordinator

import (
	"context"
	"slices"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// A Host is a node that workers can run on, as the leader sees it.
type Host struct {
	ID   string
	Lost bool // it has not answered for a while
}

// Assignments is the Reconciler that gives shards to nodes: those of a node that
// is lost, drained or gone to others, and the rest only when some node has much
// more to do than another. Use a pointer to it.
type Assignments struct {
	Hosts func() []Host

	uneven time.Time // since when the hosts have unequal numbers of shards; zero: they have not
}

const (
	// assignIdle is how often it is looked whether a node is lost.
	assignIdle = 200 * time.Millisecond
	// unevenFor is how long the numbers of shards must be unequal before one is moved.
	// A node that was started anew is given what others had to take over.
	unevenFor = 20 * time.Second
)

// Name implements Reconciler.
func (*Assignments) Name() string { return "assign" }

// Idle implements Idler.
func (*Assignments) Idle() time.Duration { return assignIdle }

// Reconcile implements Reconciler.
func (r *Assignments) Reconcile(_ context.Context, s *state.Sync) ([]state.Command, error) {
	if !s.Active() {
		return nil, nil
	}
	l := newLoads(r.Hosts(), s)
	var out []state.Command
	for _, sh := range s.Leg.Shards {
		if to := l.instead(sh); to != sh.Owner {
			out = append(out, state.Assign{Leg: s.Leg.Number, Shard: sh.ID, Owner: to})
		}
	}
	if from, to := l.spread(); len(out) == 0 && from != "" && s.State != shardferry.StateCommitting {
		if r.uneven.IsZero() {
			r.uneven = time.Now()
		}
		if time.Since(r.uneven) >= unevenFor {
			r.uneven = time.Time{}
			i := slices.IndexFunc(s.Leg.Shards, func(sh state.Shard) bool { return sh.Owner == from })
			out = append(out, state.Assign{Leg: s.Leg.Number, Shard: s.Leg.Shards[i].ID, Owner: to})
		}
	} else {
		r.uneven = time.Time{}
	}
	return out, nil
}

// loads are the numbers of shards of the nodes that may get more.
type loads struct {
	hosts []string // in the order in which equal ones are chosen
	count map[string]int
}

func newLoads(hosts []Host, s *state.Sync) *loads {
	l := &loads{count: map[string]int{}}
	for _, h := range hosts {
		if !h.Lost && !slices.Contains(s.Draining, h.ID) {
			l.hosts = append(l.hosts, h.ID)
		}
	}
	slices.Sort(l.hosts)
	for _, sh := range s.Leg.Shards {
		l.count[sh.Owner]++
	}
	return l
}

// instead returns who should have a shard, which is its owner if that is well or
// nobody else is.
func (l *loads) instead(sh state.Shard) string {
	if slices.Contains(l.hosts, sh.Owner) || len(l.hosts) == 0 {
		return sh.Owner
	}
	least := slices.MinFunc(l.hosts, func(a, b string) int { return l.count[a] - l.count[b] })
	l.count[sh.Owner]--
	l.count[least]++
	return least
}

// spread returns a node that should give a shard to another one, nothing if they
// have equal numbers, or as good as that.
func (l *loads) spread() (from, to string) {
	if len(l.hosts) == 0 {
		return "", ""
	}
	by := func(a, b string) int { return l.count[a] - l.count[b] }
	from, to = slices.MaxFunc(l.hosts, by), slices.MinFunc(l.hosts, by)
	if l.count[from]-l.count[to] < 2 {
		return "", ""
	}
	return from, to
}
