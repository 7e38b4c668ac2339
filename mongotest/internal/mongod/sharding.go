package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Sharding is what a shard knows of its part in a sharded cluster. It is asked
// by many goroutines, and must neither wait nor call the node.
type Sharding interface {
	// Owns reports whether a document is the shard's own. The others are orphans,
	// or copies on their way.
	Owns(ns string, uuid value.UUID, doc bson.Raw) bool
	// Admit holds what a router believes against what is so, and returns the
	// filter of the documents that the shard owned at a time, zero meaning now;
	// nil if all are. It fails with StaleConfig or StaleDbVersion if the router
	// has to look again, with SnapshotUnavailable or MigrationConflict if the
	// collection cannot be read at that time any more.
	Admit(p *command.Placement, at bson.Timestamp) (func(bson.Raw) bool, error)
	// Arrived returns when documents of ns came to the shard for the last time.
	Arrived(ns string) bson.Timestamp
	// Version describes the shard's version of a collection, for getShardVersion,
	// and that of a database, for getDatabaseVersion.
	Version(ns string) bson.Raw
	DatabaseVersion(db string) bson.Raw
	// Deletions returns channels that close as the shard has deleted a range of a
	// sharded collection that it does not own any more, one for each range.
	Deletions(ns string) []<-chan struct{}
}

// SetSharding makes the node a member of a shard.
func (n *Node) SetSharding(s Sharding) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sharding = s
}

func (n *Node) shard() Sharding {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.sharding
}

// owns says which documents are the shard's own, nil for all.
func (n *Node) owns() func(ns string, uuid value.UUID, doc bson.Raw) bool {
	if s := n.shard(); s != nil {
		return s.Owns
	}
	return nil
}

// admit checks what the router that op comes from believes. Nothing of op has
// happened yet. Read concern available asks for no check, and so may be given
// orphans. A secondary waits until it has what the router believes to be there.
func (op *operation) admit(ctx context.Context) error {
	r := op.req.Routed
	if r == nil {
		return nil
	}
	op.owned = r.Owned
	s := op.node.shard()
	if r.Placement == nil || s == nil || op.concern.level == "available" {
		return nil
	}
	var err error
	op.owned, err = s.Admit(r.Placement, op.readTime())
	if err != nil || op.node.topo.isPrimary() {
		return err
	}
	return op.awaitTime(ctx, s.Arrived(r.Placement.NS), false)
}

// readTime is the time whose data op reads if it has named one, zero for others.
func (op *operation) readTime() bson.Timestamp {
	if op.inTxn && !op.start && op.session != nil {
		if t := op.session.txn; t != nil {
			return t.at
		}
	}
	return op.concern.at
}

// shardCommands are what a member answers about the cluster and about shard keys.
func shardCommands() map[string]*handler {
	return map[string]*handler{
		"getShardVersion":    {runGetShardVersion, 0},
		"getDatabaseVersion": {runGetShardVersion, 0},
		"cleanupOrphaned":    {runCleanupOrphaned, 0},

		"analyzeShardKey":        {runAnalyzeShardKey, 0},
		"configureQueryAnalyzer": {runConfigureQueryAnalyzer, 0},
	}
}

func runGetShardVersion(_ context.Context, op *operation) (bson.Raw, error) {
	s := op.node.shard()
	if s == nil {
		return nil, notSharded()
	}
	name := op.args().string(op.req.Name)
	if op.req.Name == "getDatabaseVersion" {
		return s.DatabaseVersion(name), nil
	}
	return s.Version(name), nil
}

// runCleanupOrphaned waits until the shard has no orphans of a collection any
// more. They are deleted when they are due, whether somebody waits or not.
func runCleanupOrphaned(ctx context.Context, op *operation) (bson.Raw, error) {
	ns := op.args().string(op.req.Name)
	if db, coll := oplog.SplitNS(ns); db == "" || coll == "" {
		return nil, mongoerr.New(mongoerr.InvalidNamespace, "Invalid namespace: '%s'", ns)
	}
	s := op.node.shard()
	if s == nil {
		return nil, notSharded()
	}
	for _, gone := range s.Deletions(ns) {
		select {
		case <-gone:
		case <-ctx.Done():
			return nil, interrupted(ctx, ctx.Err())
		}
	}
	return emptyDoc(), nil
}

func notSharded() error {
	return mongoerr.New(mongoerr.ShardingStateNotInitialized, "Cannot accept sharding commands if sharding state has not been initialized with a shardIdentity document")
}
