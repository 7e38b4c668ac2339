package shardworker

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/keyhash"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// A copier runs copy tasks one after the other. While it writes one batch it
// reads the next.
type copier struct {
	ledger *ledger
	tasks  *taskBoard
	lanes  []*lane
	from   finder
	writer *writer
	keys   keyer
	again  mongoconn.Retrier

	resync     *resyncer
	copies     *account
	batchDocs  int
	batchBytes int
	progressed func() // asks for a report soon
}

// run takes tasks until ctx ends.
func (c *copier) run(ctx context.Context) error {
	for {
		t, added := c.tasks.take()
		if added != nil {
			select {
			case <-added:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			continue
		}
		if err := c.copyTask(ctx, t); err != nil {
			return fmt.Errorf("copy task %d: %w", t.ID, err)
		}
	}
}

// copyTask reads batches and writes them, in order. It returns early, without a
// word, when the collection is dropped.
func (c *copier) copyTask(ctx context.Context, t shardferry.CopyTask) error {
	if t.Resync {
		if err := c.resync.begin(ctx); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	batches := make(chan *batch) // one is written, one waits here
	s := newBatchReader(c, t)
	g.Go(func() error {
		defer close(batches)
		return s.run(ctx, batches)
	})
	g.Go(func() error {
		progress := shardferry.TaskProgress{ID: t.ID, Resume: t.Resume, Docs: t.Docs, Bytes: t.Bytes}
		for b := range batches {
			if t.Resync && b.last && !b.broken {
				err := c.resync.compare(ctx, b, c.batchDocs, func(ctx context.Context, wrong []keyed) error { return c.repair(ctx, b, wrong) })
				if err != nil {
					return err
				}
			}
			if err := c.land(ctx, b, &progress); err != nil {
				return err
			}
			c.copies.release(b.held)
		}
		return nil
	})
	return g.Wait()
}

// land writes a batch, repairs what was overtaken, and notes the progress.
func (c *copier) land(ctx context.Context, b *batch, progress *shardferry.TaskProgress) error {
	retry, err := c.insert(ctx, b)
	if err != nil {
		return err
	}
	shardferry.Reached(ctx, shardferry.CopyLanded)
	overtaken := c.ledger.landed(b.active, b.upTo, !b.last)
	for i := range b.docs {
		if _, ok := overtaken[keyhash.ID(idOf(b.docs[i]))]; ok {
			retry = append(retry, i)
		}
	}
	var again []keyed
	once := map[int]bool{}
	for _, i := range retry {
		if !once[i] {
			once[i] = true
			again = append(again, keyed{key: documentKey(b.index, b.docs[i]), doc: b.docs[i]})
		}
	}
	if err := c.repair(ctx, b, again); err != nil {
		return err
	}
	shardferry.Reached(ctx, shardferry.CopyRepaired)
	if b.last {
		c.ledger.release(b.active)
	}
	if b.restart {
		progress.Docs, progress.Bytes = 0, 0
	}
	progress.Docs += int64(b.fresh)
	progress.Bytes += int64(b.size)
	progress.Done = b.end
	if b.resume != nil {
		progress.Resume = b.resume
	}
	if b.end {
		c.ledger.copied(b.coll.UUID)
	}
	c.tasks.advance(*progress)
	shardferry.Reached(ctx, shardferry.CopyNoted)
	if b.end {
		shardferry.Reached(ctx, shardferry.CopyDone)
	}
	c.progressed()
	return nil
}

// insert writes the documents of a batch. Those that exist stay as they are: a
// later image came with an event or a repair. It returns which documents have to
// be repaired.
func (c *copier) insert(ctx context.Context, b *batch) (repair []int, err error) {
	for _, cmd := range b.inserts() {
		bytes, start := cmd.build(b)
		res, err := c.writer.write(ctx, b.coll.Destination.DB, bytes, start)
		if err != nil {
			return nil, err
		}
		for _, e := range res.errors {
			if !c.settled(b, e) {
				repair = append(repair, cmd.from+e.index)
			}
		}
		if b.coll.Capped && len(res.errors) > 0 {
			// Ordered, so the first error ended it: go on after that document.
			more, err := c.insertRest(ctx, b, cmd.from+res.errors[0].index+1, cmd.to)
			if err != nil {
				return nil, err
			}
			repair = append(repair, more...)
		}
	}
	return repair, nil
}

// insertRest inserts documents of a capped collection one by one, in order.
func (c *copier) insertRest(ctx context.Context, b *batch, from, to int) (repair []int, err error) {
	for i := from; i < to; i++ {
		bytes, start := insertCommand{from: i, to: i + 1}.build(b)
		res, err := c.writer.write(ctx, b.coll.Destination.DB, bytes, start)
		if err != nil {
			return nil, err
		}
		for _, e := range res.errors {
			if !c.settled(b, e) {
				repair = append(repair, i)
			}
		}
	}
	return repair, nil
}

// settled reports whether a document whose insert failed is on the destination
// for certain: its _id is taken, and on the source an _id names one document, as
// does one that is held for equal under the collection's collation: which of
// them it is now is said by events to come. Where the shard key is another one,
// the _id may be taken by a document that has just left another shard.
func (c *copier) settled(b *batch, e statementError) bool {
	if e.code != mongoconn.CodeDuplicateKey {
		return false
	}
	return onlyID(b.index) && (len(e.keyPattern) == 0 || onlyID(e.keyPattern))
}

// repair has documents read again, each in its lane, and waits until that is
// done.
func (c *copier) repair(ctx context.Context, b *batch, which []keyed) error {
	landed := make(chan struct{}, len(which))
	for _, k := range which {
		j := newJob(b.coll, event{kind: kindPut, time: b.active.readAt, key: k.key, body: k.doc})
		j.done = func() { landed <- struct{}{} }
		if err := c.lanes[j.hash%uint64(len(c.lanes))].send(ctx, j); err != nil {
			return err
		}
	}
	for range which {
		select {
		case <-landed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
