package model

type copyPhase uint8

const (
	copyIdle copyPhase = iota
	copyReading
	copyFlying // read, the insert is under way
	copyLanded // inserted, a repair is due
	copyLeft   // nothing left to write
)

type lanePhase uint8

const (
	laneFree    lanePhase = iota
	laneWaits             // a repair is due
	laneHasRead           // a repair has read the source and is about to write
)

// state is everything that moves. Times are counts of source events.
type state struct {
	now    int8 // source events so far
	handed int8 // events handed to the lane, in order
	saved  int8 // the position that survives a crash
	dst    Doc

	phase copyPhase
	r     int8 // the batch is read at or after it
	image Doc  // what the batch read
	upper int8 // the image is not newer than this
	done  bool // the task's completion survives a crash

	lane     lanePhase
	ofEvent  bool // the repair stands for the last handed event
	repaired Doc
	lower    int8 // events up to here are inside the image last put by a repair
	floor    int8 // images on the destination may be as new as this

	crashes int8
	late    lateWrite
	lateDoc Doc
}

type lateWrite uint8

const (
	noLate lateWrite = iota
	lateInsert
	latePut
)

// A Result is what an exploration found.
type Result struct {
	States int
	Finals int  // states in which all is applied and copied
	Bad    bool // in one of them the destination differed
	Got    Doc
	Want   Doc
}

// Explore visits every state that one history can lead to under the rules, with
// at most the given number of crashes, until a final state is wrong.
func Explore(init Doc, history []Event, f Filter, rules Rules, crashes int) Result {
	x := explorer{rules: rules, history: history, filter: f, source: []Doc{init}}
	for _, e := range history {
		x.source = append(x.source, e.apply(x.source[len(x.source)-1]))
	}
	x.visit(state{crashes: int8(crashes)})
	for s, ok := x.next(); ok && !x.result.Bad; s, ok = x.next() {
		x.check(s)
		x.stepStream(s)
		x.stepCopy(s)
		x.stepRepair(s)
		x.stepCrash(s)
	}
	x.result.States = len(x.seen)
	return x.result
}

type explorer struct {
	search[state]

	rules   Rules
	history []Event
	filter  Filter
	source  []Doc // the document after each event
	result  Result
}

// read returns what a read of the source gives after a number of events, through
// the filter if the rule says so.
func (x *explorer) read(at int8, through Rule) Doc {
	if x.rules[through] {
		return x.filter.through(x.source[at])
	}
	return x.source[at]
}

func (x *explorer) check(s state) {
	n := int8(len(x.history))
	if s.now < n || s.handed < n || !s.done || s.lane != laneFree || s.late != noLate {
		return
	}
	x.result.Finals++
	if want := x.filter.through(x.source[n]); s.dst != want {
		x.result.Bad, x.result.Got, x.result.Want = true, s.dst, want
	}
}

// stepStream moves the source, the lane, and the saved position.
func (x *explorer) stepStream(s state) {
	if int(s.now) < len(x.history) {
		next := s
		next.now++
		x.visit(next)
	}
	laneOpen := s.lane == laneFree || (!x.rules[RepairInLane] && !s.ofEvent)
	if s.handed < s.now && laneOpen {
		x.visit(x.hand(s))
	}
	limit := s.handed
	if s.lane != laneFree && s.ofEvent {
		limit--
	}
	if x.rules[HoldFrontier] && (s.phase == copyReading || s.phase == copyFlying || s.phase == copyLanded) {
		limit = min(limit, s.r)
	}
	if limit > s.saved {
		s.saved = limit
		x.visit(s)
	}
}

// hand gives the next event to the lane, which applies it or turns it into a
// repair.
func (x *explorer) hand(s state) state {
	e := x.history[s.handed]
	s.handed++
	older := x.rules[Older]
	switch {
	case x.rules[FilterInserts] && e.Kind == 'I' && x.filter.through(e.apply(Absent)) == Absent: // the stream has left it out
	case older && s.handed <= s.lower:
	case x.rules[RereadTouched] && x.filter.touchedBy(e) && s.lane == laneFree:
		s.lane, s.ofEvent = laneWaits, true
	case e.delta() && s.lane == laneFree && (s.dst == Absent || older && s.handed <= s.floor):
		s.lane, s.ofEvent = laneWaits, true
	case e.delta() && s.dst == Absent:
	default:
		s.dst = e.apply(s.dst)
	}
	return s
}

func (x *explorer) stepCopy(s state) {
	switch s.phase {
	case copyIdle:
		lowest := int8(0)
		if x.rules[ReadAfterHanded] {
			lowest = s.handed
		}
		for r := lowest; r <= s.now; r++ {
			next := s
			next.phase, next.r = copyReading, r
			x.visit(next)
		}
	case copyReading:
		for at := s.r; at <= s.now; at++ {
			next := s
			next.phase, next.image, next.upper = copyFlying, x.read(at, FilterCopy), s.now
			x.visit(next)
		}
	case copyFlying:
		if s.dst == Absent {
			s.dst = s.image
		}
		s.floor = max(s.floor, s.upper)
		s.image, s.upper, s.phase = Absent, 0, copyLeft
		if x.rules[RepairOvertaken] && s.handed > s.r {
			s.phase = copyLanded
		}
		x.visit(s)
	case copyLeft:
		s.done = true
		x.visit(s)
	case copyLanded: // its repair moves on
	}
}

func (x *explorer) stepRepair(s state) {
	switch s.lane {
	case laneFree:
		if s.phase == copyLanded {
			s.lane, s.ofEvent = laneWaits, false
			x.visit(s)
		}
	case laneWaits:
		for at := s.handed; at <= s.now; at++ {
			next := s
			next.lane, next.repaired = laneHasRead, x.read(at, FilterRereads)
			next.lower, next.floor = s.handed, max(s.floor, s.now)
			x.visit(next)
		}
	case laneHasRead:
		s.dst, s.repaired, s.lane = s.repaired, Absent, laneFree
		if !s.ofEvent {
			s.phase = copyLeft
		}
		s.ofEvent = false
		x.visit(s)
	}
}

// stepCrash kills the worker, or lets a write of a dead one land.
func (x *explorer) stepCrash(s state) {
	if s.late != noLate {
		next := s
		if s.late == latePut || s.dst == Absent {
			next.dst = s.lateDoc
		}
		next.late, next.lateDoc = noLate, Absent
		x.visit(next)
	}
	if s.crashes == 0 {
		return
	}
	next := state{
		now: s.now, handed: s.saved, saved: s.saved, dst: s.dst, done: s.done,
		floor: s.now, crashes: s.crashes - 1, late: s.late, lateDoc: s.lateDoc,
	}
	if s.done {
		next.phase = copyLeft
	}
	x.visit(next)
	if x.rules[FenceLateWrites] {
		return
	}
	if s.phase == copyFlying {
		next.late, next.lateDoc = lateInsert, s.image
		x.visit(next)
	}
	if s.lane == laneHasRead {
		next.late, next.lateDoc = latePut, s.repaired
		x.visit(next)
	}
}
