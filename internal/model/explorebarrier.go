package model

// maxUUIDs bounds the collections of a history.
const maxUUIDs = 3

// ordering is everything that moves.
type ordering struct {
	shards [2]shardOrder

	barrier int8 // its time, 0 if none stands
	number  int8 // of barriers so far
	known   [maxUUIDs + 1]int8
	made    bool // the change of the barrier is made, and not recorded

	dst     contents
	crashes int8
}

type shardOrder struct {
	passed   int8 // events that are applied or passed over
	saved    int8 // those that are not read again after a crash
	resolved int8 // time of the last schema change that is recorded as made
	flying   int8 // the name that a write under way goes to, none if there is none
	reported int8 // time of the schema change that waits, which survives the worker; 0 if none does
	ready    int8 // the barrier at which it has said that it stands still
}

// ExploreOrder visits every state that a history can lead to under the rules,
// with at most the given number of crashes of one worker. It reports whether in
// one of those from which nothing more happens the destination differs. Once says
// that schema changes are only in the first shard's stream.
func ExploreOrder(history []Step, once bool, rules Orders, crashes int) (r Result, possible bool) {
	streams, want, ok := play(history, once)
	if !ok {
		return r, false
	}
	x := orderings{streams: streams, rules: rules}
	x.visit(ordering{crashes: int8(crashes)})
	for s, ok := x.next(); ok && !r.Bad; s, ok = x.next() {
		steps := x.steps
		for i := range s.shards {
			x.stream(s, i)
			x.stand(s, i)
		}
		x.lead(s)
		stuck := x.steps == steps
		for i := range s.shards {
			x.crash(s, i)
		}
		if stuck {
			r.Finals++
			r.Bad = s.dst != want || !x.through(s)
		}
	}
	r.States = len(x.seen)
	return r, true
}

type orderings struct {
	search[ordering]

	streams [2][]happening
	rules   Orders
}

func (x *orderings) through(s ordering) bool {
	for i, sh := range s.shards {
		if int(sh.passed) < len(x.streams[i]) || sh.flying != unknown {
			return false
		}
	}
	return true
}

// ahead returns the event that a worker stands before.
func (x *orderings) ahead(s ordering, i int) (h happening, ok bool) {
	if at := int(s.shards[i].passed); at < len(x.streams[i]) {
		return x.streams[i][at], true
	}
	return h, false
}

// stream lets a worker apply its next event, or land what it has sent.
func (x *orderings) stream(s ordering, i int) {
	sh := &s.shards[i]
	if sh.flying != unknown {
		name := sh.flying
		s.dst.exists[name] = true // a write makes the collection that it names
		s.dst.marks[name] |= x.streams[i][sh.passed-1].mark
		sh.flying = unknown
		x.visit(s)
		return
	}
	if sh.saved < sh.passed {
		next := s
		next.shards[i].saved = sh.passed
		x.visit(next)
	}
	h, ok := x.ahead(s, i)
	switch {
	case !ok, x.rules[Hold] && s.barrier != 0 && h.time > s.barrier:
		return
	case h.change() && h.time <= sh.resolved:
		sh.passed++
	case h.change() && sh.reported != 0:
		return
	case h.change():
		sh.reported = h.time
	default:
		switch name := s.known[h.uuid]; name {
		case unknown:
			if x.rules[Await] {
				return
			}
			sh.passed++ // taken for one of a collection that is gone
		case dropped:
			sh.passed++
		default:
			sh.passed++
			sh.flying = name
		}
	}
	x.visit(s)
}

// stand lets a worker say that it stands still.
func (x *orderings) stand(s ordering, i int) {
	sh := &s.shards[i]
	if s.barrier == 0 || sh.ready == s.number {
		return
	}
	if h, ok := x.ahead(s, i); x.rules[Drain] && (sh.flying != unknown || ok && h.time < s.barrier) || x.rules[Save] && sh.saved < sh.passed {
		return
	}
	sh.ready = s.number
	x.visit(s)
}

// lead lets the leader raise a barrier, make the change, or record it.
func (x *orderings) lead(s ordering) {
	first, change, ok := x.first(s)
	if !ok {
		return
	}
	if s.barrier == 0 || x.rules[Earliest] && change.time < s.barrier {
		s.barrier, s.made = change.time, false
		s.number++
		x.visit(s)
		return
	}
	for _, sh := range s.shards {
		if sh.ready != s.number && (x.rules[Numbered] || sh.ready == 0) {
			return
		}
	}
	if s.made {
		x.record(s, first, change)
	}
	x.make(&s, change)
	s.made = true
	x.visit(s)
}

// first returns the change to make next and the shard that has reported it: the
// earliest, or, if a barrier does not move, the one that it stands at.
func (x *orderings) first(s ordering) (shard int, change happening, ok bool) {
	for i, sh := range s.shards {
		for _, h := range x.streams[i] {
			switch {
			case !h.change() || h.time != sh.reported:
			case !x.rules[Earliest] && s.barrier != 0 && h.time != s.barrier:
			case !ok || h.time < change.time:
				shard, change, ok = i, h, true
			}
		}
	}
	return shard, change, ok
}

// make makes a change on the destination. It may be made again, because whoever
// made it may have died before it was recorded.
func (x *orderings) make(s *ordering, h happening) {
	done := s.known[h.uuid]
	switch h.step {
	case 'C':
		if x.rules[Recognize] && (done != unknown || s.made) {
			return
		}
		s.dst.exists[nameC], s.dst.marks[nameC] = true, 0
	case 'D':
		if x.rules[Recognize] && done == dropped {
			return
		}
		s.dst.exists[nameC], s.dst.marks[nameC] = false, 0
	case 'R':
		if x.rules[Recognize] && (done == nameD || done == dropped || s.made) || !s.dst.exists[nameC] {
			return
		}
		s.dst.exists[nameD], s.dst.marks[nameD] = true, s.dst.marks[nameC]
		s.dst.exists[nameC], s.dst.marks[nameC] = false, 0
	}
}

// record notes a change as made. The barrier falls.
func (x *orderings) record(s ordering, i int, h happening) {
	switch done := s.known[h.uuid]; {
	case h.step == 'C' && done == unknown:
		s.known[h.uuid] = nameC
	case h.step == 'D':
		s.known[h.uuid] = dropped
	case h.step == 'R' && done == nameC:
		s.known[h.uuid] = nameD
		if h.over != 0 {
			s.known[h.over] = dropped
		}
	}
	sh := &s.shards[i]
	sh.resolved, sh.reported = h.time, 0
	s.barrier, s.made = 0, false
	x.visit(s)
}

// crash kills a worker. What it had under way lands, or does not; what its
// successor does comes after.
func (x *orderings) crash(s ordering, i int) {
	if s.crashes == 0 {
		return
	}
	s.crashes--
	sh := &s.shards[i]
	next := s
	next.shards[i] = shardOrder{passed: sh.saved, saved: sh.saved, resolved: sh.resolved, reported: sh.reported}
	x.visit(next)
}
