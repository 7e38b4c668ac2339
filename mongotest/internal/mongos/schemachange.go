package mongos

import (
	"context"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// schemaChanges are the commands that may change several shards. On a server a
// coordinator carries each of them out: none starts while user writes are
// blocked, and a block waits for those under way (sharding_ddl_coordinator.cpp,
// set_user_write_block_mode_coordinator.cpp).
var schemaChanges = []string{
	"drop", "dropDatabase", "renameCollection", "collMod", "createIndexes", "dropIndexes", "deleteIndexes", "convertToCapped",
	"shardCollection", "shardcollection", "refineCollectionShardKey", "reshardCollection", "moveCollection", "unshardCollection",
	"movePrimary", "moveprimary",
}

// schemaLock is held shared by schema changes, exclusively by what switches the
// write block. No namespace has the name.
const schemaLock = ".schema"

// startChange lets a schema change start, and refuses it while user writes are blocked:
// otherwise the primary shard would refuse what others have done already.
func (o *op) startChange(ctx context.Context) (func(), error) {
	if o.txn != nil || !slices.Contains(schemaChanges, o.req.Name) {
		return func() {}, nil
	}
	unlock, err := o.r.catalog.locks.one(ctx, schemaLock, lockShared)
	if err != nil {
		return nil, err
	}
	if err := o.checkBlock(ctx); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

func (o *op) checkBlock(ctx context.Context) error {
	db := o.req.DB
	if db == "admin" {
		db, _, _ = strings.Cut(getString(o.req.Body, o.req.Name), ".")
	}
	primary, ok := o.r.primaryOf(db)
	if !ok || o.req.Client.BypassWriteBlock || internalDB(db) {
		return nil
	}
	resp, err := o.r.own().send(ctx, primary, call{name: "serverStatus", db: "admin", safe: true, body: rawDoc(bson.D{{"serverStatus", int32(1)}})})
	if err != nil {
		return err
	}
	const blocked = 2
	if getInt(getDoc(resp.Body, "repl"), "userWriteBlockMode", 0) == blocked {
		return mongoerr.New(mongoerr.UserWritesBlocked, "User writes blocked")
	}
	return nil
}

// lasting are the schema changes that have begun on some shards. They go on
// whatever becomes of the client, as a coordinator's do, and end with the router.
type lasting struct {
	mu      sync.Mutex
	over    bool
	next    int
	cancels map[int]context.CancelFunc
}

// begin returns a context that ends with the router only, and what to call when
// the change is made.
func (l *lasting) begin(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		cancel()
	}
	id := l.next
	l.next++
	if l.cancels == nil {
		l.cancels = map[int]context.CancelFunc{}
	}
	l.cancels[id] = cancel
	return ctx, func() {
		cancel()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.cancels, id)
	}
}

// end ends those under way, and all that come.
func (l *lasting) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for _, cancel := range l.cancels {
		cancel()
	}
}

// finally sends the client's command to the shard whose turn is last, until it is
// done there. That there is nothing of it any more means that it was, and only
// the answer was lost.
func (o *op) finally(ctx context.Context, shard string) (bson.Raw, error) {
	c := o.forward("collectionUUID", "maxTimeMS")
	c.safe = true
	reply := rawDoc(bson.D{})
	err := o.insist(ctx, func() error {
		resp, err := o.send(ctx, shard, c)
		if err == nil {
			reply = resp.Body
		}
		return absent(err)
	})
	return reply, err
}
