package changestream

import (
	"context"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/release"
)

// maxRemoteWait bounds how long one shard is waited for when there are several,
// so that idle shards keep reporting how far they have got.
const maxRemoteWait = time.Second

// A Merge is a change stream over several shards: a cursor of a mongos, used by
// one goroutine at a time.
//
// An event is returned once no shard can still send an earlier one: its token
// is not later than the postBatchResumeToken of any shard. The slowest shard
// therefore holds up all of them.
type Merge struct {
	remotes []*remote
	tail    *tail
	queue   []output // for the client
	mark    mark
	start   bson.Raw // what a shard promises before its first answer: nothing before it

	closed bool
	err    error
}

// NewMerge validates the user's stages and returns the merged stream. The spec
// must have its Start (see Spec.StartingAt) and be the one that the remotes
// were opened with, but for NeedsMerge.
func NewMerge(remotes []Remote, spec Spec, userStages []bson.Raw, version release.Version) (*Merge, error) {
	f := featuresOf(version)
	start := spec.startToken(f)
	m := &Merge{mark: startMark(start, f), start: start.BSON()}
	var err error
	if m.tail, err = newTail(spec, userStages); err != nil {
		return nil, err
	}
	for _, r := range remotes {
		m.Add(r)
	}
	return m, nil
}

// Add adds the stream of a shard that joined the cluster. It must start at the
// time it joined. Call it between two calls of Next.
func (m *Merge) Add(r Remote) {
	m.remotes = append(m.remotes, newRemote(r, m.start))
}

// Next is Stream.Next for the merged stream. The error of any remote is the
// error of the merged stream.
func (m *Merge) Next(ctx context.Context, maxDocs, maxBytes int, wait time.Duration) (docs []bson.Raw, pbrt bson.Raw, closed bool, err error) {
	if m.err != nil {
		return nil, nil, false, m.err
	}
	b := newBatch(maxDocs, maxBytes)
	deadline := time.Now().Add(wait)
	more := true // ask for what is there already before waiting for anything
	for !m.closed && m.err == nil {
		if m.err = m.drain(ctx, b); m.err != nil {
			break
		}
		m.closed = b.last || m.ended()
		if b.done() || m.closed {
			break
		}
		remaining := time.Until(deadline)
		if remaining <= 0 && !more {
			break
		}
		if more, err = m.fetch(ctx, m.roundWait(more, remaining)); err != nil {
			if ctx.Err() != nil {
				return nil, nil, false, context.Cause(ctx)
			}
			m.err = err
		}
	}
	if m.err != nil && !b.done() {
		return nil, nil, false, m.err
	}
	return b.docs, m.mark.bson(), m.closed, nil
}

// PBRT returns the postBatchResumeToken without reading further.
func (m *Merge) PBRT() bson.Raw { return m.mark.bson() }

// ended reports whether no shard will send anything more.
func (m *Merge) ended() bool {
	for _, r := range m.remotes {
		if !r.closed || len(r.docs) > 0 {
			return false
		}
	}
	return len(m.remotes) > 0
}

// roundWait returns how long the shards may wait in the next round: not at all
// as long as they have something.
func (m *Merge) roundWait(more bool, remaining time.Duration) time.Duration {
	switch {
	case more || remaining < 0:
		return 0
	case len(m.remotes) > 1:
		return min(remaining, maxRemoteWait)
	}
	return remaining
}

// drain moves the events that are ready to the batch. If it runs out of them the
// stream has got as far as the slowest shard promises.
func (m *Merge) drain(ctx context.Context, b *batch) error {
	for {
		if m.queue = b.take(m.queue, &m.mark); len(m.queue) > 0 || b.isFull() {
			return nil
		}
		slowest := m.slowest()
		e, ok := m.pop(slowest)
		if !ok {
			if slowest != nil {
				m.mark.promised(slowest.pbrt)
			}
			return nil
		}
		var err error
		if m.queue, err = m.tail.push(ctx, m.queue, e); err != nil {
			return err
		}
	}
}

// slowest returns the remote with the least promise, nil if all have ended.
func (m *Merge) slowest() *remote {
	var least *remote
	for _, r := range m.remotes {
		if !r.closed && (least == nil || r.promise < least.promise) {
			least = r
		}
	}
	return least
}

// pop takes the first event of all, if every shard has promised to send nothing
// before it.
func (m *Merge) pop(slowest *remote) (event, bool) {
	var head *remote
	for _, r := range m.remotes {
		if len(r.docs) > 0 && (head == nil || r.keys[0] < head.keys[0]) {
			head = r
		}
	}
	if head == nil || slowest != nil && head.keys[0] > slowest.promise {
		return event{}, false
	}
	return head.pop(), true
}

// fetch asks the shards whose events are used up for more, all at once, and
// returns when the last has answered: whether any event has come.
func (m *Merge) fetch(ctx context.Context, wait time.Duration) (more bool, err error) {
	if len(m.remotes) == 0 {
		return false, sleep(ctx, wait)
	}
	var asked []*remote
	for _, r := range m.remotes {
		if !r.closed && len(r.docs) == 0 {
			asked = append(asked, r)
		}
	}
	var answers sync.WaitGroup
	errs := make([]error, len(asked))
	for i, r := range asked {
		answers.Go(func() { errs[i] = r.fetch(ctx, wait) })
	}
	answers.Wait()
	for i, r := range asked {
		if errs[i] != nil {
			return false, errs[i]
		}
		more = more || len(r.docs) > 0
	}
	return more, nil
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
