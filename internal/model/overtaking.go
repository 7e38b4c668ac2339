package model

// A Rule protects one key of one shard while its document is copied and its
// events are applied at the same time.
type Rule int

// The rules. All but Older keep documents from being lost or revived; Older
// keeps the order of their fields.
const (
	ReadAfterHanded Rule = iota // a batch is read at or after every event handed to a lane
	RepairOvertaken             // a landed document with an event handed after the read point is read again
	RepairInLane                // no event of the key is applied between a repair's read and its write
	HoldFrontier                // the saved position does not pass the read point of an active batch
	FenceLateWrites             // a write of a dead worker cannot land
	Older                       // a delta is only applied to an image older than itself; otherwise the document is read again

	// The rules of a document filter; without one they say nothing.
	FilterCopy    // the copy reads through the filter
	FilterInserts // the stream leaves out inserts that do not match
	FilterRereads // repairs read through the filter: what does not match is not there
	RereadTouched // what may change whether a document matches is read again: replaces, and updates of the filter's fields
	ruleCount
)

// Rules is a set of rules.
type Rules [ruleCount]bool

// AllRules returns the complete set.
func AllRules() Rules {
	var r Rules
	for i := range r {
		r[i] = true
	}
	return r
}

// Without returns the set without one rule.
func (r Rules) Without(rule Rule) Rules {
	r[rule] = false
	return r
}

// A Doc is a document as its fields in order, two bytes each: a name and the
// event that set it. Absent is no document; "." begins every present one.
type Doc string

// Absent is a key without a document.
const Absent Doc = ""

// An Event is one change of the source. Kind is I(nsert), R(eplace), U(pdate of
// Field), X (removal of Field) or D(elete).
type Event struct {
	Kind  byte
	Field byte
	Mark  byte // the value, unique in a history
}

func (e Event) delta() bool { return e.Kind == 'U' || e.Kind == 'X' }

// A Filter is the field that a document must have to be moved; zero: all are.
type Filter byte

// through returns d as it is read through the filter.
func (f Filter) through(d Doc) Doc {
	if f == 0 || d.has(byte(f)) {
		return d
	}
	return Absent
}

// touchedBy reports whether a document may match after e that did not before, or
// the other way round, and e does not tell.
func (f Filter) touchedBy(e Event) bool {
	return f != 0 && (e.Kind == 'R' || e.delta() && e.Field == byte(f))
}

func (d Doc) has(field byte) bool {
	for i := 1; i < len(d); i += 2 {
		if d[i] == field {
			return true
		}
	}
	return false
}

// apply gives the document after e, as the source and a classic update do it: a
// set field keeps its place, a new one is appended.
func (e Event) apply(d Doc) Doc {
	switch e.Kind {
	case 'I', 'R':
		return Doc([]byte{'.', e.Field, e.Mark})
	case 'D':
		return Absent
	}
	at := -1
	for i := 1; i < len(d); i += 2 {
		if d[i] == e.Field {
			at = i
		}
	}
	switch {
	case e.Kind == 'X' && at >= 0:
		return d[:at] + d[at+2:]
	case e.Kind == 'X':
		return d
	case at >= 0:
		return d[:at+1] + Doc(e.Mark) + d[at+2:]
	}
	return d + Doc([]byte{e.Field, e.Mark})
}

// Histories returns every sequence of exactly n events that starts from init. With
// a filter on field b documents enter and leave it in every way.
func Histories(init Doc, n int, f Filter) [][]Event {
	if n == 0 {
		return [][]Event{nil}
	}
	var out [][]Event
	for _, h := range Histories(init, n-1, f) {
		d := init
		for _, e := range h {
			d = e.apply(d)
		}
		for _, e := range choices(d, byte('0'+n), f) {
			out = append(out, append(append([]Event{}, h...), e))
		}
	}
	return out
}

func choices(d Doc, mark byte, f Filter) []Event {
	if d == Absent {
		out := []Event{{'I', 'a', mark}}
		if f != 0 {
			out = append(out, Event{'I', 'b', mark})
		}
		return out
	}
	out := []Event{{'U', 'a', mark}, {'U', 'b', mark}, {'R', 'b', mark}, {'D', 0, mark}}
	if d.has('a') {
		out = append(out, Event{'X', 'a', mark})
	}
	if f != 0 {
		out = append(out, Event{'R', 'a', mark})
		if d.has('b') {
			out = append(out, Event{'X', 'b', mark})
		}
	}
	return out
}
