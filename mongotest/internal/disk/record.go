package disk

import (
	"encoding/binary"
	"hash/crc32"
)

// A record is a word with its kind and the size of its payload, a word with the
// checksum, and the payload, padded to 8 bytes. The word zero is the end.
const (
	recordHead  = 8
	recordAlign = 8
	kindShift   = 29
	maxPayload  = 1<<kindShift - 1
)

// The kinds of records.
const (
	kindBlob  uint32 = 1 // owner, id, document
	kindFrame uint32 = 2
	kindSeal  uint32 = 3 // nothing follows in this segment
	kindFirst uint32 = 4 // the number of the first segment that is needed
)

// blobHead is what a blob has before its document: its owner and id.
const blobHead = 16

// recordSize is what a record takes in a segment.
func recordSize(payload int) int {
	return (recordHead + payload + recordAlign - 1) &^ (recordAlign - 1)
}

// checksum covers the kind, size and place of a record besides its payload.
func (s *segment) checksum(word, at uint32, payload []byte) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint32(b[:], word)
	binary.LittleEndian.PutUint32(b[4:], at)
	return crc32.Update(crc32.Update(s.seed, castagnoli, b[:]), castagnoli, payload)
}

// finish makes the size bytes of payload that are already at their place a
// record.
func (s *segment) finish(kind uint32, size int) {
	at := s.end
	word := kind<<kindShift | uint32(size)
	payload := s.data[at+recordHead : int(at)+recordHead+size]
	binary.LittleEndian.PutUint32(s.data[at+4:], s.checksum(word, at, payload))
	binary.LittleEndian.PutUint32(s.data[at:], word)
	s.end += uint32(recordSize(size))
}

// has reports whether a record of that payload fits in, and a seal after it.
func (s *segment) has(payload int) bool {
	return int(s.end)+recordSize(payload)+recordHead <= len(s.data)
}

// record returns the record at an offset. next is where the one after it
// begins; ok is false where there is no valid record.
func (s *segment) record(at uint32) (kind uint32, payload []byte, next uint32, ok bool) {
	if int(at)+recordHead > len(s.data) {
		return 0, nil, 0, false
	}
	word := binary.LittleEndian.Uint32(s.data[at:])
	kind, size := word>>kindShift, int(word&maxPayload)
	if kind == 0 || int(at)+recordSize(size) > len(s.data) {
		return 0, nil, 0, false
	}
	payload = s.data[at+recordHead : int(at)+recordHead+size : int(at)+recordHead+size]
	if binary.LittleEndian.Uint32(s.data[at+4:]) != s.checksum(word, at, payload) || kind == kindBlob && size < blobHead {
		return 0, nil, 0, false
	}
	return kind, payload, at + uint32(recordSize(size)), true
}
