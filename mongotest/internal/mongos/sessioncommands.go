package mongos

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func commitTransaction(ctx context.Context, o *op) (bson.Raw, error) {
	if o.txn == nil {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "commitTransaction must be run within a transaction")
	}
	return o.commit(ctx)
}

func abortTransaction(ctx context.Context, o *op) (bson.Raw, error) {
	if o.txn == nil {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "abortTransaction must be run within a transaction")
	}
	if state, _ := o.txn.get(); state == txnAborted {
		return nil, mongoerr.New(mongoerr.NoSuchTransaction, "Transaction %s has been aborted", o.txn.number)
	}
	return rawDoc(bson.D{}), o.abort(ctx)
}

func startSession(context.Context, *op) (bson.Raw, error) {
	return rawDoc(bson.D{{"id", bson.D{{"id", value.NewUUID().Binary()}}}, {"timeoutMinutes", int32(30)}}), nil
}

// endSessions ends sessions here and on every shard: endSessions, killSessions
// and killAllSessions differ only in how they name them.
func endSessions(ctx context.Context, o *op) (bson.Raw, error) {
	var ids []string
	for _, lsid := range getDocs(o.req.Body, o.req.Name) {
		ids = append(ids, sessionID(lsid))
	}
	all := o.req.Name != "endSessions" && o.req.Name != "refreshSessions" && len(ids) == 0 || o.req.Name == "killAllSessions"
	if all {
		ids = o.r.sessions.all()
	}
	for _, t := range o.r.sessions.forget(ids) {
		t.end(txnAborted) // the shards end their part with the session
		t.unlock()
	}
	for _, id := range ids {
		o.r.catalog.moved.forget(id)
	}
	idle, _ := o.r.cursors.remove(func(c *cursor) bool {
		return c.session != "" && (all || slices.Contains(ids, c.session))
	})
	for _, c := range idle {
		o.closeCursor(ctx, c)
	}
	_, err := everywhere(ctx, o)
	return rawDoc(bson.D{}), err
}

// refreshSessions keeps sessions alive on the shards.
func refreshSessions(ctx context.Context, o *op) (bson.Raw, error) {
	_, err := everywhere(ctx, o)
	return rawDoc(bson.D{}), err
}
