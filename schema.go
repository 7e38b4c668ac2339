package shardferry

import "go.mongodb.org/mongo-driver/v2/bson"

// A SchemaChange is a DDL event as it was read from one shard's stream. It is
// an order point: it is applied once, by the coordinator, when every shard has
// applied what came before it and holds what comes after.
type SchemaChange struct {
	Shard ShardID     `bson:"shard"`
	Time  ClusterTime `bson:"time"`
	Index int         `bson:"index"` // among the events of the same shard and time
	Kind  string      `bson:"kind"`  // the event's operationType, such as "rename"
	UUID  UUID        `bson:"uuid"`  // collectionUUID, zero where the event has none
	NS    Namespace   `bson:"ns"`
	To    Namespace   `bson:"to"`    // rename only
	Event bson.Raw    `bson:"event"` // the whole change event
}

// A Barrier asks every worker to stop at a schema change: to apply all events
// at or before Time, to finish what it writes, and then to write nothing until
// the barrier is gone.
type Barrier struct {
	ID   int64       `bson:"id"`
	Time ClusterTime `bson:"time"`
}
