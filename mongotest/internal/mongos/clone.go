package mongos

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// clone copies the documents of the range as they are found, and returns the
// time from which on the donor's log tells what else happened to them.
func (m *migration) clone(ctx context.Context) (bson.Timestamp, error) {
	since, term, err := m.durable(ctx, m.move.part.shard)
	if err != nil {
		return since, err
	}
	m.term = term
	c := m.copier(&m.left)
	c.routed = func(string) *command.Routed { return &command.Routed{Owned: m.inRange} }
	err = c.all(ctx, m.move.part.shard, func(doc bson.Raw) (string, error) {
		m.cloned++
		m.bytes += int64(len(doc))
		return m.move.to, nil
	})
	return since, err
}

// copier brings documents to the recipient.
func (m *migration) copier(left *[]bson.RawValue) *copier {
	return &copier{op: m.op, ns: m.t.ns, uuid: m.t.uuid, left: left}
}

// durable waits until all that a shard has written is there to stay, and tells
// the time and the term of that.
func (o *op) durable(ctx context.Context, shard string) (bson.Timestamp, int64, error) {
	_, at, term, err := o.modsSince(ctx, shard, value.UUID{}, bson.Timestamp{})
	return at, term, err
}

// modsSince asks a shard for the _ids it has written in a collection since a
// time, and up to when and in which term that holds.
func (o *op) modsSince(ctx context.Context, shard string, uuid value.UUID, since bson.Timestamp) ([]bson.RawValue, bson.Timestamp, int64, error) {
	resp, err := o.send(ctx, shard, call{name: "_transferMods", db: "admin", safe: true, body: rawDoc(bson.D{
		{"_transferMods", int32(1)}, {"uuid", uuid.Binary()}, {"after", since},
	})})
	if err == nil {
		err = replicated(resp)
	}
	if err != nil {
		return nil, since, 0, err
	}
	var ids []bson.RawValue
	arr, _ := value.Get(resp.Body, "ids")
	for _, v := range value.Elements(bson.Raw(arr.Array())) {
		ids = append(ids, v)
	}
	last, _ := value.Get(resp.Body, "last")
	t, i := last.Timestamp()
	return ids, bson.Timestamp{T: t, I: i}, getInt(resp.Body, "term", 0), nil
}

// replicated returns an error if a shard carried a command out, but cannot say
// whether a majority of its members has it.
func replicated(resp *command.Response) error {
	if e := getDoc(resp.Body, "writeConcernError"); e != nil {
		return writeError(e)
	}
	return nil
}

// mods asks the donor for the _ids it has written since a time. After an
// election of another primary nobody knows what has been rolled back.
func (m *migration) mods(ctx context.Context, since bson.Timestamp) ([]bson.RawValue, bson.Timestamp, error) {
	ids, upTo, term, err := m.modsSince(ctx, m.move.part.shard, m.t.uuid, since)
	if err == nil && term != m.term {
		err = mongoerr.New(mongoerr.InterruptedDueToReplStateChange, "shard %s has elected a primary during the migration", m.move.part.shard)
	}
	return ids, upTo, err
}

// catchUp brings the recipient what the donor has written since, and returns
// how many documents that were. Unless it is the last time, documents that get
// in each other's way are left to the next: one of them may be about to change.
func (m *migration) catchUp(ctx context.Context, since bson.Timestamp, last bool) (bson.Timestamp, int, error) {
	ids, upTo, err := m.mods(ctx, since)
	if err != nil {
		return since, 0, err
	}
	ids, m.left = distinctIDs(append(ids, m.left...)), nil
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
	again := &m.left
	if last {
		again = nil
	}
	for part := range slices.Chunk(docs, migrationBatch) {
		if err := m.copier(again).bring(ctx, m.move.to, part); err != nil {
			return since, 0, err
		}
	}
	return upTo, len(ids), nil
}

func distinctIDs(ids []bson.RawValue) []bson.RawValue {
	seen := map[string]bool{}
	return slices.DeleteFunc(ids, func(id bson.RawValue) bool {
		k := string(append([]byte{byte(id.Type)}, id.Value...))
		again := seen[k]
		seen[k] = true
		return again
	})
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
	return r.rest(ctx, m.op)
}

// inRange reports whether a document is one of those that move.
func (m *migration) inRange(doc bson.Raw) bool {
	pos, err := m.t.key.position(doc)
	return err == nil && m.move.part.contains(pos)
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
