package mongos

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// migrationBatch is how many documents one command of a migration carries.
const migrationBatch = 1000

// clone copies the documents of the range as they are found, and returns the
// time from which on the donor's log tells what else happened to them.
func (m *migration) clone(ctx context.Context) (bson.Timestamp, error) {
	_, since, err := m.mods(ctx, bson.Timestamp{})
	if err != nil {
		return since, err
	}
	var docs []bson.Raw
	flush := func() error {
		err := m.bring(ctx, docs, false)
		m.cloned += int64(len(docs))
		docs = nil
		return err
	}
	err = m.scanRange(ctx, m.t, m.move.part.shard, &m.move.part, func(doc bson.Raw) error {
		docs = append(docs, doc)
		m.bytes += int64(len(doc))
		if len(docs) < migrationBatch {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	return since, err
}

// mods asks the donor for the _ids it has written since a time, and up to when
// that holds.
func (m *migration) mods(ctx context.Context, since bson.Timestamp) ([]bson.RawValue, bson.Timestamp, error) {
	resp, err := m.send(ctx, m.move.part.shard, call{name: "_transferMods", db: "admin", safe: true, body: rawDoc(bson.D{
		{"_transferMods", m.t.ns}, {"uuid", m.t.uuid.Binary()}, {"after", since},
	})})
	if err != nil {
		return nil, since, err
	}
	var ids []bson.RawValue
	arr, _ := value.Get(resp.Body, "ids")
	for _, v := range value.Elements(bson.Raw(arr.Array())) {
		ids = append(ids, v)
	}
	last, _ := value.Get(resp.Body, "last")
	t, i := last.Timestamp()
	return ids, bson.Timestamp{T: t, I: i}, nil
}

// catchUp brings the recipient what the donor has written since, and returns
// how many documents that were. Unless it is the last time, documents that get
// in each other's way are left to the next: they have changed again.
func (m *migration) catchUp(ctx context.Context, since bson.Timestamp, last bool) (bson.Timestamp, int, error) {
	ids, upTo, err := m.mods(ctx, since)
	if err != nil {
		return since, 0, err
	}
	var docs []bson.Raw
	for part := range slices.Chunk(ids, migrationBatch) {
		found, err := m.reread(ctx, part)
		if err != nil {
			return since, 0, err
		}
		docs = append(docs, found...)
		if err := m.takeAway(ctx, part); err != nil {
			return since, 0, err
		}
	}
	for part := range slices.Chunk(docs, migrationBatch) {
		if err := m.bring(ctx, part, last); err != nil {
			return since, 0, err
		}
	}
	return upTo, len(ids), nil
}

// reread returns the donor's documents of the range with these _ids.
func (m *migration) reread(ctx context.Context, ids []bson.RawValue) ([]bson.Raw, error) {
	db, coll, _ := splitNS(m.t.ns)
	r, err := m.open(ctx, m.move.part.shard, call{
		name: "find", db: db, safe: true, routed: &command.Routed{Owned: m.inRange},
		body: rawDoc(bson.D{{"find", coll}, {"filter", bson.D{{"_id", bson.D{{"$in", ids}}}}}}),
	})
	if err != nil {
		return nil, err
	}
	var docs []bson.Raw
	for {
		doc, err := r.next(ctx, m.op)
		if err != nil || doc == nil {
			return docs, err
		}
		docs = append(docs, doc)
	}
}

// inRange reports whether a document is one of those that move.
func (m *migration) inRange(doc bson.Raw) bool {
	pos, err := m.t.key.position(doc)
	return err == nil && m.move.part.contains(pos)
}

// bring inserts documents on the recipient. Duplicates are an error only if
// strict: otherwise something newer is, or will be, there.
func (m *migration) bring(ctx context.Context, docs []bson.Raw, strict bool) error {
	if len(docs) == 0 {
		return nil
	}
	errs, err := m.copyTo(ctx, m.t, m.move.to, docs)
	for _, e := range errs {
		if strict || mongoerr.Code(getInt(e, "code", 0)) != mongoerr.DuplicateKey {
			return writeError(e)
		}
	}
	return err
}

// copyTo inserts documents in a shard's part of a collection and returns the
// write errors. Nobody's streams see it.
func (o *op) copyTo(ctx context.Context, t *table, shard string, docs []bson.Raw) ([]bson.Raw, error) {
	db, coll, _ := splitNS(t.ns)
	c := copies(call{
		name: "insert", db: db, seqs: []command.Sequence{{ID: "documents", Docs: docs}},
		body: rawDoc(bson.D{
			{"insert", coll},
			{"ordered", false},
			{"collectionUUID", t.uuid.Binary()},
			{"bypassDocumentValidation", true},
			{"bypassEmptyTsReplacement", true},
		}),
	})
	resp, err := o.send(ctx, shard, c)
	if err != nil {
		return nil, err
	}
	return getDocs(resp.Body, "writeErrors"), nil
}

// takeAway deletes the recipient's copies with these _ids.
func (m *migration) takeAway(ctx context.Context, ids []bson.RawValue) error {
	return m.deleteCopies(ctx, m.t, m.move.to, ids, m.inRange)
}

// deleteCopies deletes documents that a shard does not own: those with these
// _ids for which mine is true.
func (o *op) deleteCopies(ctx context.Context, t *table, shard string, ids []bson.RawValue, mine func(bson.Raw) bool) error {
	db, coll, _ := splitNS(t.ns)
	dels := make([]bson.Raw, len(ids))
	for i, id := range ids {
		dels[i] = rawDoc(bson.D{{"q", bson.D{{"_id", bson.D{{"$eq", id}}}}}, {"limit", int32(1)}})
	}
	resp, err := o.send(ctx, shard, call{
		name: "delete", db: db, seqs: []command.Sequence{{ID: "deletes", Docs: dels}}, safe: true,
		body:   rawDoc(bson.D{{"delete", coll}, {"ordered", true}, {"collectionUUID", t.uuid.Binary()}}),
		routed: &command.Routed{FromMigrate: true, Owned: mine},
	})
	if err != nil {
		return err
	}
	if errs := getDocs(resp.Body, "writeErrors"); len(errs) > 0 {
		return writeError(errs[0])
	}
	return nil
}

// handSessions lets the recipient know the retryable writes of the donor, so
// that a retry that now comes to it finds its outcome.
func (m *migration) handSessions(ctx context.Context) error {
	resp, err := m.send(ctx, m.move.part.shard, call{name: "_getNextSessionMods", db: "admin", safe: true, body: rawDoc(bson.D{{"_getNextSessionMods", m.t.ns}})})
	if err != nil {
		return err
	}
	_, err = m.send(ctx, m.move.to, call{name: "_recvSessionMods", db: "admin", safe: true, body: rawDoc(bson.D{
		{"_recvSessionMods", m.t.ns}, {"sessions", arrayOf(getDocs(resp.Body, "sessions"))},
	})})
	return err
}
