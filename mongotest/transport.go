package mongotest

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/mongos"
)

// transportOf carries the commands of the process at an address to shards: to the
// primaries that it can reach, and no earlier ones than it knows of, or to the
// members that a command is for.
func (c *Cluster) transportOf(from func() string) mongos.Transport {
	known := &knownTerms{terms: map[string]int64{}}
	return func(ctx context.Context, shardID string, req *command.Request) (*command.Response, error) {
		s, err := c.set(shardID)
		if err != nil {
			return nil, err
		}
		from := from()
		reachable := func(m *member) bool {
			_, _, cut := c.net.state(m.addr)
			return !cut && c.net.linked(from, m.addr)
		}
		m, err := known.choose(s, req.To, reachable)
		if err != nil {
			return nil, err
		}
		resp, err := c.net.route(ctx, from, m, req)
		if resp != nil {
			resp.Member = m.addr
		}
		return resp, err
	}
}

// knownTerms are the latest terms of shards that a router has heard of.
type knownTerms struct {
	mu    sync.Mutex
	terms map[string]int64
}

// choose returns the member of a set that a command is for.
func (k *knownTerms) choose(s *replicaSet, to command.Target, reachable func(*member) bool) (*member, error) {
	primary := k.primary(s, reachable)
	switch {
	case to.Member != "":
		for _, m := range s.members {
			if m.addr == to.Member {
				return m, nil
			}
		}
		return nil, unreachable(to.Member)
	case to.Prefer != nil:
		if m := s.preferred(to.Prefer, primary, reachable); m != nil {
			return m, nil
		}
		return nil, to.Prefer.Unsatisfied(s.id)
	case primary == nil:
		return nil, mongoerr.New(mongoerr.NotWritablePrimary, "no primary in replica set %s", s.id)
	}
	return primary, nil
}

// primary returns the primary to ask, nil if there is none: of those that can be
// reached the latest, else one that cannot.
func (k *knownTerms) primary(s *replicaSet, reachable func(*member) bool) *member {
	all := s.primaries()
	if len(all) == 0 {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range all {
		if term := m.node.Term(); term >= k.terms[s.id] && reachable(m) {
			k.terms[s.id] = term
			return m
		}
	}
	return all[0]
}

// preferred returns a member that a read preference allows, nil if there is none
// that can be reached.
func (s *replicaSet) preferred(p *command.ReadPreference, primary *member, reachable func(*member) bool) *member {
	if primary != nil && !reachable(primary) {
		primary = nil
	}
	switch p.Mode {
	case command.PrimaryPreferred:
		if primary != nil {
			return primary
		}
		return s.secondary(p, nil, reachable)
	case command.SecondaryPreferred:
		if m := s.secondary(p, primary, reachable); m != nil {
			return m
		}
		return primary
	case command.Nearest:
		return s.fitting(p, s.fresh(p, primary, reachable, true))
	default:
		return s.secondary(p, primary, reachable)
	}
}

func (s *replicaSet) secondary(p *command.ReadPreference, primary *member, reachable func(*member) bool) *member {
	return s.fitting(p, s.fresh(p, primary, reachable, false))
}

// fitting returns one of the members that fit the first tag set that any fits.
// Members have no tags.
func (s *replicaSet) fitting(p *command.ReadPreference, from []*member) *member {
	for set := range max(len(p.Tags), 1) {
		var fit []*member
		for _, m := range from {
			if p.Fits(set, nil) {
				fit = append(fit, m)
			}
		}
		if len(fit) > 0 {
			return fit[rand.IntN(len(fit))]
		}
	}
	return nil
}

// heartbeat is how old a router's knowledge of a member may be.
const heartbeat = 10 * time.Second

// fresh returns the members that can be reached and are not too stale, among
// them the primary if that is wanted. How stale one is the primary says, or the
// newest of the others.
func (s *replicaSet) fresh(p *command.ReadPreference, primary *member, reachable func(*member) bool, withPrimary bool) []*member {
	var newest time.Time
	var out []*member
	for _, m := range s.members {
		if m == primary || primary == nil && reachable(m) && m.node.Wrote().After(newest) {
			newest = m.node.Wrote()
		}
	}
	for _, m := range s.members {
		stale := newest.Sub(m.node.Wrote()) + heartbeat
		switch {
		case m == primary && !withPrimary, m != primary && m.node.IsPrimary(), !reachable(m):
		case p.MaxStaleness > 0 && m != primary && stale > p.MaxStaleness:
		default:
			out = append(out, m)
		}
	}
	return out
}
