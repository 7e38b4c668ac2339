package disk

// Sync returns once everything appended before the call is on the disk. Calls
// at the same time share the work.
func (l *Log) Sync() error {
	l.mu.RLock()
	dirty, target := l.unsynced()
	l.mu.RUnlock()
	if target == (Place{}) {
		return l.Failure()
	}
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.RLock()
	done := l.isSynced(target)
	if !done {
		dirty, _ = l.unsynced()
	}
	failure := l.failure
	l.mu.RUnlock()
	if done || failure != nil {
		return failure
	}
	for _, d := range dirty { // oldest first: a synced segment has synced ones before it
		if err := d.seg.file.Sync(); err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.fail(err)
			return l.failure
		}
		l.mu.Lock()
		d.seg.setSynced(d.end)
		if d.sealed {
			d.seg.closeFile()
		}
		l.mu.Unlock()
	}
	return nil
}

// A dirty segment has been appended to since it was synced.
type dirty struct {
	seg    *segment
	end    uint32
	sealed bool
}

// unsynced returns the dirty segments and the end of the log, the zero Place if
// there are none. The caller holds mu.
func (l *Log) unsynced() ([]dirty, Place) {
	if !l.writable {
		return nil, Place{}
	}
	var out []dirty
	for i := len(l.segs) - 1; i >= 0; i-- {
		s := l.segs[i]
		if s.synced < s.end {
			out = append([]dirty{{s, s.end, i+1 < len(l.segs)}}, out...)
		} else if i+1 < len(l.segs) {
			break // those before it are synced too
		}
	}
	if len(out) == 0 {
		return nil, Place{}
	}
	last := l.segs[len(l.segs)-1]
	return out, Place{last.number, last.end}
}

// isSynced reports whether what is before p is on the disk. The caller holds mu.
func (l *Log) isSynced(p Place) bool {
	for _, s := range l.segs {
		if s.number < p.Segment && s.synced < s.end || s.number == p.Segment && s.synced < p.Offset {
			return false
		}
	}
	return true
}
