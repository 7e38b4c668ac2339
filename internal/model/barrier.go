package model

// An Order is a rule about schema changes, which two shards' streams bring, each
// in its own order and at its own pace. Writes reach the destination by name,
// the events say which collection they mean by its UUID.
type Order int

// The rules.
const (
	Drain     Order = iota // a worker says that it stands still only when all its writes before the barrier have landed
	Hold                   // while a barrier stands nobody sends anything that is later
	Save                   // a worker that stands still has its position recorded, so that its successor repeats nothing
	Earliest               // the barrier stands at the earliest change that is known, and is moved when an earlier one is
	Numbered               // that a worker stands still counts for the barrier that it was said of
	Await                  // an event of a collection that is not known yet waits
	Recognize              // a change that was made already is not made again: by UUID, and by the place up to which changes are resolved
	orderCount
)

// Orders is a set of rules.
type Orders [orderCount]bool

// AllOrders returns the complete set.
func AllOrders() Orders {
	var o Orders
	for i := range o {
		o[i] = true
	}
	return o
}

// Without returns the set without one rule.
func (o Orders) Without(rule Order) Orders {
	o[rule] = false
	return o
}

// A Step is one thing that happens on the source: '0' and '1' are a write on
// that shard into the collection named c, 'x' and 'y' into the one named d; 'C'
// creates c, 'D' drops it, 'R' renames it to d, over what was there.
type Step byte

// names of collections, as numbers. A collection that is nowhere has none.
const (
	unknown int8 = iota
	nameC
	nameD
	dropped
)

// A happening is an event in one shard's stream.
type happening struct {
	step Step
	time int8
	uuid int8 // the collection that it is about
	over int8 // the one that a rename replaces, or none
	mark uint16
}

// change reports whether it is a schema change.
func (h happening) change() bool { return h.step == 'C' || h.step == 'D' || h.step == 'R' }

// contents are the writes that a cluster's collections hold by name, and whether
// they exist.
type contents struct {
	exists [dropped]bool
	marks  [dropped]uint16
}

// play returns the streams of both shards for a history, and what the source
// holds in the end. ok is false if the history is impossible. A schema change
// comes on the first shard, and unless once is set a little later on the second.
func play(history []Step, once bool) (streams [2][]happening, end contents, ok bool) {
	var at [dropped]int8 // UUIDs by name
	uuids := int8(0)
	for i, step := range history {
		h := happening{step: step, time: int8(2*i + 2), mark: 1 << i}
		name := nameC
		if step == 'x' || step == 'y' {
			name = nameD
		}
		if (step == 'C') == (at[name] != 0) {
			return streams, end, false
		}
		h.uuid = at[name]
		switch step {
		case 'C':
			uuids++
			h.uuid, at[nameC] = uuids, uuids
			end.exists[nameC], end.marks[nameC] = true, 0
		case 'D':
			at[nameC] = 0
			end.exists[nameC], end.marks[nameC] = false, 0
		case 'R':
			h.over, at[nameD], at[nameC] = at[nameD], at[nameC], 0
			end.exists[nameD], end.marks[nameD] = true, end.marks[nameC]
			end.exists[nameC], end.marks[nameC] = false, 0
		default:
			end.marks[name] |= h.mark
		}
		if !h.change() {
			shard := 0
			if step == '1' || step == 'y' {
				shard = 1
			}
			streams[shard] = append(streams[shard], h)
			continue
		}
		streams[0] = append(streams[0], h)
		if !once {
			h.time++
			streams[1] = append(streams[1], h)
		}
	}
	return streams, end, true
}
