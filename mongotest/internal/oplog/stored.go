package oplog

import (
	"encoding/binary"
	"fmt"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/disk"
)

// A slot is where an entry of a stored oplog is.
type slot struct {
	ts   bson.Timestamp
	at   disk.Place
	size uint32 // as Entry.size counts
}

// stored are the entries of a log that are on the disk. Its owner locks it.
type stored struct {
	log      *disk.Log
	slots    queue[slot]
	names    *names
	attached bool   // what is appended goes to the disk too
	frame    []byte // the latest one; its memory is used again
}

// Attach makes an empty log keep its entries in d. What d already has comes back
// through Restore.
func (l *Log) Attach(d *disk.Log) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stored = &stored{log: d, names: &names{all: map[string]string{}}, attached: true}
}

// Commit is Append for an attached log: it writes one frame with changes, which
// are the caller's business, and the entries, and says where it is. If it fails
// nothing has been appended.
func (l *Log) Commit(changes []byte, es ...*Entry) (bson.Timestamp, disk.Place, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stamp(es)
	at, err := l.write(changes, es)
	return l.last, at, err
}

// write writes a frame with entries that have all they need.
func (l *Log) write(changes []byte, es []*Entry) (disk.Place, error) {
	s := l.stored
	frame := binary.AppendUvarint(s.frame[:0], uint64(len(changes)))
	frame = append(frame, changes...)
	lowest := uint32(math.MaxUint32)
	offsets := make([]uint32, len(es))
	for i, e := range es {
		offsets[i] = uint32(len(frame))
		frame = appendEntry(frame, e, s.log.Locate, &lowest)
	}
	at, err := s.log.Frame(frame, lowest)
	if s.frame = frame; cap(frame) > maxScratch {
		s.frame = nil
	}
	if err != nil {
		return at, err
	}
	for i, e := range es {
		s.slots.push(slot{ts: e.TS, at: disk.Place{Segment: at.Segment, Offset: at.Offset + offsets[i]}, size: uint32(e.size())})
	}
	l.added(es)
	return at, nil
}

// TakeOver attaches l in place of old, another branch: it writes a frame with
// changes and with the entries of l that old does not have. changes is told up to
// when both are the same.
func (l *Log) TakeOver(old *Log, changes func(common bson.Timestamp) []byte) (disk.Place, error) {
	old.mu.Lock()
	defer old.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	common := l.common(old)
	from := l.search(common, false)
	rest := l.slice(from, l.count()-from)
	for range rest {
		l.dropLast()
	}
	old.stored.attached, l.stored.attached = false, true
	return l.write(changes(common), rest)
}

// common returns the time of the newest entry that both logs have. Branches of a
// log have a clock in common, so no time means two entries.
func (l *Log) common(old *Log) bson.Timestamp {
	i, j := l.count()-1, old.count()-1
	for i >= 0 && j >= 0 {
		switch c := l.timeAt(i).Compare(old.timeAt(j)); {
		case c == 0:
			return l.timeAt(i)
		case c > 0:
			i--
		default:
			j--
		}
	}
	return bson.Timestamp{}
}

// maxScratch bounds the memory that is kept for the next frame.
const maxScratch = 1 << 20

// Restore takes in a frame of Commit. apply is given its changes before the
// entries are added.
func (l *Log) Restore(at disk.Place, frame []byte, apply func(changes []byte) error) error {
	n, used := binary.Uvarint(frame)
	if used <= 0 || n > uint64(len(frame)-used) {
		return errEntry
	}
	begin := used + int(n)
	if err := apply(frame[used:begin]); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for off := begin; off < len(frame); {
		b, err := entryAt(frame[off:])
		if err != nil {
			return err
		}
		if err := l.restore(b, disk.Place{Segment: at.Segment, Offset: at.Offset + uint32(off)}); err != nil {
			return err
		}
		off += 4 + len(b)
	}
	return nil
}

func (l *Log) restore(b []byte, at disk.Place) error {
	s := l.stored
	ts, term := entryTimes(b)
	if !ts.After(l.last) {
		return fmt.Errorf("entry at %v after one at %v: %w", ts, l.last, errEntry)
	}
	gone := false // the document of an entry that has rolled over may have gone before it
	e, err := decodeEntry(b, s.names.intern, func(p disk.Place) []byte {
		if s.log.Gone(p) {
			gone = true
			return nil
		}
		s.log.Refer(at, p.Segment)
		return s.log.Doc(p)
	})
	if err != nil && !gone {
		return fmt.Errorf("entry at %v: %w", ts, err)
	}
	l.last, l.lastTerm, l.term = ts, term, max(l.term, term)
	l.clock.Advance(ts)
	if gone {
		l.forget(ts)
		return nil
	}
	s.slots.push(slot{ts: ts, at: at, size: uint32(e.size())})
	l.bytes += e.size()
	l.rollover()
	return nil
}

// Rollback drops the entries later than ts, as a later frame says.
func (l *Log) Rollback(ts bson.Timestamp) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.count() > 0 && l.timeAt(l.count()-1).After(ts) {
		l.dropLast()
	}
	if l.last.After(ts) {
		l.last = ts
	}
	if n := l.count(); n > 0 {
		l.lastTerm = l.termAt(n - 1)
	}
}

// Forget drops the entries up to ts, of which the caller knows that they have
// rolled over.
func (l *Log) Forget(ts bson.Timestamp) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(ts)
}

func (l *Log) forget(ts bson.Timestamp) {
	for l.count() > 0 && !l.timeAt(0).After(ts) {
		l.dropFirst()
	}
	if ts.After(l.dropped) {
		l.dropped = ts
	}
}

// OldestSegment returns the segment in which the oldest entry begins, not ok if
// the log is empty.
func (l *Log) OldestSegment() (number uint32, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.onDisk() == 0 {
		return 0, false
	}
	return l.stored.slots.at(0).at.Segment, true
}

// entry reads an entry. It has been written or restored, so it is a good one; if
// not, the file has been changed under the mapping.
func (s *stored) entry(at disk.Place) *Entry {
	b, err := entryAt(s.log.From(at))
	if err == nil {
		var e *Entry
		if e, err = s.decode(b); err == nil {
			return e
		}
	}
	panic(fmt.Sprintf("oplog: entry at %v: %v", at, err))
}

func (s *stored) decode(b []byte) (*Entry, error) {
	return decodeEntry(b, s.names.intern, s.log.Doc)
}
