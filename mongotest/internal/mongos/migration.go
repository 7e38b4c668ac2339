package mongos

import (
	"bytes"
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A migration moves one range of a collection to another shard: it clones the
// documents while statements go on, catches up with what they write, and
// changes the owner while nobody writes. All that reaches the recipient is
// logged with fromMigrate, so no stream shows it.
type migration struct {
	*op
	t      *table // the routing it began with
	move   *move
	id     value.UUID      // of the range deletion it leaves behind
	term   int64           // of the donor
	left   []bson.RawValue // _ids of documents that would not be unique on the recipient as it is
	cloned int64
	bytes  int64
}

// migrate moves part, which lies within one chunk of t, to a shard. The caller
// holds no lock of the collection.
func (o *op) migrate(ctx context.Context, t *table, part chunk, to string) error {
	s, err := o.r.catalog.shard(to)
	if err != nil || part.shard == s.ID {
		return err
	}
	if t.noMigrations {
		return mongoerr.New(mongoerr.ConflictingOperationInProgress, "Collection %s is undergoing changes so moveChunk is not allowed.", t.ns)
	}
	c := o.r.catalog
	m := &migration{op: o.r.own(), t: t, move: &move{ns: t.ns, part: part, to: s.ID}, id: value.NewUUID()}
	if err := c.moves.begin(m.move); err != nil {
		return err
	}
	defer c.moves.end(m.move)
	if c.cursors.overlapping(t.uuid, s.ID, &part) {
		return mongoerr.New(mongoerr.ConflictingOperationInProgress, "shard %s has still to delete documents of the range %s -> %s", s.ID, part.min, part.max)
	}
	m.log(ctx, "moveChunk.start")
	task, err := m.run(ctx)
	o.keep(m.time)
	if err != nil {
		m.undo(context.WithoutCancel(ctx), err)
		return err
	}
	if getBool(o.req.Body, "_waitForDelete", getBool(o.req.Body, "waitForDelete", false)) {
		return o.awaitDeletion(ctx, task)
	}
	o.r.deleteOrphans(ctx)
	return nil
}

// run returns the deletion of the donor's copy.
func (m *migration) run(ctx context.Context) (*rangeTask, error) {
	if err := m.prepare(ctx); err != nil {
		return nil, err
	}
	since, err := m.clone(ctx)
	if err != nil {
		return nil, err
	}
	for range catchUpRounds {
		var n int
		if since, n, err = m.catchUp(ctx, since, false); err != nil {
			return nil, err
		}
		if n <= fewMods {
			break
		}
	}
	return m.finish(ctx, since)
}

// A migration catches up until few documents are left to the critical section,
// but not for ever.
const (
	catchUpRounds = 10
	fewMods       = 100
)

// prepare makes the collection on the recipient. No DDL passes meanwhile.
func (m *migration) prepare(ctx context.Context) error {
	unlock, err := m.r.catalog.locks.take(ctx, m.t.ns, lockShared)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := m.current(); err != nil {
		return err
	}
	if err := m.provide(ctx, m.t, m.move.part.shard, m.move.to); err != nil {
		return err
	}
	for _, shard := range []string{m.move.part.shard, m.move.to} {
		if err := m.putRangeDeletion(ctx, m.task(shard), true); err != nil {
			return err
		}
	}
	return nil
}

// current returns the routing as it is now, in which the donor must still own
// the range. The caller holds a lock of the collection.
func (m *migration) current() (*table, error) {
	t, part := m.r.catalog.table(m.t.ns), &m.move.part
	if t != nil && t.uuid == m.t.uuid && t.epoch == m.t.epoch {
		if c := t.chunks[t.chunkAt(part.lo)]; c.shard == part.shard && bytes.Compare(part.hi, c.hi) <= 0 {
			return t, nil
		}
	}
	return nil, mongoerr.New(mongoerr.ConflictingOperationInProgress, "The range %s -> %s of %s changed while it was being moved", part.min, part.max, m.t.ns)
}

// finish is the critical section: nobody reads or writes the collection through
// a router until the range has its new owner.
func (m *migration) finish(ctx context.Context, since bson.Timestamp) (*rangeTask, error) {
	c := m.r.catalog
	unlock, err := c.locks.exclusive(ctx, m.t.ns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	t, err := m.current()
	if err != nil {
		return nil, err
	}
	if !c.moves.enter(m.move) {
		return nil, mongoerr.New(mongoerr.ConflictingOperationInProgress, "The migration of %s was aborted by a change of its indexes or options", m.t.ns)
	}
	if _, _, err = m.catchUp(ctx, since, true); err != nil {
		return nil, err
	}
	if err := m.handSessions(ctx, m.move.part.shard, m.move.to); err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	next := m.commit(t)
	if err := c.store(ctx, next); err != nil {
		return nil, err
	}
	m.log(ctx, "moveChunk.commit", bson.E{Key: "counts", Value: bson.D{{"cloned", m.cloned}, {"clonedBytes", m.bytes}}})
	m.log(ctx, "moveChunk.from", bson.E{Key: "note", Value: "success"})
	m.log(ctx, "moveChunk.to", bson.E{Key: "note", Value: "success"})
	m.noteLastChunk(ctx, next)
	task := m.task(m.move.part.shard)
	task.due, task.size = time.Now().Add(c.orphanDelay()), m.bytes
	c.cursors.add(task)
	m.settle(ctx, task)
	return task, nil
}

// settle makes what the shards keep about the range tell of its outcome. It is
// a record for others: the deletions happen without it.
func (m *migration) settle(ctx context.Context, task *rangeTask) {
	err := m.putRangeDeletion(ctx, task, false)
	if err == nil {
		err = m.dropRangeDeletion(ctx, m.task(m.move.to))
	}
	if err != nil {
		m.r.cfg.Logger.WarnContext(ctx, "config.rangeDeletions not written", "ns", m.t.ns, "error", err)
	}
}

// commit returns t with the range at its new shard. The donor's version rises
// too: by what is left of the chunk, or by any other chunk it has.
func (m *migration) commit(t *table) *table {
	part := m.move.part
	i := t.chunkAt(part.lo)
	old, version := t.chunks[i], t.version()
	next := func() bson.Timestamp {
		v := bson.Timestamp{T: version.T + 1, I: version.I}
		version.I++
		return v
	}
	version.I = 0
	moved := old
	moved.min, moved.lo, moved.max, moved.hi = part.min, part.lo, part.max, part.hi
	moved.shard, moved.version, moved.moved = m.move.to, next(), true
	moved.history = append([]placement{{m.r.tick(), m.move.to}}, old.history...)
	pieces := []chunk{moved}
	if !bytes.Equal(old.lo, part.lo) {
		left := old
		left.max, left.hi, left.version = part.min, part.lo, next()
		pieces[0].id = bson.NewObjectID()
		pieces = slices.Insert(pieces, 0, left)
	}
	if !bytes.Equal(old.hi, part.hi) {
		right := old
		right.id = bson.NewObjectID()
		right.min, right.lo, right.version = part.max, part.hi, next()
		pieces = append(pieces, right)
	}
	chunks := slices.Concat(t.chunks[:i], pieces, t.chunks[i+1:])
	if len(pieces) == 1 {
		if j := slices.IndexFunc(chunks, func(c chunk) bool { return c.shard == part.shard }); j >= 0 {
			chunks[j].version = next()
		}
	}
	return t.withChunks(chunks)
}

// undo deletes what a failed migration has brought to the recipient.
func (m *migration) undo(ctx context.Context, cause error) {
	m.log(ctx, "moveChunk.error", bson.E{Key: "errmsg", Value: cause.Error()})
	if err := m.dropRangeDeletion(ctx, m.task(m.move.part.shard)); err != nil {
		m.r.cfg.Logger.DebugContext(ctx, "config.rangeDeletions not written", "ns", m.t.ns, "error", err)
	}
	task := m.task(m.move.to)
	m.r.catalog.cursors.add(task)
	m.r.deleteOrphans(ctx)
}

// log adds an entry about the migration to config.changelog.
func (m *migration) log(ctx context.Context, what string, more ...bson.E) {
	part := m.move.part
	m.changelog(ctx, what, m.t.ns, append(bson.D{{"min", part.min}, {"max", part.max}, {"from", part.shard}, {"to", m.move.to}}, more...))
}

// noteLastChunk tells change streams of system events that the donor owns
// nothing of the collection any more.
func (m *migration) noteLastChunk(ctx context.Context, t *table) {
	from := m.move.part.shard
	if slices.Contains(t.shards(), from) {
		return
	}
	err := m.noteSharding(ctx, from, t, nil, bson.D{{"migrateLastChunkFromShard", t.ns}}, bson.D{{"migrateLastChunkFromShard", t.ns}, {"shardId", from}})
	if err != nil {
		m.r.cfg.Logger.WarnContext(ctx, "migrateLastChunkFromShard not logged", "shard", from, "ns", t.ns, "error", err)
	}
}

// noteSharding logs a no-op about a sharded collection on a shard, if o2 is not
// nil, and tells the shard the collection's key, if that is not nil.
func (o *op) noteSharding(ctx context.Context, shard string, t *table, key bson.Raw, msg, o2 bson.D) error {
	cmd := bson.D{{"_noteSharding", t.ns}, {"uuid", t.uuid.Binary()}, {"msg", msg}}
	if o2 != nil {
		cmd = append(cmd, bson.E{Key: "o2", Value: o2})
	}
	_, err := o.send(ctx, shard, call{name: "_noteSharding", db: "admin", body: rawDoc(cmd), routed: &command.Routed{ShardKey: key, FromMigrate: true}})
	return err
}
