package oplog

import (
	"sort"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The entries of a log are those of stored, if it has that, and of ring after
// them. The callers hold mu.

func (l *Log) count() int { return l.onDisk() + l.ring.len() }

// onDisk returns how many entries are not in ring.
func (l *Log) onDisk() int {
	if l.stored == nil {
		return 0
	}
	return l.stored.slots.len()
}

func (l *Log) timeAt(i int) bson.Timestamp {
	if n := l.onDisk(); i >= n {
		return l.ring.at(i - n).TS
	}
	return l.stored.slots.at(i).ts
}

func (l *Log) entryAt(i int) *Entry {
	if n := l.onDisk(); i >= n {
		return l.ring.at(i - n)
	}
	return l.stored.entry(l.stored.slots.at(i).at)
}

// search returns the index of the first entry later than ts, or at it if
// inclusive; count() if there is none.
func (l *Log) search(ts bson.Timestamp, inclusive bool) int {
	return sort.Search(l.count(), func(i int) bool {
		c := l.timeAt(i).Compare(ts)
		return c > 0 || inclusive && c == 0
	})
}

// slice returns a copy of up to limit entries from index from.
func (l *Log) slice(from, limit int) []*Entry {
	n := min(l.count()-from, limit)
	if n <= 0 {
		return nil
	}
	out := make([]*Entry, n)
	for i := range out {
		out[i] = l.entryAt(from + i)
	}
	return out
}

func (l *Log) rollover() {
	for l.count() > 1 && (l.opts.MaxEntries > 0 && l.count() > l.opts.MaxEntries ||
		l.opts.MaxBytes > 0 && l.bytes > l.opts.MaxBytes) {
		l.dropFirst()
	}
}

func (l *Log) dropFirst() {
	if l.onDisk() > 0 {
		s := l.stored.slots.pop()
		l.bytes -= int64(s.size)
		l.dropped = s.ts
		return
	}
	e := l.ring.pop()
	l.bytes -= e.size()
	l.dropped = e.TS
}

// dropLast takes the newest entry away again.
func (l *Log) dropLast() {
	if l.ring.len() > 0 {
		l.bytes -= l.ring.unpush().size()
		return
	}
	l.bytes -= int64(l.stored.slots.unpush().size)
}

// copyTo gives the first n entries to an empty log.
func (l *Log) copyTo(b *Log, n int) {
	if l.stored != nil {
		b.stored = &stored{log: l.stored.log, names: l.stored.names}
	}
	for i := range n {
		if k := l.onDisk(); i >= k {
			e := l.ring.at(i - k)
			b.ring.push(e)
			b.bytes += e.size()
		} else {
			s := l.stored.slots.at(i)
			b.stored.slots.push(s)
			b.bytes += int64(s.size)
		}
	}
	if n > 0 {
		b.lastTerm = l.termAt(n - 1)
	}
}

func (l *Log) termAt(i int) int64 {
	if n := l.onDisk(); i >= n {
		return l.ring.at(i - n).Term
	}
	return l.stored.entry(l.stored.slots.at(i).at).Term
}
