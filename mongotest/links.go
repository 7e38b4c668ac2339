package mongotest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/shardferry/shardferry/mongotest/internal/mongod"
)

// Clients is the name of all clients where a disturbance says between whom it is.
const Clients = "clients"

// A linkRule disturbs the requests that some processes send to others, and the
// answers to them.
type linkRule struct {
	from, to []string // addresses, or Clients
	cut      bool
	silent   bool          // requests wait until the cut is over instead of failing
	delay    time.Duration // of each request
	odds     float64       // with which a message is lost
	replies  bool          // the answers are lost, not the requests
}

// A link is what holds at one moment for requests of one process to another.
type link struct {
	cut   bool
	wait  <-chan struct{} // closed when a silent cut may be over, nil if there is none
	delay time.Duration
	lost  bool // the request that is on its way
	reply bool // the answer to it
}

func (r *linkRule) joins(from, to string) bool {
	return slices.Contains(r.from, from) && slices.Contains(r.to, to)
}

// link returns what happens to a request from one process to another.
func (n *network) link(from, to string) link {
	n.mu.Lock()
	defer n.mu.Unlock()
	var l link
	for _, r := range n.rules {
		if !r.joins(from, to) {
			continue
		}
		switch {
		case r.cut && r.silent:
			l.wait = n.relinked
		case r.cut:
			l.cut = true
		}
		l.delay += r.delay
		if r.odds > 0 && rand.Float64() < r.odds {
			l.lost, l.reply = l.lost || !r.replies, l.reply || r.replies
		}
	}
	return l
}

// linked reports whether requests get from one process to another at all.
func (n *network) linked(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !slices.ContainsFunc(n.rules, func(r *linkRule) bool { return r.cut && r.joins(from, to) })
}

// linkDelay returns how long requests from one process to another take.
func (n *network) linkDelay(from, to string) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	var d time.Duration
	for _, r := range n.rules {
		if r.joins(from, to) {
			d += r.delay
		}
	}
	return d
}

// addRule makes a rule hold, until the returned function is called.
func (n *network) addRule(r *linkRule) (remove func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rules = append(n.rules, r)
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.rules = slices.DeleteFunc(n.rules, func(other *linkRule) bool { return other == r })
		close(n.relinked)
		n.relinked = make(chan struct{})
	}
}

// travel lets a request go from one process to another: it returns when it has
// arrived, whether its answer will be lost, or why it does not arrive.
func (n *network) travel(ctx context.Context, from, to string) (loseReply bool, err error) {
	for {
		l := n.link(from, to)
		switch {
		case l.cut, l.lost:
			return false, unreachable(to)
		case l.wait == nil:
			return l.reply, wait(ctx, l.delay)
		}
		select {
		case <-l.wait:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// relink tells the replica sets what their members can reach.
func (c *Cluster) relink() {
	for _, s := range c.sets() {
		s.any().Set().SetLinks(mongod.Links{Up: c.net.linked, Delay: c.net.linkDelay})
	}
}

// disturbLink makes a rule hold in one direction or both.
func (c *Cluster) disturbLink(r linkRule, oneWay bool) (end func(), err error) {
	if slices.Contains(r.to, Clients) {
		return nil, fmt.Errorf("to: %s open connections, nobody opens any to them", Clients)
	}
	ends := []func(){c.net.addRule(&r)}
	if !oneWay && !slices.Contains(r.from, Clients) {
		back := r
		back.from, back.to = r.to, r.from
		ends = append(ends, c.net.addRule(&back))
	}
	c.relink()
	if r.cut && !r.silent && slices.Contains(r.from, Clients) {
		c.net.kill(r.to...)
	}
	return func() {
		for _, f := range ends {
			f()
		}
		c.relink()
	}, nil
}
