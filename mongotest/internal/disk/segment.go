package disk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync/atomic"
	"unsafe"
)

// A segment's header, in little endian:
//
//	0   magic
//	8   number of the segment
//	16  identity of the log
//	32  checksum of what is before it
//	40  how far the segment has been synced, and its complement
const (
	magic       = "SFsegm01"
	headerSum   = 32
	headerSync  = 40
	headerSize  = 48
	segmentMode = 0o600
	segmentExt  = ".segment"
	partialExt  = ".partial" // a segment whose header is not yet complete
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A segment is one mapped file of the log.
type segment struct {
	number uint32
	path   string
	file   *os.File // nil once everything is synced and nothing will follow
	data   []byte   // the mapping
	seed   uint32   // of the records' checksums
	end    uint32   // where the next record goes
	synced uint32   // what is before it is on the disk
	lowest uint32   // the oldest segment that a frame in this one refers to
}

func segmentPath(dir string, number uint32) string {
	return filepath.Join(dir, fmt.Sprintf("%08d%s", number, segmentExt))
}

// createSegment makes an empty segment, durable with its directory entry before
// it returns: a file of that name always has a good header.
func createSegment(dir string, id Identity, number, size uint32) (_ *segment, err error) {
	path := segmentPath(dir, number)
	partial := path + partialExt
	f, err := os.OpenFile(partial, os.O_RDWR|os.O_CREATE|os.O_TRUNC, segmentMode)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_, _ = f.Close(), os.Remove(partial) // err says more
		}
	}()
	// A mapping of a file that the disk has no room for would kill the process.
	if err := allocate(f, int64(size)); err != nil {
		return nil, fmt.Errorf("%s: %w", partial, err)
	}
	var head [headerSize]byte
	copy(head[:], magic)
	binary.LittleEndian.PutUint32(head[8:], number)
	copy(head[16:], id[:])
	binary.LittleEndian.PutUint32(head[headerSum:], crc32.Checksum(head[:headerSum], castagnoli))
	binary.LittleEndian.PutUint64(head[headerSync:], syncMark(headerSize))
	if _, err := f.WriteAt(head[:], 0); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	if err := os.Rename(partial, path); err != nil {
		return nil, err
	}
	if err := syncDir(dir); err != nil {
		return nil, err
	}
	s := &segment{number: number, path: path, file: f, end: headerSize, synced: headerSize, lowest: number}
	return s, s.load(id, int64(size))
}

// openSegment maps an existing segment and checks its header.
func openSegment(dir string, id Identity, number uint32) (_ *segment, err error) {
	s := &segment{number: number, path: segmentPath(dir, number), lowest: number}
	if s.file, err = os.OpenFile(s.path, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	info, err := s.file.Stat()
	if err == nil {
		err = s.load(id, info.Size())
	}
	if err != nil {
		_ = s.file.Close() // err says more
		return nil, err
	}
	return s, nil
}

// load maps the file and reads its header.
func (s *segment) load(id Identity, size int64) error {
	if size < headerSize || size > maxSegment {
		return s.damaged(0, "its size is %d bytes", size)
	}
	var err error
	if s.data, err = mapFile(s.file, int(size)); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	if err := s.checkHeader(id); err != nil {
		_ = unmap(s.data) // err says more
		return err
	}
	s.seed = crc32.Checksum(s.data[8:headerSum], castagnoli)
	return nil
}

func (s *segment) checkHeader(id Identity) error {
	head := s.data[:headerSize]
	switch {
	case string(head[:6]) == magic[:6] && string(head[:8]) != magic:
		return s.refuse("it has a format that this version does not know: open it with the version that wrote it")
	case string(head[:8]) != magic || binary.LittleEndian.Uint32(head[headerSum:]) != crc32.Checksum(head[:headerSum], castagnoli):
		return s.damaged(0, "its header is not one")
	case Identity(head[16:32]) != id:
		return s.refuse("it belongs to another cluster: put it back where it came from")
	case binary.LittleEndian.Uint32(head[8:]) != s.number:
		return s.damaged(0, "its header says that it is segment %d", binary.LittleEndian.Uint32(head[8:]))
	}
	mark := atomic.LoadUint64(s.mark())
	if s.synced = uint32(mark); mark != syncMark(s.synced) || s.synced < headerSize || int64(s.synced) > int64(len(s.data)) {
		return s.damaged(headerSync, "its header is not one")
	}
	return nil
}

// mark is the word of the header that says how far the segment is synced. One
// word, so that no kill leaves half of it.
func (s *segment) mark() *uint64 { return (*uint64)(unsafe.Pointer(&s.data[headerSync])) }

func syncMark(end uint32) uint64 { return uint64(end) | uint64(^end)<<32 }

// setSynced notes that what is before end is on the disk. The note itself
// reaches the disk with the next sync.
func (s *segment) setSynced(end uint32) {
	s.synced = end
	atomic.StoreUint64(s.mark(), syncMark(end))
}

// damaged is the error of a file that does not say what was written to it.
func (s *segment) damaged(at uint32, format string, args ...any) error {
	return &DamageError{Path: s.path, Offset: int64(at), Reason: fmt.Sprintf(format, args...)}
}

func (s *segment) refuse(reason string) error {
	return &RefusedError{Path: s.path, Reason: reason}
}

// addr is where the mapping begins.
func (s *segment) addr() uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(s.data))) }
