package chaos

import (
	"fmt"
	"sync"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// violationsKept bounds what one run reports.
const violationsKept = 20

// violations collects what must not be.
type violations struct {
	trace *trace

	mu   sync.Mutex
	list []string
}

func (v *violations) add(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	v.trace.add("VIOLATION: %s", text)
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.list) < violationsKept {
		v.list = append(v.list, text)
	}
}

func (v *violations) all() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]string(nil), v.list...)
}

// positions watches that no position goes back within a leg, on any node that
// shows the state, and that none is ahead of the cluster it is about.
type positions struct {
	bad *violations

	mu      sync.Mutex
	leg     int
	applied map[shardferry.ShardID]shardferry.ClusterTime
	epochs  map[shardferry.ShardID]uint64
	resume  shardferry.ClusterTime
	copied  map[int64]int64 // tasks that are done, with the documents they had copied
}

func newPositions(bad *violations) *positions {
	return &positions{bad: bad, applied: map[shardferry.ShardID]shardferry.ClusterTime{}, epochs: map[shardferry.ShardID]uint64{}, copied: map[int64]int64{}}
}

// see checks one state against those seen before. now is the time of the
// cluster that the leg reads from, asked after the state was.
func (p *positions) see(s *state.Sync, now shardferry.ClusterTime) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.Leg.Number < p.leg {
		p.bad.add("leg %d follows leg %d", s.Leg.Number, p.leg)
		return
	}
	if s.Leg.Number > p.leg {
		p.leg, p.resume = s.Leg.Number, shardferry.ClusterTime{}
		clear(p.applied)
		clear(p.epochs)
		clear(p.copied)
	}
	for _, sh := range s.Leg.Shards {
		if sh.Applied.Before(p.applied[sh.ID]) {
			p.bad.add("leg %d: the position of %s went back from %v to %v", p.leg, sh.ID, p.applied[sh.ID], sh.Applied)
		}
		if sh.Epoch < p.epochs[sh.ID] {
			p.bad.add("leg %d: the epoch of %s went back from %d to %d", p.leg, sh.ID, p.epochs[sh.ID], sh.Epoch)
		}
		if sh.Applied.After(now) {
			p.bad.add("leg %d: the position of %s is %v, the cluster is only at %v", p.leg, sh.ID, sh.Applied, now)
		}
		p.applied[sh.ID], p.epochs[sh.ID] = sh.Applied, sh.Epoch
	}
	for t := range s.Leg.Tasks.All() {
		had, done := p.copied[t.ID]
		switch {
		case done && (!t.Done || t.Docs != had):
			p.bad.add("leg %d: copy task %v was done with %d documents, and is done again: %d", p.leg, t.ID, had, t.Docs)
		case t.Done:
			p.copied[t.ID] = t.Docs
		}
	}
	if g := s.Leg.ResumePoint(); g.Before(p.resume) {
		p.bad.add("leg %d: the resume point went back from %v to %v", p.leg, p.resume, g)
	} else {
		p.resume = g
	}
}
