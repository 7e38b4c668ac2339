package mongos

import (
	"bytes"
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// migrationBatch is how many documents one command of a migration carries.
const migrationBatch = 1000

// internal is the command of a client of the cluster's own, for what a shard
// must not refuse on account of the real client's rights.
func (r *Router) internal() *command.Request {
	return &command.Request{Name: "internal", DB: "admin", Body: rawDoc(nil), Client: internalClient()}
}

func moveChunk(ctx context.Context, o *op) (bson.Raw, error) {
	t, unlock, err := o.exclusiveTable(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	i, err := t.chosenChunk(o.req.Body)
	if err != nil {
		return nil, err
	}
	return rawDoc(bson.D{{"millis", int64(0)}}), o.migrate(ctx, t, i, getString(o.req.Body, "to"))
}

// moveRange moves a range, which is split off its chunk first if need be.
func moveRange(ctx context.Context, o *op) (bson.Raw, error) {
	t, unlock, err := o.exclusiveTable(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	lower, upper := getDoc(o.req.Body, "min"), getDoc(o.req.Body, "max")
	if lower == nil {
		return nil, mongoerr.New(mongoerr.CommandNotSupported, "moveRange without min is not supported by the simulated cluster")
	}
	lower, lo, err := t.key.bound(lower)
	if err != nil {
		return nil, err
	}
	i := t.chunkAt(lo)
	if !bytes.Equal(t.chunks[i].lo, lo) {
		if t, err = t.splitAt(i, lower); err != nil {
			return nil, err
		}
		i++
	}
	if upper != nil {
		full, hi, err := t.key.bound(upper)
		if err != nil {
			return nil, err
		}
		if bytes.Compare(hi, lo) <= 0 || bytes.Compare(hi, t.chunks[i].hi) > 0 {
			return nil, mongoerr.New(mongoerr.InvalidOptions, "the range %s -> %s is not within one chunk", lower, upper)
		}
		if !bytes.Equal(hi, t.chunks[i].hi) {
			if t, err = t.splitAt(i, full); err != nil {
				return nil, err
			}
		}
	}
	return rawDoc(bson.D{}), o.migrate(ctx, t, i, getString(o.req.Body, "toShard"))
}

// migrate moves chunk i of t to another shard: clone, change of owner, range
// deletion. Everything is logged with fromMigrate, so no stream sees it. The
// caller has the collection to itself.
func (o *op) migrate(ctx context.Context, t *table, i int, to string) error {
	s, err := o.r.catalog.shard(to)
	if err != nil {
		return err
	}
	c := t.chunks[i]
	from := c.shard
	if from == s.ID {
		return nil
	}
	if t.noMigrations {
		return mongoerr.New(mongoerr.ConflictingOperationInProgress, "Collection %s is undergoing changes so moveChunk is not allowed.", t.ns)
	}
	if o.r.catalog.cursors.overlapping(t.uuid, s.ID, &c) {
		return mongoerr.New(mongoerr.ConflictingOperationInProgress, "shard %s has still to delete documents of the range %s -> %s", s.ID, c.min, c.max)
	}
	in := &op{r: o.r, req: o.r.internal()}
	if err := in.provide(ctx, t, from, s.ID); err != nil {
		return err
	}
	if err := in.clone(ctx, t, &c, s.ID); err != nil {
		return err
	}
	next := t.withChunks(append([]chunk(nil), t.chunks...))
	v := t.version()
	since := o.r.cfg.Clock.Tick(1)
	moved := &next.chunks[i]
	moved.shard, moved.version = s.ID, bson.Timestamp{T: v.T + 1, I: 0}
	moved.history = append([]placement{{since, s.ID}}, c.history...)
	if err := o.r.catalog.store(ctx, next); err != nil {
		return err
	}
	o.changelog(ctx, "moveChunk.commit", t.ns, bson.D{{"min", c.min}, {"max", c.max}, {"from", from}, {"to", s.ID}})
	task := &rangeTask{ns: t.ns, uuid: t.uuid, shard: from, chunk: c}
	if !o.r.catalog.cursors.add(task) {
		return nil // the last cursor that reads the range there will delete it
	}
	defer o.r.catalog.cursors.done(task)
	return in.clearRange(ctx, t, &c, from)
}

// clone copies the documents of a chunk to its new shard.
func (o *op) clone(ctx context.Context, t *table, c *chunk, to string) error {
	_, coll, _ := splitNS(t.ns)
	var docs []bson.Raw
	flush := func() error {
		if len(docs) == 0 {
			return nil
		}
		err := o.migrateWrite(ctx, t, to, "insert", bson.D{{"insert", coll}}, docs)
		docs = nil
		return err
	}
	err := o.scanRange(ctx, t, c.shard, c, func(doc bson.Raw) error {
		docs = append(docs, doc)
		if len(docs) < migrationBatch {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err == nil {
		return nil
	}
	return firstOf(err, o.clearRange(context.WithoutCancel(ctx), t, c, to))
}

// clearRange deletes the documents of a chunk from a shard.
func (o *op) clearRange(ctx context.Context, t *table, c *chunk, shard string) error {
	_, coll, _ := splitNS(t.ns)
	var dels []bson.Raw
	err := o.scanRange(ctx, t, shard, c, func(doc bson.Raw) error {
		id, _ := value.Get(doc, "_id")
		dels = append(dels, rawDoc(bson.D{{"q", bson.D{{"_id", bson.D{{"$eq", id}}}}}, {"limit", int32(1)}}))
		return nil
	})
	for err == nil && len(dels) > 0 {
		n := min(len(dels), migrationBatch)
		err = o.migrateWrite(ctx, t, shard, "delete", bson.D{{"delete", coll}}, dels[:n])
		dels = dels[n:]
	}
	return err
}

func (o *op) migrateWrite(ctx context.Context, t *table, shard, name string, cmd bson.D, docs []bson.Raw) error {
	db, _, _ := splitNS(t.ns)
	cmd = append(cmd, bson.E{Key: "ordered", Value: true})
	if name == "insert" {
		cmd = append(cmd, bson.E{Key: "bypassDocumentValidation", Value: true}, bson.E{Key: "bypassEmptyTsReplacement", Value: true})
	}
	resp, err := o.send(ctx, shard, copies(call{
		name: name, db: db, body: rawDoc(cmd), seqs: []command.Sequence{{ID: sequenceOf[name], Docs: docs}},
	}))
	if err != nil {
		return err
	}
	if errs := getDocs(resp.Body, "writeErrors"); len(errs) > 0 {
		return writeError(errs[0])
	}
	return nil
}

// deleteRange carries out a deletion that waited for cursors. Should it fail,
// the documents stay behind as orphans, as they would on a server.
func (o *op) deleteRange(ctx context.Context, task *rangeTask) {
	defer o.r.catalog.cursors.done(task)
	unlock, err := o.r.catalog.locks.exclusive(ctx, task.ns)
	if err != nil {
		return
	}
	defer unlock()
	t := o.r.catalog.table(task.ns)
	if t == nil || t.uuid != task.uuid {
		return
	}
	in := &op{r: o.r, req: o.r.internal()}
	if err := in.clearRange(ctx, t, &task.chunk, task.shard); err != nil {
		o.r.cfg.Logger.WarnContext(ctx, "orphans left behind", "shard", task.shard, "ns", task.ns, "error", err)
	}
}
