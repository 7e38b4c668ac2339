package coordinator_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// A nemesis brings faults, one after another.
type nemesis struct {
	*piece
	rnd *rand.Rand
}

// faults are what may happen to a node. Each lasts for a while, and is over when
// its function returns.
var faults = []struct {
	name string
	do   func(n *nemesis, s *seat, lasts time.Duration)
}{
	{"killed", func(_ *nemesis, s *seat, lasts time.Duration) {
		s.die()
		time.Sleep(lasts)
		s.revive()
	}},
	{"paused", func(_ *nemesis, s *seat, lasts time.Duration) {
		goOn := s.pause()
		defer goOn()
		s.isolate()
		time.Sleep(lasts)
		s.heal()
	}},
	{"cut off", func(_ *nemesis, s *seat, lasts time.Duration) {
		s.isolate()
		time.Sleep(lasts)
		s.heal()
	}},
	{"not heard", func(_ *nemesis, s *seat, lasts time.Duration) {
		s.silence()
		time.Sleep(lasts)
		s.heal()
	}},
	{"deaf", func(_ *nemesis, s *seat, lasts time.Duration) {
		s.deafen()
		time.Sleep(lasts)
		s.heal()
	}},
	{"slow", func(n *nemesis, s *seat, lasts time.Duration) {
		for _, o := range n.seats {
			s.net.Delay(s.host, o.host, n.upTo(300*time.Millisecond))
			s.net.Delay(o.host, s.host, n.upTo(300*time.Millisecond))
		}
		time.Sleep(lasts)
		for _, o := range n.seats {
			s.net.Delay(s.host, o.host, 0)
			s.net.Delay(o.host, s.host, 0)
		}
	}},
	{"loses its connections", func(n *nemesis, s *seat, lasts time.Duration) {
		for range 1 + n.rnd.IntN(5) {
			s.net.Kill(s.host)
			time.Sleep(lasts / 5)
		}
	}},
	{"is alone, as are the others", func(n *nemesis, _ *seat, lasts time.Duration) {
		for _, s := range n.seats {
			s.isolate()
		}
		time.Sleep(3 * lasts) // longer than what is asked waits for a leader
		for _, s := range n.seats {
			s.heal()
		}
	}},
	{"hands over", func(n *nemesis, s *seat, lasts time.Duration) { n.handOver(s, lasts, func() {}) }},
	{"hands over, and is deaf", func(n *nemesis, s *seat, lasts time.Duration) { n.handOver(s, lasts, s.deafen) }},
	{"hands over, and hears late", func(n *nemesis, s *seat, lasts time.Duration) {
		late := n.upTo(400 * time.Millisecond)
		for _, o := range n.seats {
			s.net.Delay(o.host, s.host, late)
		}
		time.Sleep(late) // by then answers are under way
		n.handOver(s, lasts, func() {})
		for _, o := range n.seats {
			s.net.Delay(o.host, s.host, 0)
		}
	}},
	{"compacts its log", func(_ *nemesis, s *seat, _ time.Duration) { _ = s.c.Compact() }},
	{"is sent a snapshot", func(n *nemesis, s *seat, lasts time.Duration) {
		s.isolate()
		time.Sleep(lasts)
		for _, o := range n.seats {
			_ = o.c.Compact() // without a majority it may be refused
		}
		s.heal()
	}},
}

func (n *nemesis) upTo(d time.Duration) time.Duration { return time.Duration(n.rnd.Int64N(int64(d))) }

// run brings a few faults, most of them to the node that leads.
func (n *nemesis) run() {
	for range 2 + n.rnd.IntN(3) {
		time.Sleep(n.upTo(500 * time.Millisecond))
		s := n.seats[n.rnd.IntN(len(n.seats))]
		if n.rnd.IntN(4) > 0 {
			s = n.leader(s)
		}
		f := faults[n.rnd.IntN(len(faults))]
		lasts := n.upTo([]time.Duration{50 * time.Millisecond, time.Second, 3 * time.Second}[n.rnd.IntN(3)])
		n.did = append(n.did, fmt.Sprintf("%s %s for %v", s.host, f.name, lasts))
		f.do(n, s, lasts)
	}
}

// leader returns who takes itself for the leader.
func (n *nemesis) leader(otherwise *seat) *seat {
	for _, s := range n.seats {
		if s.c.LeadsIn() > 0 {
			return s
		}
	}
	return otherwise
}

// handOver has another node lead. The old leader may be kept from hearing of it: as
// soon as there is a new one, both are asked whether they lead.
func (n *nemesis) handOver(s *seat, lasts time.Duration, keep func()) {
	var asked sync.WaitGroup
	asked.Go(func() {
		ctx, cancel := context.WithTimeout(n.t.Context(), lasts+time.Second)
		defer cancel()
		_ = s.c.TransferLeadership(ctx, "")
	})
	asked.Go(func() { n.whoLeads(s, time.Now().Add(lasts+time.Second)) })
	time.Sleep(time.Millisecond + n.upTo(5*time.Millisecond))
	keep()
	time.Sleep(lasts)
	s.heal()
	asked.Wait()
}

func (n *nemesis) whoLeads(old *seat, until time.Time) {
	c := &client{piece: n.piece, number: 4}
	for time.Now().Before(until) {
		for _, o := range n.seats {
			if o != old && o.c.LeadsIn() > 0 {
				c.leads(o)
				c.leads(old)
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
}
