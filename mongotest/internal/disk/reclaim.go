package disk

import "encoding/binary"

// A retired segment is gone from the log, but somebody may still have documents
// of it.
type retired struct{ data []byte }

// A Segment describes one segment of the log.
type Segment struct {
	Number uint32
	Bytes  int64  // of its records
	Size   int64  // of its file
	Lowest uint32 // the oldest segment that its frames refer to
}

// Segments returns the segments of the log, oldest first. The last one is being
// appended to.
func (l *Log) Segments() []Segment {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make([]Segment, len(l.segs))
	for i, s := range l.segs {
		out[i] = Segment{Number: s.number, Bytes: int64(s.end - headerSize), Size: int64(len(s.data)), Lowest: s.lowest}
	}
	return out
}

// A Blob is a document as it was appended.
type Blob struct {
	Owner, ID uint64
	Doc       []byte
}

// Blobs returns the documents in a segment that is not the last one.
func (l *Log) Blobs(number uint32) []Blob {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.segs) == 0 || number < l.segs[0].number || number >= l.segs[len(l.segs)-1].number {
		return nil
	}
	s := l.segs[number-l.segs[0].number]
	var out []Blob
	for at := uint32(headerSize); at < s.end; {
		word := binary.LittleEndian.Uint32(s.data[at:])
		size := word & maxPayload
		if word>>kindShift == kindBlob {
			p := s.data[at+recordHead : at+recordHead+size : at+recordHead+size]
			out = append(out, Blob{binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:]), p[blobHead:]})
		}
		at += uint32(recordSize(int(size)))
	}
	return out
}

// Retire takes the segments before first out of the log and gives their space
// back. Nothing alive may be in them. Their mappings stay until Unmap.
func (l *Log) Retire(first uint32) error {
	l.mu.Lock()
	if len(l.segs) == 0 || first <= l.segs[0].number || first > l.segs[len(l.segs)-1].number {
		l.mu.Unlock()
		return nil
	}
	_, err := l.append(kindFirst, binary.LittleEndian.AppendUint32(nil, first), 0)
	l.mu.Unlock()
	if err == nil {
		err = l.Sync() // before the files go, or opening would miss them
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first = first
	var paths []string
	for l.segs[0].number < first {
		s := l.segs[0]
		s.closeFile()
		paths = append(paths, s.path)
		l.retired = append(l.retired, retired{s.data})
		l.segs = l.segs[1:]
	}
	l.sortAddresses()
	if err := discard(l.cfg.Dir, paths); err != nil {
		l.fail(err)
		return l.failure
	}
	return nil
}

// Unmap forgets the segments that have been retired. Nobody has documents of
// them any more.
func (l *Log) Unmap() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.retired) > 0 {
		if err := unmap(l.retired[0].data); err != nil {
			return err
		}
		l.retired = l.retired[1:]
	}
	return nil
}
