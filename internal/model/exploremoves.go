package model

// ExploreMoves visits every state that one history with moves can lead to under
// the rules, with at most the given number of crashes, until a final one is wrong.
func ExploreMoves(init Doc, history []Event, rules MoveRules, crashes int) Result {
	x := moveExplorer{rules: rules, history: history, source: []Doc{init}, moves: []int8{0}}
	for i, e := range history {
		d, m := x.source[i], x.moves[i]
		if e == Move {
			m++
		} else {
			d = e.apply(d)
		}
		x.source, x.moves = append(x.source, d), append(x.moves, m)
	}
	x.visit(moveState{crashes: int8(crashes)})
	for s, ok := x.next(); ok && !x.result.Bad; s, ok = x.next() {
		x.check(s)
		x.stepSource(s)
		x.stepPlacement(s)
		for i := range s.w {
			x.stepEvents(s, i)
			x.stepRepair(s, i)
			x.stepSave(s, i)
		}
		x.stepCopy(s)
		x.stepCrash(s)
	}
	x.result.States = len(x.seen)
	return x.result
}

type moveExplorer struct {
	search[moveState]

	rules   MoveRules
	history []Event
	source  []Doc  // the document after each step
	moves   []int8 // moves up to each step
	result  Result
}

// owner returns the shard that has the document after a step.
func (x *moveExplorer) owner(step int8) int8 { return x.moves[step] % 2 }

func (x *moveExplorer) check(s moveState) {
	n := int8(len(x.history))
	if s.now < n || !s.done || s.until != 0 || !s.still(n) || (x.rules[AwaitPlacement] && s.known < n) {
		return
	}
	x.result.Finals++
	if want := x.source[n]; s.dst != want {
		x.result.Bad, x.result.Got, x.result.Want = true, s.dst, want
	}
}

func (x *moveExplorer) stepSource(s moveState) {
	if int(s.now) < len(x.history) {
		s.now++
		x.visit(s)
	}
}

// stepPlacement reads the placement, and goes through a stretch in which it has
// changed.
func (x *moveExplorer) stepPlacement(s moveState) {
	switch {
	case s.until != 0 && !s.begun:
		if !x.rules[EarlierApplied] || s.still(s.known) {
			x.keep(&s, s.known)
			s.begun = true
			x.visit(s)
		}
	case s.until != 0:
		if !x.rules[LaterWaits] || s.still(s.until) {
			x.keep(&s, s.until)
			s.known, s.until, s.begun = s.until, 0, false
			if x.rules[OlderThanAll] {
				s.settled = s.now
			}
			if x.rules[CopyByOwner] {
				s.task = x.owner(s.now)
			}
			x.visit(s)
		}
	case s.poll == pollIdle:
		if s.now > s.known {
			s.poll, s.since = pollBegun, s.now
			x.visit(s)
		}
	case s.poll == pollBegun:
		s.poll, s.saw = pollRead, x.moves[s.now]
		x.visit(s)
	case s.poll == pollRead:
		if s.saw == s.moves {
			s.known = s.since
		} else {
			s.until = s.now
			if !x.rules[BoundAfterRead] {
				s.until = s.since
			}
			s.moves = s.saw
		}
		s.poll, s.since, s.saw = pollIdle, 0, 0
		x.visit(s)
	}
}

// keep records that everything up to a time is done, as far as it is.
func (x *moveExplorer) keep(s *moveState, upTo int8) {
	for i := range s.w {
		s.w[i].saved = max(s.w[i].saved, min(upTo, x.limit(s, i)))
	}
}

// stepEvents hands the next step of one shard's stream on.
func (x *moveExplorer) stepEvents(s moveState, i int) {
	w := &s.w[i]
	next := w.at + 1
	stretch := s.until != 0 && s.begun
	gate := s.known
	if stretch {
		gate = s.until
	}
	if next > s.now || w.lane != laneFree || (x.rules[AwaitPlacement] && next > gate) {
		return
	}
	w.at = next
	e := x.history[next-1]
	switch {
	case e == Move || x.owner(next) != int8(i):
	case next <= w.lower:
	case x.rules[ReadInstead] && stretch && next > s.known && next <= s.until:
		w.lane, w.copies, w.past = laneWaits, false, next
		if x.rules[ReadPastEnd] {
			w.past = s.until
		}
	case e.delta() && (s.dst == Absent || next <= w.floor || next <= s.settled):
		w.lane, w.copies, w.past = laneWaits, false, next
	default:
		s.dst = e.apply(s.dst)
	}
	x.visit(s)
}

func (x *moveExplorer) stepRepair(s moveState, i int) {
	w := &s.w[i]
	switch w.lane {
	case laneFree:
		if s.phase == copyLanded && s.by == int8(i) {
			w.lane, w.copies, w.past = laneWaits, true, w.at
			x.visit(s)
		}
	case laneWaits:
		for at := w.past; at <= s.now; at++ {
			next := s
			n := &next.w[i]
			n.lane, n.image = laneHasRead, x.source[at]
			n.lower, n.floor = max(n.lower, w.past), max(n.floor, s.now)
			x.visit(next)
		}
	case laneHasRead:
		s.dst = w.image
		if w.copies {
			s.phase = copyLeft
		}
		w.lane, w.copies, w.past, w.image = laneFree, false, 0, Absent
		x.visit(s)
	}
}

// limit is the position of one shard that may be saved.
func (x *moveExplorer) limit(s *moveState, i int) int8 {
	limit := s.w[i].at
	if s.w[i].lane != laneFree && !s.w[i].copies {
		limit--
	}
	if s.copying() && s.by == int8(i) {
		limit = min(limit, s.r)
	}
	return limit
}

func (x *moveExplorer) stepSave(s moveState, i int) {
	if limit := x.limit(&s, i); limit > s.w[i].saved {
		s.w[i].saved = limit
		x.visit(s)
	}
}

func (x *moveExplorer) stepCopy(s moveState) {
	switch s.phase {
	case copyIdle:
		if x.rules[CopyStands] && s.until != 0 {
			return
		}
		for r := s.w[s.task].at; r <= s.now; r++ {
			next := s
			next.phase, next.r, next.by = copyReading, r, s.task
			x.visit(next)
		}
	case copyReading:
		for at := s.r; at <= s.now; at++ {
			next := s
			next.phase, next.image, next.upper = copyFlying, x.source[at], s.now
			x.visit(next)
		}
	case copyFlying:
		w := &s.w[s.by]
		if s.dst == Absent {
			s.dst = s.image
		}
		w.floor = max(w.floor, s.upper)
		s.image, s.upper, s.phase = Absent, 0, copyLeft
		if w.at > s.r {
			s.phase = copyLanded
		}
		x.visit(s)
	case copyLeft:
		if !s.done {
			s.done = true
			x.visit(s)
		}
	case copyLanded: // its repair moves on
	}
}

// stepCrash ends everything that is not recorded.
func (x *moveExplorer) stepCrash(s moveState) {
	if s.crashes == 0 {
		return
	}
	next := moveState{
		now: s.now, dst: s.dst, known: s.known, moves: s.moves, until: s.until, begun: s.begun, settled: s.settled,
		task: s.task, done: s.done, crashes: s.crashes - 1,
	}
	for i := range s.w {
		next.w[i] = mover{at: s.w[i].saved, saved: s.w[i].saved, floor: s.now}
	}
	if s.done {
		next.phase = copyLeft
	}
	x.visit(next)
}
