package shardworker

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// duplicateTries bounds how often a put looks for what stands in its way. A
// document that changes its shard key may be seen twice by one read of two
// shards, but not by reads some time apart.
const duplicateTries = 5

// resolve repairs one key whose put or delete failed. A document that stands in
// the way of a put is deleted if the source, read now, no longer has it as it is
// on the destination; then that one is repaired too, although its key may be of
// another lane. It returns a cluster time that what it has put is not newer than.
func (a *applier) resolve(ctx context.Context, f failure, at shardferry.ClusterTime) (upTo shardferry.ClusterTime, err error) {
	var displaced []bson.Raw
	for try := 1; ; try++ {
		var docs []bson.Raw
		docs, upTo, err = a.reread.all(ctx, a.keys.query(f.coll, f.key, at))
		if err != nil {
			return upTo, err
		}
		var inWay bson.Raw
		switch {
		case len(docs) == 0:
		case f.err.code == mongoconn.CodeImmutableField:
			// An equal _id of another type stands there; the new one must be inserted.
			if err := a.delete(ctx, f.coll, f.key); err != nil {
				return upTo, err
			}
		case f.err.code == mongoconn.CodeDuplicateKey:
			var gone []bson.Raw
			gone, inWay, err = a.clear(ctx, f, docs[0], at)
			displaced = append(displaced, gone...)
			if err != nil {
				return upTo, err
			}
		}
		failed, err := a.put(ctx, f.coll, f.key, docs)
		switch {
		case err != nil:
			return upTo, err
		case len(failed) == 0:
			return upTo, a.restore(ctx, f.coll, displaced, at)
		case try == duplicateTries && inWay != nil:
			return upTo, fmt.Errorf("%s: the source holds both %v and %v, the destination cannot: %w",
				f.coll.Source, f.key, inWay, failed[0].err)
		case try == duplicateTries:
			return upTo, fmt.Errorf("%s: put the document with the key %v: %w", f.coll.Source, f.key, failed[0].err)
		}
		f = failed[0]
		if err := mongoconn.Sleep(ctx, time.Duration(try)*100*time.Millisecond); err != nil {
			return upTo, err
		}
	}
}

// put makes the document of a key the one that was read, or deletes it if none
// was.
func (a *applier) put(ctx context.Context, coll *shardferry.Collection, key bson.Raw, read []bson.Raw) ([]failure, error) {
	f := found{repair: repair{coll: coll, key: key}}
	if len(read) > 0 {
		f.doc = read[0]
	}
	var strays, writes writeSet
	a.addPut(f, &strays, &writes)
	return a.send(ctx, append(strays.commands(), writes.commands()...))
}

// clear deletes the documents on the destination that keep doc from being put
// and that the source no longer has in that form: it has none under their full
// key, or has changed it, as when two documents exchange a unique value. It
// returns the keys of what it has deleted, and that of one it may not delete.
func (a *applier) clear(ctx context.Context, f failure, doc bson.Raw, at shardferry.ClusterTime) (gone []bson.Raw, inWay bson.Raw, err error) {
	own := a.keys.ofDocument(f.coll, f.key, doc)
	onDestination := reread{from: a.dest, again: a.reread.again}
	there, err := onDestination.byName(ctx, "look for what stands in the way in "+f.coll.Destination.String(), conflict(f, doc), f.coll.Destination)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range there {
		key := a.keys.ofDocument(f.coll, f.key, d)
		if string(key) == string(own) {
			continue
		}
		same, _, err := a.reread.all(ctx, a.keys.query(f.coll, key, at))
		if err != nil {
			return gone, nil, err
		}
		if len(same) > 0 && bytes.Equal(same[0], d) {
			inWay = key
			continue
		}
		gone = append(gone, key)
		if err := a.delete(ctx, f.coll, key); err != nil {
			return gone, nil, err
		}
	}
	return gone, inWay, nil
}

// restore repairs documents that were deleted because they stood in the way.
// Their own lane, or the worker of another shard, may write them at any moment,
// before the deletion or after it. So the source is read again after each write,
// until it has not changed: what it changes later comes to the lane later.
func (a *applier) restore(ctx context.Context, coll *shardferry.Collection, keys []bson.Raw, at shardferry.ClusterTime) error {
	for _, key := range keys {
		var put []bson.Raw // the deletion came first
		for {
			docs, upTo, err := a.reread.all(ctx, a.keys.query(coll, key, shardferry.LaterOf(at, a.ledger.handedUpTo())))
			if err != nil {
				return err
			}
			if slices.EqualFunc(docs, put, func(a, b bson.Raw) bool { return bytes.Equal(a, b) }) {
				break
			}
			a.ledger.foreign(coll.UUID, upTo)
			failed, err := a.put(ctx, coll, key, docs)
			if err != nil {
				return err
			}
			for _, f := range failed {
				if _, err := a.resolve(ctx, f, at); err != nil {
					return err
				}
			}
			put = docs
		}
	}
	return nil
}

func (a *applier) delete(ctx context.Context, coll *shardferry.Collection, key bson.Raw) error {
	failed, err := a.send(ctx, []command{{coll: coll, kind: deletes, statements: []statement{{kind: deletes, key: key, loose: a.keys.loose(coll, key)}}}})
	if err == nil && len(failed) > 0 {
		err = failed[0].err
	}
	if err != nil {
		return fmt.Errorf("delete %v from %s: %w", key, coll.Destination, err)
	}
	return nil
}
