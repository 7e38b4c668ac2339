package disk

import (
	"encoding/binary"
	"slices"
	"sort"
	"unsafe"
)

// add makes s the last segment. The caller holds mu, or nobody else has the log.
func (l *Log) add(s *segment) {
	l.segs = append(l.segs, s)
	l.sortAddresses()
}

func (l *Log) sortAddresses() {
	l.byAddr = slices.SortedFunc(slices.Values(l.segs), func(a, b *segment) int {
		if a.addr() < b.addr() {
			return -1
		}
		return 1
	})
}

// Locate returns the place of bytes that are in the log.
func (l *Log) Locate(b []byte) (Place, bool) {
	if len(b) == 0 {
		return Place{}, false
	}
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	l.mu.RLock()
	defer l.mu.RUnlock()
	// What is asked for is mostly what has just been written.
	s := l.segs[len(l.segs)-1]
	if addr < s.addr() || addr >= s.addr()+uintptr(len(s.data)) {
		i := sort.Search(len(l.byAddr), func(i int) bool { return l.byAddr[i].addr() > addr })
		if i == 0 {
			return Place{}, false
		}
		s = l.byAddr[i-1]
	}
	off := addr - s.addr()
	if off >= uintptr(len(s.data)) {
		return Place{}, false
	}
	return Place{s.number, uint32(off)}, true
}

// From returns what is in the log from a place to the end of its segment, nil
// if there is no such place.
func (l *Log) From(p Place) []byte {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.segs) == 0 || p.Segment < l.segs[0].number {
		return nil
	}
	i := int(p.Segment - l.segs[0].number)
	if i >= len(l.segs) || p.Offset < headerSize || int(p.Offset) > len(l.segs[i].data) {
		return nil
	}
	return l.segs[i].data[p.Offset:]
}

// Doc returns the document at a place: its length is in its first four bytes,
// as BSON has it. nil if there is none.
func (l *Log) Doc(p Place) []byte {
	b := l.From(p)
	if len(b) < 4 {
		return nil
	}
	n := binary.LittleEndian.Uint32(b)
	if n < 5 || uint64(n) > uint64(len(b)) {
		return nil
	}
	return b[:n:n]
}

// Refer notes that a frame refers to what is in an older segment, as its Frame
// call did. It is for Replay.
func (l *Log) Refer(frame Place, to uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.segs[frame.Segment-l.segs[0].number]; to >= l.segs[0].number {
		s.lowest = min(s.lowest, to)
	}
}

// Gone reports whether a place was in a segment that is no longer there.
func (l *Log) Gone(p Place) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.segs) == 0 || p.Segment < l.segs[0].number
}

// Path returns the name of the file that a place is in, of the directory for
// none.
func (l *Log) Path(p Place) string {
	if p.Segment == 0 {
		return l.cfg.Dir
	}
	return segmentPath(l.cfg.Dir, p.Segment)
}
