package mongod

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A ShardIdentity is what makes a replica set a shard: a document that servers
// keep in admin.system.version, and do not take away when the shard is removed.
type ShardIdentity struct {
	Shard   string // its _id in config.shards
	Cluster bson.ObjectID
	Config  string // the config server's rsName/host:port,...
}

// Identify makes the set a shard, as the server's _addShard does.
func (s *ReplicaSet) Identify(id ShardIdentity) error {
	if !s.cfg.ShardServer {
		return mongoerr.New(50876, "Cannot run addShard on a node started without --shardsvr")
	}
	if old := s.shard.Load(); old != nil && (old.Shard != id.Shard || old.Cluster != id.Cluster) {
		// It is an upsert that does not find the other one.
		return mongoerr.New(mongoerr.DuplicateKey, `E11000 duplicate key error collection: admin.system.version index: _id_ dup key: { _id: "shardIdentity" }`)
	}
	s.shard.Store(&id)
	return nil
}

// document is nil for nil.
func (id *ShardIdentity) document() bson.Raw {
	if id == nil {
		return nil
	}
	return value.D("_id", "shardIdentity", "clusterId", id.Cluster, "configsvrConnectionString", id.Config, "shardName", id.Shard)
}

// shardID is the shard's _id in config.shards, empty outside sharded clusters.
func (s *ReplicaSet) shardID() string {
	if id := s.shard.Load(); id != nil && s.cfg.ShardID == "" {
		return id.Shard
	}
	return s.cfg.ShardID
}
