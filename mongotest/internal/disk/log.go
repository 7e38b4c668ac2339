package disk

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
)

const (
	defaultSegment = 64 << 20
	maxSegment     = 1 << 31
)

// An Identity tells logs apart.
type Identity [16]byte

// A Place is where something is in a log. The zero Place is none.
type Place struct{ Segment, Offset uint32 }

// Config says which log to open.
type Config struct {
	Dir      string
	Identity Identity
	// SegmentSize is the usual size of a segment in bytes, 64 MiB if zero.
	SegmentSize uint32
}

// A Log is the log of one replica set. It is safe for concurrent use.
type Log struct {
	cfg     Config
	partial []string // files to remove
	syncing sync.Mutex

	mu       sync.RWMutex
	segs     []*segment // contiguous numbers, ascending
	byAddr   []*segment // by the addresses of their mappings
	first    uint32     // the first segment that is needed
	retired  []retired
	failure  error         // of the disk; nothing can be appended any more
	broken   chan struct{} // closed at the first failure
	appended int64         // bytes since it was opened
	writable bool
}

// Open opens the log in an existing directory, which is empty for a new one. It
// changes nothing: call Replay, and then Resume.
func Open(cfg Config) (*Log, error) {
	if cfg.SegmentSize == 0 {
		cfg.SegmentSize = defaultSegment
	}
	numbers, partial, err := segmentNumbers(cfg.Dir)
	if err != nil {
		return nil, err
	}
	l := &Log{cfg: cfg, partial: partial, first: 1, broken: make(chan struct{})}
	for i, n := range numbers {
		if i > 0 && n != numbers[i-1]+1 {
			return nil, missing(cfg.Dir, numbers[i-1]+1)
		}
		s, err := openSegment(cfg.Dir, cfg.Identity, n)
		if err != nil {
			l.Close()
			return nil, err
		}
		l.add(s)
	}
	return l, nil
}

func missing(dir string, number uint32) error {
	return &DamageError{Path: segmentPath(dir, number), Reason: "the file is missing"}
}

// Blob appends a document of an owner under an id, and returns it where it now
// is. It counts once a frame says so.
func (l *Log) Blob(owner, id uint64, doc []byte) ([]byte, Place, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.room(blobHead + len(doc))
	if err != nil {
		return nil, Place{}, err
	}
	payload := s.data[s.end+recordHead:][:blobHead+len(doc)]
	binary.LittleEndian.PutUint64(payload, owner)
	binary.LittleEndian.PutUint64(payload[8:], id)
	copy(payload[blobHead:], doc)
	at := Place{s.number, s.end + recordHead + blobHead}
	l.appended += int64(recordSize(len(payload)))
	s.finish(kindBlob, len(payload))
	return payload[blobHead:len(payload):len(payload)], at, nil
}

// Frame appends a frame, which refers to nothing before the segment lowest, and
// returns where it is.
func (l *Log) Frame(payload []byte, lowest uint32) (Place, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.append(kindFrame, payload, lowest)
}

func (l *Log) append(kind uint32, payload []byte, lowest uint32) (Place, error) {
	s, err := l.room(len(payload))
	if err != nil {
		return Place{}, err
	}
	copy(s.data[s.end+recordHead:], payload)
	at := Place{s.number, s.end + recordHead}
	if lowest != 0 {
		s.lowest = min(s.lowest, lowest)
	}
	l.appended += int64(recordSize(len(payload)))
	s.finish(kind, len(payload))
	return at, nil
}

// room returns the last segment, in which a record of that payload fits. The
// caller holds mu.
func (l *Log) room(payload int) (*segment, error) {
	switch {
	case l.failure != nil:
		return nil, l.failure
	case !l.writable:
		return nil, ErrClosed
	case payload > maxPayload:
		return nil, fmt.Errorf("disk: %s: a record of %d bytes is too large", l.cfg.Dir, payload)
	}
	last := l.segs[len(l.segs)-1]
	if last.has(payload) {
		return last, nil
	}
	next, err := createSegment(l.cfg.Dir, l.cfg.Identity, last.number+1, l.sizeFor(payload))
	if err != nil {
		l.fail(err)
		return nil, l.failure
	}
	last.finish(kindSeal, 0)
	l.add(next)
	return next, nil
}

// sizeFor returns the size of a segment that a record of that payload fits in.
func (l *Log) sizeFor(payload int) uint32 {
	return max(l.cfg.SegmentSize, uint32(headerSize+recordSize(payload)+recordHead))
}

// fail makes the log refuse everything from now on: after an error nobody knows
// what of the latest writes is on the disk. The caller holds mu.
func (l *Log) fail(err error) {
	if l.failure == nil {
		l.failure = fmt.Errorf("disk: %w", err)
		close(l.broken)
	}
}

// Broken is closed when the log cannot go on; Failure then says why.
func (l *Log) Broken() <-chan struct{} { return l.broken }

// Failure returns why the log cannot go on, nil while it can.
func (l *Log) Failure() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.failure
}

// Appended returns how many bytes have been appended since the log was opened.
func (l *Log) Appended() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.appended
}

// Close ends appending. Documents that were handed out stay readable.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writable = false
	for _, s := range l.segs {
		s.closeFile()
	}
}

func (s *segment) closeFile() {
	if s.file != nil {
		_ = s.file.Close() // what matters has been synced
		s.file = nil
	}
}

// discard removes what the disk is not to have. An error means that it may
// still be there.
func discard(dir string, paths []string) error {
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	if len(paths) == 0 {
		return nil
	}
	return syncDir(dir)
}
