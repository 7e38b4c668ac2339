package shardworker

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry"
)

// An applier turns the jobs of one lane into writes. It is used by the lane's
// goroutine only.
type applier struct {
	keys   keyer
	writer *writer
	reread reread
	dest   finder // looks at the documents that stand in the way of a put
	ledger *ledger
	images images
	memory *rereadMemory

	last    shardferry.ClusterTime // of the latest event of this lane
	repairs int                    // documents read again so far
}

// batch applies jobs in order, and returns when every one of them is on the
// destination.
func (a *applier) batch(ctx context.Context, batch []*job) error {
	for _, round := range rounds(batch) {
		if err := a.round(ctx, round); err != nil {
			return err
		}
	}
	return nil
}

// round applies jobs of different keys, in any order.
func (a *applier) round(ctx context.Context, jobs []*job) error {
	var writes writeSet
	var repairs []repair
	for _, j := range jobs {
		a.last = shardferry.LaterOf(a.last, shardferry.LaterOf(j.ev.time, j.past))
		repairs = append(repairs, a.plan(j, &writes)...)
	}
	failed, err := a.send(ctx, writes.commands())
	if err != nil {
		return err
	}
	for _, f := range failed {
		repairs = append(repairs, repair{coll: f.coll, key: f.key, anew: f.inserted})
	}
	return a.repairAll(ctx, repairs)
}

// plan adds the statement for a job to writes, or returns the repairs that stand
// for it.
func (a *applier) plan(j *job, writes *writeSet) []repair {
	coll := j.coll
	var doc bson.Raw
	if j.ev.kind == kindPut {
		a.memory.saw(coll.UUID, len(j.ev.body))
		if !a.keys.sourceSharded {
			doc = j.ev.body
		}
	}
	key := a.keys.fromEvent(coll, j.ev.key, doc)
	if j.done != nil {
		return []repair{{coll: coll, key: key}}
	}
	id := a.keys.identity(key)
	if repairs := a.moved(j, key); repairs != nil {
		return repairs
	}
	included := a.images.contain(coll, id, j.ev.time) // in what a repair has put
	last := coll.Capped && j.ev.op == "insert"        // behind all others, where it may have got another place
	switch {
	case included && !last:
		return nil
	case included, !j.past.IsZero(), a.images.related(coll, id, j.ev.time), a.reread.filters.mayBeCrossed(j):
		return []repair{{coll: coll, key: key, anew: last}}
	case last:
		// One of its _id is there if the copy or an earlier life of this worker has
		// taken something newer, and then it may stand before what follows.
		a.images.forget(coll, id)
		writes.add(coll, statement{kind: inserts, key: key, doc: j.ev.body, size: len(j.ev.body)})
		return nil
	}
	switch j.ev.kind {
	case kindDelete:
		a.images.forget(coll, id)
		writes.add(coll, statement{kind: deletes, key: key, loose: a.keys.loose(coll, key), size: len(key)})
		return nil
	case kindPut:
		if j.ev.op == "replace" && !a.keys.sourceSharded && len(coll.ShardKey) > 0 {
			// Its shard key on the destination may have been another one before.
			return []repair{{coll: coll, key: key}}
		}
		if oversized(key, j.ev.body) {
			return []repair{{coll: coll, key: key}}
		}
		a.images.forget(coll, id)
		writes.add(coll, statement{kind: puts, key: key, loose: a.keys.loose(coll, key), doc: j.ev.body, size: len(key) + len(j.ev.body)})
		return nil
	default:
		return a.planUpdate(j, key, writes)
	}
}

// moved returns the repairs that stand for an event after which the document has
// another key, nil for all others. Such an event is never skipped, whatever is
// known of the old key: what a repair found there says nothing about the new one.
func (a *applier) moved(j *job, key bson.Raw) []repair {
	switch j.ev.kind {
	case kindPut:
		if after := a.keys.ofDocument(j.coll, key, j.ev.body); string(after) != string(key) {
			return []repair{{coll: j.coll, key: key}, {coll: j.coll, key: after}}
		}
	case kindUpdate:
		if len(j.coll.ShardKey) == 0 && onlyID(key) {
			return nil
		}
		if spec := parseUpdate(j.ev.body); spec.touches(j.coll, key) {
			after, known := spec.moved(key)
			return []repair{{coll: j.coll, key: key}, {coll: j.coll, key: after, byID: !known}}
		}
	case kindDelete, kindSchema, kindIgnored:
	}
	return nil
}

func (a *applier) planUpdate(j *job, key bson.Raw, writes *writeSet) []repair {
	spec := parseUpdate(j.ev.body)
	u, ok := spec.statement()
	if !ok || len(key)+len(u.Value) > statementBytes || j.reread || a.ledger.mayBeNewer(j.coll.UUID, j.ev.time) || a.images.maybeNewer(j.coll, a.keys.identity(key), j.ev.time) {
		return []repair{{coll: j.coll, key: key}}
	}
	writes.add(j.coll, statement{kind: deltas, key: key, loose: a.keys.loose(j.coll, key), update: u, size: len(key) + len(u.Value)})
	return nil
}

// send runs commands one after the other and returns the statements that have
// to be repaired: those that failed, and deltas that may have found no document.
func (a *applier) send(ctx context.Context, commands []command) ([]failure, error) {
	var failed []failure
	for _, c := range commands {
		cmd, start := c.build()
		res, err := a.writer.write(ctx, c.coll.Destination.DB, cmd, start)
		if err != nil {
			return nil, err
		}
		bad := map[int]bool{}
		for _, e := range res.errors {
			if e.index >= 0 && e.index < len(c.statements) {
				bad[e.index] = true
				failed = append(failed, failure{coll: c.coll, key: c.statements[e.index].key, err: e, inserted: c.kind == inserts})
			}
		}
		if c.kind == deltas && res.n < int64(len(c.statements)-len(bad)) {
			for i, s := range c.statements { // the reply does not say which
				if !bad[i] {
					failed = append(failed, failure{coll: c.coll, key: s.key})
				}
			}
		}
	}
	return failed, nil
}

// A failure is a statement without the effect it should have had.
type failure struct {
	coll *shardferry.Collection
	key  bson.Raw
	err  statementError // its code is zero if nothing was matched

	inserted bool // the document was to be inserted
}

// appendDocumentOptions completes the options of a command that writes whole
// documents: they are taken as the source has them.
func appendDocumentOptions(cmd []byte, emptyTimestamp bool) []byte {
	cmd = bsoncore.AppendBooleanElement(cmd, "bypassDocumentValidation", true)
	if emptyTimestamp {
		// Else the server replaces Timestamp(0, 0) by its clock; MongoDB 8.0.
		cmd = bsoncore.AppendBooleanElement(cmd, "bypassEmptyTsReplacement", true)
	}
	return cmd
}
