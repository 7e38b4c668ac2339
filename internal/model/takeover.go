package model

// A Guard keeps a write of a worker that was replaced from landing after a write
// of its successor.
type Guard int

// The guards.
const (
	CheckLease       Guard = iota // a worker sends a write only while its lease is valid by its own clock
	LeaseFromSending              // the lease counts from when the report that extends it was sent, not from the answer
	AwaitLease                    // a successor begins only when the last lease that was granted is over
	LimitCommands                 // the destination gives a command up when its time limit is over
	AwaitLimit                    // a successor waits for that time limit too
	EndSessions                   // a successor first ends what the old worker's sessions are doing at the destination
	CloseSessions                 // and makes the destination refuse what arrives in them afterwards
	guardCount
)

// Guards is a set of guards.
type Guards [guardCount]bool

// With returns a set of the given guards.
func With(guards ...Guard) Guards {
	var g Guards
	for _, one := range guards {
		g[one] = true
	}
	return g
}

// Without returns the set without one guard.
func (g Guards) Without(guard Guard) Guards {
	g[guard] = false
	return g
}

// A World says what may go wrong beside the loss of a worker.
type World struct {
	Pauses bool // a process may stop between two of its steps for any time
	Delays bool // a message may be under way for any time
}

// The times of the model, in ticks. What counts is that both are longer than
// nothing, and that the horizon is longer than both together with two reports.
const (
	leaseLength  = 2
	commandLimit = 2
	horizon      = 9
)

type writePhase uint8

const (
	writeNone    writePhase = iota
	writeChecked            // the lease was found valid
	writeSent               // under way to the destination
	writeRuns               // a command that the destination executes
	writeOver               // landed, or will never
)

type reportPhase uint8

const (
	reportNone  reportPhase = iota
	reportSent              // under way to the leader
	reportTaken             // the answer is under way
)

// takeover is everything that moves. Times are ticks, never is before them all.
type takeover struct {
	now int8

	// The old worker.
	until   int8 // its lease is valid before it
	report  reportPhase
	sent    int8 // when the last report was sent
	write   writePhase
	touched int8 // when the write last moved on

	// The leader and the successor.
	granted int8 // when the last report was taken
	taken   bool // the shard has its successor
	closed  bool // the old sessions are refused
	wrote   bool // the successor has written
	stale   bool // the old write landed after that
}

// ExploreTakeover visits every state that the loss of one worker can lead to, and
// reports whether in one of them a write of it landed after its successor's.
func ExploreTakeover(g Guards, w World) (states int, stale bool) {
	x := takeovers{guards: g, world: w}
	x.visit(takeover{until: leaseLength})
	for s, ok := x.next(); ok; s, ok = x.next() {
		stale = stale || s.stale
		x.tick(s)
		x.reports(s)
		x.writes(s)
		x.succeeds(s)
	}
	return len(x.seen), stale
}

type takeovers struct {
	search[takeover]

	guards Guards
	world  World
}

// tick lets time pass, unless something has to happen first: a step that takes no
// time in a world without pauses and delays.
func (x *takeovers) tick(s takeover) {
	switch {
	case s.now == horizon:
		return
	case s.write == writeChecked && !x.world.Pauses, s.write == writeSent && !x.world.Delays:
		return
	case s.write == writeRuns && x.guards[LimitCommands] && s.now >= s.touched+commandLimit:
		s.write = writeOver // given up
	}
	s.now++
	x.visit(s)
}

// reports lets the old worker extend its lease. Reports and their answers take
// any time: that they are slow is nothing unusual.
func (x *takeovers) reports(s takeover) {
	switch s.report {
	case reportNone:
		s.report, s.sent = reportSent, s.now
	case reportSent:
		if s.taken {
			return // of an old epoch: refused
		}
		s.report, s.granted = reportTaken, s.now
	case reportTaken:
		from := s.now
		if x.guards[LeaseFromSending] {
			from = s.sent
		}
		s.report, s.until = reportNone, max(s.until, from+leaseLength)
	}
	x.visit(s)
}

// writes lets the old worker's write go its way.
func (x *takeovers) writes(s takeover) {
	switch s.write {
	case writeNone:
		if x.guards[CheckLease] && s.now >= s.until {
			return
		}
		s.write = writeChecked
	case writeChecked:
		s.write = writeSent
	case writeSent:
		s.write = writeRuns
		if s.closed {
			s.write = writeOver
		}
	case writeRuns:
		s.write, s.stale = writeOver, s.wrote
	case writeOver:
		return
	}
	s.touched = s.now
	x.visit(s)
}

// succeeds lets the leader give the shard away, and the successor write.
func (x *takeovers) succeeds(s takeover) {
	if s.taken {
		if !s.wrote {
			s.wrote = true
			x.visit(s)
		}
		return
	}
	begin := int8(0)
	if x.guards[AwaitLease] {
		begin = s.granted + leaseLength
	}
	if x.guards[AwaitLimit] {
		begin += commandLimit
	}
	if s.now < begin {
		return
	}
	s.taken, s.closed = true, x.guards[CloseSessions]
	if x.guards[EndSessions] && s.write == writeRuns {
		s.write = writeOver
	}
	x.visit(s)
}
