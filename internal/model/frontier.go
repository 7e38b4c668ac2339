package model

// A Mark is a rule about the position up to which everything counts as applied,
// while events are written by several lanes at once.
type Mark int

// The rules.
const (
	Prefix       Mark = iota // it does not pass an event that is not done, whatever is done after it
	Acknowledged             // an event is done when its write is acknowledged, not when it is sent
	WholeTimes               // it is at a time only when all events of that time are done: a stream resumes after a time
	markCount
)

// Marks is a set of rules.
type Marks [markCount]bool

// AllMarks returns the complete set.
func AllMarks() Marks {
	var m Marks
	for i := range m {
		m[i] = true
	}
	return m
}

// Without returns the set without one rule.
func (m Marks) Without(rule Mark) Marks {
	m[rule] = false
	return m
}

// marking is everything that moves. Sets of events are bits, the first event the
// lowest one.
type marking struct {
	handed  int8
	sent    uint16
	landed  uint16 // on the destination, which survives
	acked   uint16
	saved   int8 // a time
	crashes int8
}

// ExploreFrontier visits every order in which events at the given times, written
// by the given lanes, can land and be recorded, with at most the given number of
// crashes. The result is bad if one of them never lands. Times do not fall.
func ExploreFrontier(times, lanes []int8, rules Marks, crashes int) Result {
	x := markings{times: times, lanes: lanes, rules: rules}
	x.visit(marking{crashes: int8(crashes)})
	var r Result
	for s, ok := x.next(); ok && !r.Bad; s, ok = x.next() {
		x.hand(s)
		for i := range times {
			x.write(s, i)
		}
		x.save(s)
		x.crash(s)
		all := uint16(1)<<len(times) - 1
		if int(s.handed) == len(times) && s.acked|s.before(times) == all {
			r.Finals++
			r.Bad = s.landed != all
		}
	}
	r.States = len(x.seen)
	return r
}

// before are the events that a stream resumed at the saved position leaves out.
func (s marking) before(times []int8) (set uint16) {
	for i, t := range times {
		if t <= s.saved {
			set |= 1 << i
		}
	}
	return set
}

type markings struct {
	search[marking]

	times, lanes []int8
	rules        Marks
}

func (x *markings) hand(s marking) {
	if int(s.handed) < len(x.times) {
		s.handed++
		x.visit(s)
	}
}

// write lets an event be sent, once those before it in its lane are
// acknowledged, let it land, or lets its acknowledgement come.
func (x *markings) write(s marking, i int) {
	bit := uint16(1) << i
	if i >= int(s.handed) || s.acked&bit != 0 || s.before(x.times)&bit != 0 && s.sent&bit == 0 {
		return
	}
	for j := range i {
		if x.lanes[j] == x.lanes[i] && (s.acked|s.before(x.times))&(1<<j) == 0 {
			return
		}
	}
	switch {
	case s.sent&bit == 0:
		s.sent |= bit
	case s.landed&bit == 0:
		s.landed |= bit
	default:
		s.acked |= bit
	}
	x.visit(s)
}

// save records a position that the rules allow.
func (x *markings) save(s marking) {
	done := s.acked | s.before(x.times)
	if !x.rules[Acknowledged] {
		done |= s.sent
	}
	for i, t := range x.times {
		if t <= s.saved || done&(1<<i) == 0 || !x.allows(i, done) {
			continue
		}
		next := s
		next.saved = t
		x.visit(next)
	}
}

func (x *markings) allows(i int, done uint16) bool {
	for j, t := range x.times {
		before, same := t < x.times[i], t == x.times[i]
		if done&(1<<j) == 0 && (x.rules[Prefix] && before || x.rules[WholeTimes] && same) {
			return false
		}
	}
	return true
}

// crash kills the worker. What it had sent may still land, before anything else
// does, or never.
func (x *markings) crash(s marking) {
	if s.crashes == 0 {
		return
	}
	next := marking{landed: s.landed, saved: s.saved, crashes: s.crashes - 1}
	for i, t := range x.times {
		if t <= s.saved {
			next.handed = int8(i + 1)
		}
	}
	x.visit(next)
}
