package command

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Placement is what a router believes about where a collection is when it
// sends a shard a command: the server's shardVersion and databaseVersion. The
// shard refuses the command if it knows better.
type Placement struct {
	NS string

	Epoch     bson.ObjectID  // of a sharded collection, zero for others
	Timestamp bson.Timestamp // so
	Version   bson.Timestamp // of the shard: the highest of its chunks, zero without one
	Ignored   bool           // a write for every shard that has a part: any version will do

	DB DatabaseVersion // of a collection that is not sharded

	// Since is the time from which the collection must have stayed where it is,
	// for a transaction whose snapshot on the shard is older than its command.
	Since bson.Timestamp
}

// A DatabaseVersion says which of the primary shards a database has had is meant.
type DatabaseVersion struct {
	UUID      value.UUID
	Timestamp bson.Timestamp
	LastMod   int32
}
