package mongos

import (
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// commit ends the client's transaction on every participant. Those that have only
// read come first. If one has written it commits by itself; if several have, the
// first of them coordinates, and each logs the commit at a time of its own.
func (o *op) commit(ctx context.Context) (bson.Raw, error) {
	state, shards := o.txn.get()
	if state == txnAborted {
		return nil, mongoerr.New(mongoerr.NoSuchTransaction, "Transaction %s has been aborted", o.txn.number).
			WithLabel("TransientTransactionError")
	}
	if id := o.recoveryShard(); id != "" && len(shards) == 0 {
		return o.recover(ctx, id)
	}
	readers, writers := o.txn.parts()
	if len(writers) > 1 {
		return o.commitTogether(ctx, writers, readers)
	}
	o.txn.end(txnCommitted)
	reply := bson.D{{"recoveryToken", o.txn.recoveryToken()}}
	for _, s := range append(readers, writers...) {
		resp, err := o.send(ctx, s, o.ending("commitTransaction"))
		if mongoerr.Is(err, mongoerr.NoSuchTransaction) && len(shards) > 1 {
			o.txn.end(txnOpen)
			return nil, errors.Join(err, o.abort(ctx))
		}
		if err != nil {
			o.txn.unlock()
			return nil, err // the client may ask again
		}
		if v, ok := value.Get(resp.Body, "writeConcernError"); ok && len(reply) == 1 {
			reply = append(reply, bson.E{Key: "writeConcernError", Value: v})
		}
	}
	o.txn.unlock()
	return rawDoc(reply), nil
}

// parts returns the participants that have only read, and those that have written.
func (t *txn) parts() (readers, writers []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.participants {
		if !slices.Contains(t.writers, s) {
			readers = append(readers, s)
		}
	}
	return readers, slices.Clone(t.writers)
}

// commitTogether commits what several shards have written.
func (o *op) commitTogether(ctx context.Context, writers, readers []string) (bson.Raw, error) {
	o.txn.end(txnCommitted) // from now on nobody but the coordinator aborts it
	resp, err := o.coordinate(ctx, writers[0], append(writers, readers...))
	switch {
	case err == nil && getBool(resp, "finished", false):
		o.txn.unlock()
	case err == nil, retriable(err), ctx.Err() != nil:
		o.r.commits.add(o.txn, writers[0])
	default:
		o.txn.end(txnOpen)
		return nil, errors.Join(err, o.abort(context.WithoutCancel(ctx)))
	}
	if err != nil {
		return nil, err // the client may ask again
	}
	reply := bson.D{{"recoveryToken", o.txn.recoveryToken()}}
	if v, ok := value.Get(resp, "writeConcernError"); ok {
		reply = append(reply, bson.E{Key: "writeConcernError", Value: v})
	}
	return rawDoc(reply), nil
}

// coordinate has a shard commit the transaction on others too, or tell what has
// become of it.
func (o *op) coordinate(ctx context.Context, shard string, participants []string, more ...bson.E) (bson.Raw, error) {
	list := bson.A{}
	for _, s := range participants {
		list = append(list, bson.D{{"shardId", s}})
	}
	cmd := append(bson.D{
		{"coordinateCommitTransaction", int32(1)}, {"participants", list}, {"session", o.txn.lsid}, {"number", o.txn.number},
	}, more...)
	if wc, ok := value.Get(o.req.Body, "writeConcern"); ok {
		cmd = append(cmd, bson.E{Key: "writeConcern", Value: wc})
	}
	plain := &op{r: o.r, req: o.req}
	resp, err := plain.send(ctx, shard, call{name: cmd[0].Key, db: "admin", body: rawDoc(cmd), safe: true})
	o.keep(plain.time)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// recoveryShard is the shard that the client's recovery token names, "" if it
// brings none.
func (o *op) recoveryShard() string {
	return getString(getDoc(o.req.Body, "recoveryToken"), "recoveryShardId")
}

// recover finds out what has become of a transaction that another router has
// run: the shard of the recovery token knows. If nobody has begun to commit it
// yet, it is aborted there, and so everywhere.
func (o *op) recover(ctx context.Context, shard string) (bson.Raw, error) {
	resp, err := o.coordinate(ctx, shard, nil)
	if err != nil {
		return nil, err
	}
	reply := bson.D{{"recoveryToken", bson.D{{"recoveryShardId", shard}}}}
	if v, ok := value.Get(resp, "writeConcernError"); ok {
		reply = append(reply, bson.E{Key: "writeConcernError", Value: v})
	}
	return rawDoc(reply), nil
}

// abort ends the client's transaction everywhere. A shard that does not know
// it any more has aborted it.
func (o *op) abort(ctx context.Context) error {
	state, shards := o.txn.get()
	if state == txnCommitted {
		return mongoerr.New(mongoerr.TransactionCommitted, "Transaction %s has been committed", o.txn.number)
	}
	o.txn.end(txnAborted)
	defer o.txn.unlock()
	if id := o.recoveryShard(); id != "" && len(shards) == 0 {
		shards = []string{id} // begun through another router
	}
	for _, s := range shards {
		_, err := o.send(ctx, s, o.ending("abortTransaction"))
		if err != nil && !mongoerr.Is(err, mongoerr.NoSuchTransaction) {
			return err
		}
	}
	return nil
}

func (o *op) ending(name string) call {
	body := bson.D{{name, int32(1)}}
	if wc, ok := value.Get(o.req.Body, "writeConcern"); ok && name == o.req.Name {
		body = append(body, bson.E{Key: "writeConcern", Value: wc})
	}
	return call{name: name, db: "admin", body: rawDoc(body)}
}
