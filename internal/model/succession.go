package model

// A Trace is a rule about finding a collection whose events are still to be
// applied, and which the source may have renamed, replaced or dropped since.
type Trace int

// The rules.
const (
	AskByUUID      Trace = iota // what is under the name counts only if it has the UUID
	ReachTheLook                // changes are followed up to the time at which it was not there
	SinceKnown                  // and from the time of the catalogue, not from before
	TraceByName                 // a change of what has its name is one of it, whatever the UUID: that may have changed without a word
	TraceByUUID                 // a change of what has its UUID is one of it: the last change of the catalogue is met again
	GoneIfCovered               // what another collection was renamed over is dropped
	AdoptUntouched              // what has its name is taken for it only if no change has touched it
	traceCount
)

// Traces is a set of rules.
type Traces [traceCount]bool

// AllTraces returns the complete set.
func AllTraces() Traces {
	var t Traces
	for i := range t {
		t[i] = true
	}
	return t
}

// Without returns the set without one rule.
func (t Traces) Without(rule Trace) Traces {
	t[rule] = false
	return t
}

// A Deed is what is done to the two names of the source, c and d: 'R' renames c to
// d, 'r' d to c, over what is there; 'H' reshards c, 'h' d; 'D' drops c, 'd' d; 'C'
// creates c, 'c' d. 'M' gives both other UUIDs, and no event tells of it.
type Deed byte

// a holder is a collection under a name: 0 is none, and number 1 the one to find.
type holder struct{ uuid, number int8 }

// a turn is the source after a deed, with c and d at 0 and 1, and the event of it.
type turn struct {
	at       [2]holder
	kind     Deed // 'r', 'h' or 'd', 0 if no event tells
	uuid, to int8 // to is the new name or UUID
	name     int8
	noted    identified // what a catalogue says that has seen the event
}

type identified struct {
	uuid, name int8
	gone       bool
}

// turns plays deeds; ok is false if they are not possible.
func turns(deeds []Deed) (all []turn, ok bool) {
	t := turn{at: [2]holder{{1, 1}}, noted: identified{uuid: 1}}
	all = append(all, t)
	uuids, numbers := int8(1), int8(1)
	for _, d := range deeds {
		t.kind, t.uuid, t.to, t.name = 0, 0, 0, 0
		if d >= 'a' {
			t.name = 1
		}
		h := t.at[t.name]
		if d != 'M' && (h.uuid == 0) != (d == 'C' || d == 'c') {
			return nil, false
		}
		t.uuid = h.uuid
		switch d {
		case 'R', 'r':
			t.kind, t.to = 'r', 1-t.name
			t.at[t.to], t.at[t.name] = h, holder{}
		case 'H', 'h':
			uuids++
			t.kind, t.to = 'h', uuids
			t.at[t.name].uuid = uuids
		case 'D', 'd':
			t.kind, t.at[t.name] = 'd', holder{}
		case 'C', 'c':
			uuids++
			numbers++
			t.at[t.name] = holder{uuids, numbers}
		case 'M':
			for i := range t.at {
				if t.at[i].uuid != 0 {
					uuids++
					t.at[i].uuid = uuids
				}
			}
		}
		if t.kind != 0 {
			t.noted = t.noted.after(t, AllTraces())
		}
		all = append(all, t)
	}
	return all, true
}

// after follows an event.
func (id identified) after(t turn, rules Traces) identified {
	ours := rules[TraceByUUID] && t.uuid == id.uuid || rules[TraceByName] && t.name == id.name
	switch {
	case id.gone || t.kind == 0:
	case !ours:
		id.gone = rules[GoneIfCovered] && t.kind == 'r' && t.to == id.name
	case t.kind == 'r':
		id.uuid, id.name = t.uuid, t.to
	case t.kind == 'h':
		id.uuid = t.to
	default:
		id.gone = true
	}
	return id
}

// a stage is how far a search has come.
type stage int8

const (
	asking stage = iota
	looking
	following
)

// tracing is everything that moves.
type tracing struct {
	now      int8 // deeds that are done
	followed int8 // of which the events are known
	stage    stage
	id       identified // as far as it is known
	asked    int8       // the name under which it is asked for
	named    int8       // the UUID that was under its name
	looked   int8       // when it was
	before   identified // when it was not found
}

type tracings struct {
	search[tracing]

	turns []turn
	rules Traces
	r     Result
}

// ExploreSuccession lets a worker that has the catalogue as it was after some of
// the deeds look for collection 1, while the others are done. The result is bad if
// it finds another one, takes it for gone while it exists, or never knows.
func ExploreSuccession(deeds []Deed, catalogue int, rules Traces) (r Result, possible bool) {
	all, ok := turns(deeds)
	if !ok || all[catalogue].noted.gone {
		return r, false
	}
	x := tracings{turns: all, rules: rules}
	begin := tracing{now: int8(catalogue), id: all[catalogue].noted}
	begin.followed = max(0, begin.now-1) // the last change may be met again
	if !rules[SinceKnown] {
		begin.followed = 0
	}
	begin.asked = begin.id.name
	x.visit(begin)
	for s, ok := x.next(); ok && !x.r.Bad; s, ok = x.next() {
		if int(s.now) < len(all)-1 {
			next := s
			next.now++
			x.visit(next)
		}
		switch s.stage {
		case asking:
			x.ask(s)
		case looking:
			s.named, s.looked, s.stage = all[s.now].at[s.id.name].uuid, s.now, following
			s.before = s.id
			x.visit(s)
		case following:
			x.follow(s)
		}
	}
	x.r.States = len(x.seen)
	return x.r, true
}

// ask reads by name and UUID; the source tells the name that the UUID has.
func (x *tracings) ask(s tracing) {
	there := x.turns[s.now].at
	if s.id.gone {
		x.end(s, 0)
		return
	}
	if h := there[s.asked]; h.uuid != 0 && (h.uuid == s.id.uuid || !x.rules[AskByUUID]) {
		x.end(s, h.number)
		return
	}
	if other := 1 - s.asked; there[other].uuid == s.id.uuid {
		s.asked = other
	} else {
		s.stage = looking
	}
	x.visit(s)
}

// end says what was found: a collection, or that it is gone.
func (x *tracings) end(s tracing, found int8) {
	x.r.Finals++
	exists := false
	for _, h := range x.turns[s.now].at {
		exists = exists || h.number == 1
	}
	x.r.Bad = x.r.Bad || found > 1 || found == 0 && exists
}

// follow reads another event, or ends when enough are known.
func (x *tracings) follow(s tracing) {
	if s.followed < s.now {
		next := s
		next.followed++
		next.id = next.id.after(x.turns[next.followed], x.rules)
		x.visit(next)
	}
	if x.rules[ReachTheLook] && s.followed < s.looked {
		return
	}
	switch {
	case s.id != s.before && x.rules[AdoptUntouched]:
	case s.named != 0 && s.named != s.id.uuid:
		s.id.uuid = s.named
	case s.id == s.before && int(s.followed) == len(x.turns)-1:
		x.r.Bad = true // nothing will ever tell
	}
	s.stage, s.asked = asking, s.id.name
	x.visit(s)
}
