package shardworker

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/keyhash"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// duplicateTries bounds how often a put looks for what stands in its way. A
// document that changes its shard key may be seen twice by one read of two
// shards, but not by reads some time apart.
const duplicateTries = 5

// resolve repairs one key whose put or delete failed. A document that stands in
// the way of a put is deleted if the source, read now, no longer has it under
// its full key. It returns a cluster time that what it has put is not newer than.
func (a *applier) resolve(ctx context.Context, f failure, at shardferry.ClusterTime) (upTo shardferry.ClusterTime, err error) {
	for try := 1; ; try++ {
		var docs []bson.Raw
		docs, upTo, err = a.reread.all(ctx, query{coll: f.coll, filter: filter(a.keys.identity(f.key)), at: at, limit: 1})
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
			if inWay, err = a.clear(ctx, f, docs[0], at); err != nil {
				return upTo, err
			}
		}
		var doc bson.Raw
		if len(docs) > 0 {
			doc = docs[0]
		}
		var strays, writes writeSet
		a.addPut(found{repair: repair{coll: f.coll, key: f.key}, doc: doc}, &strays, &writes)
		failed, err := a.send(ctx, append(strays.commands(), writes.commands()...))
		switch {
		case err != nil:
			return upTo, err
		case len(failed) == 0:
			return upTo, nil
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

// clear deletes the documents on the destination that keep doc from being put
// and that the source no longer has. It returns the key of one that it has.
func (a *applier) clear(ctx context.Context, f failure, doc bson.Raw, at shardferry.ClusterTime) (bson.Raw, error) {
	own := a.keys.ofDocument(f.coll, f.key, doc)
	conflict := build(func(dst []byte) []byte { return keyhash.AppendElement(dst, "_id", idOf(doc)) })
	if len(f.err.keyValue) > 0 {
		conflict = f.err.keyValue
	}
	onDestination := reread{from: a.dest, log: a.reread.log}
	dest := shardferry.Collection{Source: f.coll.Destination, Collated: f.coll.Collated}
	there, _, err := onDestination.once(ctx, query{coll: &dest, filter: filter(conflict)}, f.coll.Destination, false)
	if err != nil {
		return nil, fmt.Errorf("look for what stands in the way in %s: %w", f.coll.Destination, err)
	}
	for _, d := range there {
		key := a.keys.ofDocument(f.coll, f.key, d)
		if string(key) == string(own) {
			continue
		}
		same, _, err := a.reread.all(ctx, query{coll: f.coll, filter: filter(key), at: at, limit: 1})
		if err != nil {
			return nil, err
		}
		if len(same) > 0 {
			return key, nil
		}
		if err := a.delete(ctx, f.coll, key); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (a *applier) delete(ctx context.Context, coll *shardferry.Collection, key bson.Raw) error {
	failed, err := a.send(ctx, []command{{coll: coll, kind: deletes, statements: []statement{{kind: deletes, key: key}}}})
	if err == nil && len(failed) > 0 {
		err = failed[0].err
	}
	if err != nil {
		return fmt.Errorf("delete %v from %s: %w", key, coll.Destination, err)
	}
	return nil
}
