package shardworker

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/keyhash"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// firstDocs is the size of the first batch of a task, before it is known how
// large its documents are.
const firstDocs = 100

// A batch is documents of a copy task that are read and written together.
type batch struct {
	active *activeBatch
	coll   *shardferry.Collection
	index  bson.Raw
	docs   []bson.Raw
	upTo   shardferry.ClusterTime // no document is newer
	from   bson.Raw               // the key it begins at, nil: the start
	upper  bson.Raw               // the key that the next one begins at, nil: the end; set on the last of an active batch
	resume bson.Raw               // where to go on once it has landed, nil if that has not moved
	fresh  int                    // documents that the task's totals do not have yet
	size   int                    // their bytes
	last   bool                   // of its active batch
	held   int64                  // bytes of the account of copies
	broken bool                   // nothing but the end of an active batch whose cursor broke
	end    bool                   // of the task
	// restart says that the task was begun again from its start.
	restart bool
}

// A batchReader reads the batches of one task in index order. A batch is one
// find that starts at the key at which the one before ended: that document comes
// twice and is left out. Where a run of equal keys is longer than a batch, one
// cursor reads on to the end of the run.
type batchReader struct {
	from   finder
	ledger *ledger
	task   shardferry.CopyTask
	again  mongoconn.Retrier

	at   bson.Raw            // key to go on from, nil: from the start
	tail map[string]struct{} // documentKeys at that key that have been read
	docs int                 // of the next batch

	batchDocs  int
	batchBytes int
	copies     *account
	claim      int64              // what a batch is expected to take
	patience   mongoconn.Patience // with cursors that break
	under      string             // name of a capped collection that was renamed on the source, else empty
}

func newBatchReader(c *copier, t shardferry.CopyTask) *batchReader {
	return &batchReader{
		from: c.from, ledger: c.ledger, task: t, at: t.Resume,
		docs: min(firstDocs, c.batchDocs), batchDocs: c.batchDocs, batchBytes: c.batchBytes,
		copies: c.copies, claim: largestReply,
		again: c.again, patience: mongoconn.Patience{Limit: c.again.GiveUpAfter},
	}
}

