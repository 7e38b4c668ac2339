package mongod

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// defaultAwait is how long a getMore waits for data if the client does not say.
const defaultAwait = time.Second

// noLimit is the size of a batch that only its bytes limit.
const noLimit = -1

// firstReply returns the first batch of c, of up to size documents, and opens
// the cursor if there may be more.
func (op *operation) firstReply(ctx context.Context, c *cursor, size int64, single bool) (bson.Raw, error) {
	b := &batch{limit: int(max(size, 0))}
	done := false
	if size != 0 {
		var err error
		if done, err = c.feed.fill(ctx, b); err != nil {
			return nil, err
		}
	} else {
		b.token = initialToken(c.feed)
	}
	if op.snapshot != nil {
		c.at = op.concern.at
	}
	if !done && !single {
		op.openCursor(c)
	}
	return b.reply("firstBatch", c.ns, c.id, c.at), nil
}

// initialToken is the postBatchResumeToken of a cursor that has not been read.
func initialToken(f feed) bson.Raw {
	switch f := f.(type) {
	case streamFeed:
		return f.stream.PBRT()
	case *docFeed:
		return f.resumeToken()
	default:
		return nil
	}
}

// openCursor puts c into the cursor table, bound to op's session and user.
func (op *operation) openCursor(c *cursor) {
	c.user = op.req.Client.User
	c.number = noNumber
	if op.session != nil {
		c.session = op.session.key
	}
	if op.txn != nil {
		c.number = op.txn.number
	}
	op.node.cursors.add(c)
}

func runGetMore(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	id := a.int64("getMore", 0)
	coll := a.string("collection")
	size := a.count("batchSize", 0)
	maxTime := time.Duration(a.count("maxTimeMS", 0)) * time.Millisecond
	if coll == "" {
		a.fail(mongoerr.IDLFailedToParse, "BSON field 'getMore.collection' is missing but a required field")
	}
	if a.err != nil {
		return nil, a.err
	}
	c, err := op.node.cursors.pin(id, op)
	if err != nil {
		return nil, err
	}
	if err := op.mayRead(c, coll); err != nil {
		op.node.cursors.unpin(c, false)
		return nil, err
	}
	if err := op.node.cfg.FailPoints.CheckGetMore(op.req); err != nil {
		op.node.cursors.unpin(c, true)
		return nil, err
	}
	b := &batch{limit: int(size)}
	switch {
	case c.await:
		b.wait = maxTime
		if !a.has("maxTimeMS") {
			b.wait = defaultAwait
		}
	case a.has("maxTimeMS") && op.req.Routed == nil:
		op.node.cursors.unpin(c, false)
		return nil, mongoerr.New(mongoerr.BadValue, "cannot set maxTimeMS on getMore command for a non-awaitData cursor")
	case maxTime > 0:
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, maxTime, maxTimeExpired())
		defer cancel()
	}
	done, err := c.feed.fill(ctx, b)
	err = interrupted(ctx, err)
	op.node.cursors.unpin(c, done || err != nil) // what an error's batch had read is lost
	if err != nil {
		return nil, err
	}
	if done {
		id = 0
	}
	return b.reply("nextBatch", c.ns, id, c.at), nil
}

// mayRead refuses a getMore on somebody else's cursor.
func (op *operation) mayRead(c *cursor, coll string) error {
	session := ""
	if op.session != nil {
		session = op.session.key
	}
	switch {
	case c.ns != op.req.DB+"."+coll:
		return mongoerr.New(mongoerr.Unauthorized, "Requested getMore on namespace '%s.%s', but cursor belongs to a different namespace %s", op.req.DB, coll, c.ns)
	case c.user != op.req.Client.User:
		return mongoerr.New(mongoerr.Unauthorized, "cursor id %d was not created by the authenticated user", c.id)
	case c.session == "" && session != "":
		return mongoerr.New(50736, "Cannot run getMore on cursor %d, which was not created in a session, in session", c.id)
	case c.session != "" && session == "":
		return mongoerr.New(50737, "Cannot run getMore on cursor %d, which was created in a session, without an lsid", c.id)
	case c.session != session:
		return mongoerr.New(50738, "Cannot run getMore on cursor %d, which was created in another session", c.id)
	case c.number != noNumber && c.number != op.number:
		return mongoerr.New(50741, "Cannot run getMore on cursor %d, which was created in transaction %d, with txnNumber %d", c.id, c.number, op.number)
	case c.number == noNumber && op.inTxn:
		return mongoerr.New(50740, "Cannot run getMore on cursor %d, which was not created in a transaction, in transaction %d", c.id, op.number)
	}
	return nil
}

func runKillCursors(_ context.Context, op *operation) (bson.Raw, error) {
	ids := op.args().values("cursors")
	var killed, missing []bson.RawValue
	for _, v := range ids {
		id, ok := value.AsInt64(v)
		if v.Type == bson.TypeNull {
			continue
		}
		if !ok {
			return nil, mongoerr.New(mongoerr.FailedToParse, "killCursors: cursor ids must be numbers")
		}
		if c := op.node.cursors.find(id); c != nil && c.user == op.req.Client.User {
			op.node.cursors.kill(c)
			killed = append(killed, value.Int64(id))
		} else {
			missing = append(missing, value.Int64(id))
		}
	}
	none := value.A()
	return value.D("cursorsKilled", value.ArrayOf(killed...), "cursorsNotFound", value.ArrayOf(missing...),
		"cursorsAlive", none, "cursorsUnknown", none), nil
}

// nameOrUUID resolves a collection given by name or by UUID.
func (op *operation) nameOrUUID(v bson.RawValue) (string, error) {
	id, isUUID := value.ParseUUID(v)
	if !isUUID {
		return op.collName()
	}
	name := ""
	err := op.view(func(tx *storage.Tx) error {
		if c := tx.CollectionByUUID(id); c != nil && c.DB() == op.req.DB {
			name = c.Name()
			return nil
		}
		return mongoerr.New(mongoerr.NamespaceNotFound, "Unable to resolve %s", id)
	})
	return name, err
}
