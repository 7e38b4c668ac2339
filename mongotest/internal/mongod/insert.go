package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// maxInsertRun bounds the documents that are inserted under one lock.
const maxInsertRun = 500

func runInsert(ctx context.Context, op *operation) (bson.Raw, error) {
	w, err := op.newBulk("documents")
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(w.statements) && !w.stopped; {
		run := min(maxInsertRun, len(w.statements)-i)
		done, err := w.insertRun(ctx, i, run)
		if err != nil {
			return nil, err
		}
		i += done
	}
	return w.reply("n", int32(w.n)), nil
}

// insertRun inserts up to count documents from the i-th, under one lock. It
// returns how many statements are dealt with.
func (w *bulk) insertRun(ctx context.Context, i, count int) (int, error) {
	op := w.op
	if _, ok := op.recall(w.ids[i]); ok {
		w.retried = append(w.retried, w.ids[i])
		w.n++
		return 1, nil
	}
	if err := op.node.cfg.FailPoints.CheckStatement(failpoint.Inserts); err != nil {
		return 1, w.fail(i, err)
	}
	done, inserted := 0, 0
	var failure error
	err := op.write(ctx, w.ns, func(tx *storage.Tx) error {
		done, inserted, failure = 0, 0, nil
		c, err := w.target(tx, true)
		if op.measures(c) {
			inserted, failure, err = w.insertMeasurements(tx, c, i, count)
			done = inserted
			return err
		}
		if err != nil {
			return err
		}
		for ; done < count; done++ {
			if _, ok := op.recall(w.ids[i+done]); ok {
				return nil
			}
			if failure = w.insertOne(tx, c, i+done); failure != nil {
				return retryLater(failure)
			}
			inserted++
		}
		return nil
	})
	if err != nil {
		done, inserted, failure = 0, 0, err
	}
	for k := range inserted {
		op.remember(w.ids[i+k], stmtResult{n: 1})
	}
	w.n += int64(inserted)
	if failure == nil {
		return done, nil
	}
	return done + 1, w.fail(i+done, failure)
}

func (w *bulk) insertOne(tx *storage.Tx, c *storage.Collection, i int) error {
	doc := w.statements[i]
	if len(doc) > maxBSONObjectSize {
		return mongoerr.New(mongoerr.BSONObjectTooLarge, "object to insert too large. size in bytes: %d, max size: %d", len(doc), maxBSONObjectSize)
	}
	m := w.op.meta(w.ids[i])
	m.BypassValidation, m.KeepEmptyTimestamps = w.bypassValidation, w.keepTimestamps
	_, err := tx.Insert(c, doc, m)
	return err
}

// retryLater passes a write conflict on, so that the whole transaction of the
// storage is repeated, and swallows other failures: what was done before them
// stays.
func retryLater(err error) error {
	if mongoerr.Is(err, mongoerr.WriteConflict) {
		return err
	}
	return nil
}