// run gives batches to out until the task ends, the collection is dropped or ctx
// ends.
func (r *batchReader) run(ctx context.Context, out chan<- *batch) error {
	run := naturalOrder(r.task.Index)
	for {
		active, coll, wait := r.ledger.startBatch(r.task)
		if wait != nil {
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if active == nil {
			return nil // dropped, or another shard's
		}
		shardferry.Reached(ctx, shardferry.CopyOpened)
		got, err := r.read(ctx, active, coll, run, out)
		switch {
		case err != nil:
			if err := r.interrupted(ctx, err); err != nil {
				return err
			}
		case got == taskEnded:
			return nil
		default:
			run = got == runTooLong
			r.patience.Progress()
		}
	}
}

type outcome uint8

const (
	keyMoved outcome = iota
	runTooLong
	taskEnded
)

// interrupted waits after an error that may pass: the collection is not under its
// name, and the schema change that tells what became of it is on its way, or the
// cursor broke. It returns any other error.
//
// A capped collection is read on under its new name: its events, which stand
// before the change of name, wait for the end of the copy.
func (r *batchReader) interrupted(ctx context.Context, err error) error {
	if mongoconn.IsCode(err, mongoconn.CodeCollectionUUIDMismatch) {
		if name := actualCollection(err); name != "" && name != r.under && naturalOrder(r.task.Index) {
			r.under = name
			return nil
		}
		r.ledger.copied(r.task.UUID) // dropped, and that stands behind its events
	} else if err := r.patience.Again(err); err != nil {
		return err
	}
	_, replaced := r.ledger.assignment()
	pause := time.NewTimer(time.Second)
	defer pause.Stop()
	select {
	case <-replaced:
	case <-pause.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// read reads one active batch and sees to it that it is released: a single find,
// or with run set a cursor that goes on until the key moves.
func (r *batchReader) read(ctx context.Context, active *activeBatch, coll *shardferry.Collection, run bool, out chan<- *batch) (outcome, error) {
	limit := r.docs
	held, err := r.copies.acquire(ctx, r.claim)
	if err != nil {
		r.ledger.release(active)
		return 0, err
	}
	cur, docs, err := r.open(ctx, active, coll, run)
	if err != nil {
		r.ledger.release(active)
		r.copies.release(held)
		return 0, err
	}
	defer cur.close(ctx)
	restart := naturalOrder(r.task.Index)
	for {
		shardferry.Reached(ctx, shardferry.CopyRead)
		end := cur.exhausted() && (run || len(docs) < limit)
		if !run && !end && !r.moves(docs) {
			r.ledger.release(active)
			r.copies.release(held)
			return runTooLong, nil
		}
		b := r.batch(active, coll, docs, cur.clock())
		b.held = r.took(held, docs)
		b.end, b.last, b.restart = end, end || !run || b.resume != nil, restart
		if b.upper = b.resume; end {
			b.upper = r.task.Max
		}
		restart = false
		if err := send(ctx, out, b); err != nil {
			return 0, err
		}
		switch {
		case end:
			return taskEnded, nil
		case b.last:
			return keyMoved, nil
		}
		if held, err = r.copies.acquire(ctx, r.claim); err != nil {
			return 0, err
		}
		docs, err = nextBatch(ctx, cur, r.ledger.filters.readTimeout(coll))
		if err != nil {
			r.copies.release(held)
			// Released in its turn: what was sent is still being written.
			return 0, errors.Join(err, send(ctx, out, &batch{active: active, coll: coll, index: r.task.Index, last: true, broken: true}))
		}
	}
}

// took corrects the claim of a batch that was read, and that of the next.
func (r *batchReader) took(held int64, docs []bson.Raw) int64 {
	var size int64
	for _, d := range docs {
		size += int64(len(d))
	}
	r.copies.resize(held, size)
	r.claim = min(max(2*size, int64(r.batchBytes)), largestReply)
	return size
}

func (r *batchReader) open(ctx context.Context, active *activeBatch, coll *shardferry.Collection, run bool) (cur cursor, docs []bson.Raw, err error) {
	err = r.again.Do(ctx, "copy from "+coll.Source.String(), func(ctx context.Context) error {
		attempt, cancel := context.WithTimeout(ctx, r.ledger.filters.readTimeout(coll))
		defer cancel()
		cur, err = r.from.find(attempt, coll.Source.DB, r.find(active, coll, run), r.docs)
		if err != nil {
			return err
		}
		if docs, err = cur.batch(attempt); err != nil {
			cur.close(ctx)
		}
		return err
	})
	return cur, docs, err
}

func nextBatch(ctx context.Context, cur cursor, limit time.Duration) ([]bson.Raw, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return cur.batch(ctx)
}

func send(ctx context.Context, out chan<- *batch, b *batch) error {
	select {
	case out <- b:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// moves reports whether documents end at another key than they began at.
func (r *batchReader) moves(docs []bson.Raw) bool {
	return r.at == nil || (len(docs) > 0 && keyhash.Key(r.key(docs[len(docs)-1])) != keyhash.Key(r.at))
}

// batch takes what was read, without the documents that were read before.
func (r *batchReader) batch(active *activeBatch, coll *shardferry.Collection, docs []bson.Raw, upTo shardferry.ClusterTime) *batch {
	b := &batch{active: active, coll: coll, index: r.task.Index, upTo: upTo, from: r.task.Min}
	if r.at != nil {
		b.from = r.at
	}
	total := 0
	for _, d := range docs {
		total += len(d)
		if _, again := r.tail[string(documentKey(r.task.Index, d))]; again {
			if r.task.Resync {
				b.docs = append(b.docs, d) // compared with all that begins at its key
			}
			continue
		}
		b.docs = append(b.docs, d)
		if r.tail == nil && r.at != nil && keyhash.Key(r.key(d)) == keyhash.Key(r.at) {
			continue // counted before the task was taken up again
		}
		b.fresh++
		b.size += len(d)
	}
	if len(docs) > 0 {
		r.docs = max(2, min(r.batchDocs, r.batchBytes/(total/len(docs)+1)))
		r.advance(b, docs)
	}
	return b
}

// advance moves on to the key of the last document, unless it is the key the
// batch began at.
func (r *batchReader) advance(b *batch, docs []bson.Raw) {
	if naturalOrder(r.task.Index) {
		return
	}
	key := r.key(docs[len(docs)-1])
	hash := keyhash.Key(key)
	if r.moves(docs) {
		b.resume, r.at, r.tail = key, key, map[string]struct{}{}
	}
	if r.tail == nil {
		r.tail = map[string]struct{}{}
	}
	for i := len(docs) - 1; i >= 0 && keyhash.Key(r.key(docs[i])) == hash; i-- {
		r.tail[string(documentKey(r.task.Index, docs[i]))] = struct{}{}
	}
}

func (r *batchReader) key(doc bson.Raw) bson.Raw { return keyhash.ExtractKey(doc, r.task.Index) }

// find builds the command: bounds by index order, so that no type of value is
// left out, at or after the cluster time of the batch.
func (r *batchReader) find(active *activeBatch, coll *shardferry.Collection, run bool) bson.Raw {
	return build(func(dst []byte) []byte {
		dst = bsoncore.AppendStringElement(dst, "find", cmp.Or(r.under, coll.Source.Coll))
		if f := r.ledger.filters.of(coll); f != nil {
			dst = bsoncore.AppendDocumentElement(dst, "filter", f)
		}
		from := r.task.Min
		if r.at != nil {
			from = r.at
		}
		if len(from) > 0 {
			dst = bsoncore.AppendDocumentElement(dst, "min", from)
		}
		if !toTheEnd(r.task.Max) {
			dst = bsoncore.AppendDocumentElement(dst, "max", r.task.Max)
		}
		dst = bsoncore.AppendDocumentElement(dst, "hint", r.task.Index)
		if sortable(r.task.Index) {
			dst = bsoncore.AppendDocumentElement(dst, "sort", r.task.Index)
		}
		if coll.Collated && !onlyID(r.task.Index) {
			dst = appendSimpleCollation(dst) // that of the index of a shard key
		}
		dst = bsoncore.AppendInt64Element(dst, "batchSize", int64(r.docs))
		if !run {
			// Not singleBatch: a reply that is cut at 16 MB would look complete.
			dst = bsoncore.AppendInt64Element(dst, "limit", int64(r.docs))
		}
		dst = bsoncore.AppendBinaryElement(dst, "collectionUUID", 4, coll.UUID[:])
		return appendReadConcern(dst, active.readAt)
	})
}

// toTheEnd reports whether an upper bound leaves nothing out: there is none, or
// it is that of a collection's last chunk, which is exclusive by its form, while
// the chunk holds documents whose key is MaxKey itself.
func toTheEnd(bound bson.Raw) bool {
	end := true
	eachField(bound, func(_ string, v bson.RawValue) { end = end && v.Type == bson.TypeMaxKey })
	return end
}

func naturalOrder(index bson.Raw) bool {
	_, ok := field(index, "$natural")
	return ok
}

// sortable reports whether a sort can ask for the order of the index.
func sortable(index bson.Raw) bool {
	ok := !naturalOrder(index)
	eachField(index, func(_ string, v bson.RawValue) { ok = ok && v.IsNumber() })
	return ok
}

// An insertCommand is the part of a batch that goes into one command.
type insertCommand struct{ from, to int }

// inserts cuts the batch into commands of bounded size.
func (b *batch) inserts() []insertCommand {
	var out []insertCommand
	size := 0
	for i, d := range b.docs {
		if len(out) == 0 || size+len(d) > commandBytes {
			out = append(out, insertCommand{from: i, to: i})
			size = 0
		}
		out[len(out)-1].to = i + 1
		size += len(d) + 16
	}
	return out
}

// build returns the command as an open document and its start.
func (c insertCommand) build(b *batch) (cmd []byte, start int32) {
	start, cmd = bsoncore.AppendDocumentStart(nil)
	cmd = bsoncore.AppendStringElement(cmd, "insert", b.coll.Destination.Coll)
	cmd = bsoncore.AppendBooleanElement(cmd, "ordered", b.coll.Capped)
	empty := false
	for _, d := range b.docs[c.from:c.to] {
		empty = empty || inspect(d).emptyTimestamp
	}
	cmd = appendDocumentOptions(cmd, empty)
	i, cmd := bsoncore.AppendArrayElementStart(cmd, "documents")
	for n, d := range b.docs[c.from:c.to] {
		cmd = bsoncore.AppendDocumentElement(cmd, strconv.Itoa(n), d)
	}
	return closeDocument(cmd, i), start
}
