package mongos

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// orphanCleanupDelay is orphanCleanupDelaySecs.
const orphanCleanupDelay = 15 * time.Minute

// deletionPause is how long a failed range deletion rests.
const deletionPause = 10 * time.Second

// orphanDelay is how long a moved range stays on the shard that gave it away.
func (c *Catalog) orphanDelay() time.Duration {
	switch d := c.cfg.OrphanDelay; {
	case d == 0:
		return orphanCleanupDelay
	case d < 0:
		return 0
	default:
		return d
	}
}

// task is the deletion of the migration's range from one of its two shards.
func (m *migration) task(shard string) *rangeTask {
	return &rangeTask{id: m.id, ns: m.t.ns, uuid: m.t.uuid, shard: shard, chunk: m.move.part, gone: make(chan struct{})}
}

// deleteOrphans carries out the range deletions that are due.
func (r *Router) deleteOrphans(ctx context.Context) {
	use := r.catalog.cursors
	for _, task := range use.claim(time.Now()) {
		if err := r.own().deleteRange(ctx, task); err != nil {
			r.cfg.Logger.WarnContext(ctx, "orphans left behind for now", "shard", task.shard, "ns", task.ns, "error", err)
			use.again(task, time.Now().Add(deletionPause))
			continue
		}
		use.done(task)
	}
}

// deleteRange deletes a range from a shard. A collection that has been dropped
// since has taken its orphans along.
func (o *op) deleteRange(ctx context.Context, task *rangeTask) error {
	if t := o.r.catalog.tableOf(task.uuid); t != nil {
		if err := o.clearRange(ctx, t, &task.chunk, task.shard); err != nil && !vanished(err) {
			return err
		}
	}
	return o.dropRangeDeletion(ctx, task)
}

// vanished reports whether an operation failed because the collection it was
// meant for is no longer there.
func vanished(err error) bool {
	return mongoerr.Is(err, mongoerr.CollectionUUIDMismatch) || mongoerr.Is(err, mongoerr.NamespaceNotFound)
}

// clearRange deletes the documents of a range from a shard.
func (o *op) clearRange(ctx context.Context, t *table, c *chunk, shard string) error {
	var ids []bson.RawValue
	err := o.scanRange(ctx, t, shard, c, func(doc bson.Raw) error {
		id, _ := value.Get(doc, "_id")
		ids = append(ids, id)
		return nil
	})
	in := func(doc bson.Raw) bool {
		pos, err := t.key.position(doc)
		return err == nil && c.contains(pos)
	}
	for err == nil && len(ids) > 0 {
		n := min(len(ids), migrationBatch)
		err = o.deleteCopies(ctx, t, shard, ids[:n], in)
		ids = ids[n:]
	}
	return err
}

// awaitDeletion hurries a range deletion and waits for it.
func (o *op) awaitDeletion(ctx context.Context, task *rangeTask) error {
	o.r.catalog.cursors.hurry(task)
	o.r.deleteOrphans(ctx)
	select {
	case <-task.gone:
		return nil
	case <-ctx.Done():
		return interrupted(ctx, ctx.Err())
	}
}

// putRangeDeletion writes a task where the server keeps it: in the shard's own
// config.rangeDeletions. It is pending until the range has its new owner.
func (o *op) putRangeDeletion(ctx context.Context, task *rangeTask, pending bool) error {
	doc := bson.D{
		{"_id", task.id.Binary()},
		{"nss", task.ns},
		{"collectionUuid", task.uuid.Binary()},
		{"donorShardId", task.chunk.shard},
		{"range", bson.D{{"min", task.chunk.min}, {"max", task.chunk.max}}},
		{"whenToClean", "delayed"},
		{"timestamp", o.r.cfg.Clock.Now()},
		{"numOrphanDocs", int64(0)},
	}
	if pending {
		doc = append(doc, bson.E{Key: "pending", Value: true})
	}
	return o.ofRangeDeletion(ctx, task, "update", bson.D{{"q", bson.D{{"_id", task.id.Binary()}}}, {"u", doc}, {"upsert", true}})
}

func (o *op) dropRangeDeletion(ctx context.Context, task *rangeTask) error {
	return o.ofRangeDeletion(ctx, task, "delete", bson.D{{"q", bson.D{{"_id", task.id.Binary()}}}, {"limit", int32(1)}})
}

func (o *op) ofRangeDeletion(ctx context.Context, task *rangeTask, name string, statement bson.D) error {
	_, err := o.send(ctx, task.shard, call{name: name, db: "config", safe: true, body: rawDoc(bson.D{
		{name, "rangeDeletions"}, {sequenceOf[name], bson.A{statement}},
	})})
	return err
}
