package disk

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
)

// Replay reads the log from its beginning to its end and calls fn with every
// frame; documents are read through Doc meanwhile. It fails with a DamageError
// if the log ends before something that was synced.
func (l *Log) Replay(fn func(at Place, frame []byte) error) error {
	for i, s := range l.segs {
		sealed, err := l.replay(s, fn)
		if err != nil {
			return err
		}
		switch last := i+1 == len(l.segs); {
		case sealed && last:
			return missing(l.cfg.Dir, s.number+1) // a segment is sealed when it has a successor
		case !sealed && !last:
			return l.endAt(i)
		}
	}
	if n := len(l.segs); n > 0 && l.segs[0].number > l.first {
		return missing(l.cfg.Dir, l.segs[0].number-1)
	}
	return l.endAt(len(l.segs) - 1)
}

// replay reads one segment up to its end.
func (l *Log) replay(s *segment, fn func(at Place, frame []byte) error) (sealed bool, err error) {
	for s.end = headerSize; ; {
		kind, payload, next, ok := s.record(s.end)
		if !ok {
			return false, nil
		}
		switch kind {
		case kindFrame:
			err = fn(Place{s.number, s.end + recordHead}, payload)
		case kindFirst:
			if len(payload) != 4 {
				err = s.damaged(s.end, "a record is malformed")
				break
			}
			l.first = max(l.first, binary.LittleEndian.Uint32(payload))
		}
		if err != nil {
			return false, err
		}
		s.end = next
		if kind == kindSeal {
			return true, nil
		}
	}
}

// endAt makes the i-th segment the last one, unless that would lose what has
// been synced.
func (l *Log) endAt(i int) error {
	if i < 0 {
		return nil
	}
	if s := l.segs[i]; s.end < s.synced {
		return s.damaged(s.end, "the record there is not what was written, and it is no unfinished end: the file was good up to byte %d", s.synced)
	}
	for _, s := range l.segs[i+1:] {
		if s.synced > headerSize {
			return l.segs[i].damaged(l.segs[i].end, "the record there is not what was written, and it is no unfinished end: %s follows", filepath.Base(s.path))
		}
		l.partial = append(l.partial, filepath.Base(s.path))
	}
	l.segs = l.segs[:i+1]
	return nil
}

// Resume cuts off what Replay has found to be behind the end, and lets the log
// be appended to.
func (l *Log) Resume() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	paths := make([]string, len(l.partial))
	for i, name := range l.partial {
		paths[i] = filepath.Join(l.cfg.Dir, name)
	}
	for len(l.segs) > 1 && l.segs[0].number < l.first {
		paths = append(paths, l.segs[0].path)
		l.segs = l.segs[1:]
	}
	if err := discard(l.cfg.Dir, paths); err != nil {
		return err
	}
	l.partial = nil
	l.sortAddresses()
	if len(l.segs) == 0 {
		s, err := createSegment(l.cfg.Dir, l.cfg.Identity, l.first, l.cfg.SegmentSize)
		if err != nil {
			return err
		}
		l.add(s)
	}
	for _, s := range l.segs[:len(l.segs)-1] {
		if s.synced == s.end {
			s.closeFile()
		}
	}
	last := l.segs[len(l.segs)-1]
	if err := last.cut(); err != nil {
		return err
	}
	l.writable = true
	return nil
}

// cut makes sure that what is appended next is not followed by what once was
// there, however that came about.
func (s *segment) cut() error {
	rest := s.data[s.end:]
	for len(rest) > 0 {
		block := rest[:min(len(rest), len(zeros))]
		if !bytes.Equal(block, zeros[:len(block)]) {
			clear(rest)
			return s.file.Sync()
		}
		rest = rest[len(block):]
	}
	return nil
}

// zeros are compared with, which is many times faster than to look at each byte.
var zeros [64 << 10]byte
