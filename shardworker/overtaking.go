package shardworker

import "github.com/shardferry/shardferry"

// An activeBatch is a copy batch from before it is read until nothing it brings
// can be older than what a lane wrote. While it is recorded, the ledger notes
// the key of every event of its collection that is handed to a lane.
type activeBatch struct {
	uuid      shardferry.UUID
	readAt    shardferry.ClusterTime // the batch is read at this cluster time or later
	recording bool
	// overtaken are hashes of the _ids with an event handed since readAt. Under a
	// collation the hash is of this very _id all the same: as long as the document
	// that was read exists, no other one has an _id that is held for equal.
	overtaken map[uint64]struct{}
	hold      uint64
}

// startBatch registers a batch before it is read. It returns a channel to wait
// on instead when a barrier stands or the collection is not known, and no
// target when the collection is dropped or the task is not this worker's any more.
func (l *ledger) startBatch(t shardferry.CopyTask) (b *activeBatch, coll *shardferry.Collection, wait <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	uuid := t.UUID
	coll = l.target(uuid)
	switch {
	case !l.assigned(t.ID):
		return nil, nil, nil
	case l.moving():
		return nil, nil, l.replaced
	case coll == nil || !l.mayCopy(uuid):
		return nil, nil, l.replaced
	case !coll.Synced():
		return nil, nil, nil
	}
	// Not before anything a lane may have written, so that an image can only be
	// older than events that are recorded from here on.
	readAt := shardferry.LaterOf(t.After, shardferry.LaterOf(l.handed, l.frontier.seen))
	b = &activeBatch{
		uuid: uuid, readAt: readAt, recording: true,
		overtaken: map[uint64]struct{}{},
		hold:      l.frontier.hold(readAt),
	}
	l.active[b] = struct{}{}
	return b, coll, nil
}

// record notes an event that is about to be handed to a lane in the batches it
// may overtake. The caller holds the lock.
func (l *ledger) record(uuid shardferry.UUID, hash uint64) {
	for b := range l.active {
		if b.recording && b.uuid == uuid {
			b.overtaken[hash] = struct{}{}
		}
	}
}

// landed notes that images of b not newer than t are on the destination, and
// returns the keys that were overtaken. With more set, further images of the
// same read follow and recording goes on.
func (l *ledger) landed(b *activeBatch, t shardferry.ClusterTime, more bool) map[uint64]struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.images.copied[b.uuid] = shardferry.LaterOf(l.images.copied[b.uuid], t)
	keys := make(map[uint64]struct{}, len(b.overtaken))
	for k := range b.overtaken {
		keys[k] = struct{}{}
	}
	b.recording = more
	return keys
}

// release ends a batch: it lets the frontier pass and a barrier be reached.
func (l *ledger) release(b *activeBatch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.active[b]; !ok {
		return
	}
	delete(l.active, b)
	l.frontier.release(b.hold)
	l.hurryIfAwaited()
}

// mustReread reports whether the delta of ev may meet an image that is newer
// than it: one put by a former epoch, or one copied. Such a delta could change
// the order of fields. The caller holds the lock.
func (l *ledger) mustReread(ev event) bool {
	return ev.kind == kindUpdate && (!ev.time.After(l.images.horizon) || !ev.time.After(l.images.copied[ev.uuid]))
}

// handedUpTo returns the time of the last event handed to a lane: nothing that a
// lane of this worker has written because of an event is later.
func (l *ledger) handedUpTo() shardferry.ClusterTime {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.handed
}

// foreign notes that a lane is about to put an image, not newer than t, of a
// document that another lane may have older events of.
func (l *ledger) foreign(uuid shardferry.UUID, t shardferry.ClusterTime) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.images.copied[uuid] = shardferry.LaterOf(l.images.copied[uuid], t)
}

// mayBeNewer reports whether images not older than t were put by others than
// the lane of their key.
func (l *ledger) mayBeNewer(uuid shardferry.UUID, t shardferry.ClusterTime) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !t.After(l.images.copied[uuid])
}
