package shardferry

import "go.mongodb.org/mongo-driver/v2/bson"

// A Collection says where the documents of one source collection go. Workers
// route by UUID, so that a rename needs no order between shards.
type Collection struct {
	UUID        UUID      `bson:"uuid"` // on the source
	Source      Namespace `bson:"source"`
	Destination Namespace `bson:"destination"`
	ShardKey    bson.Raw  `bson:"shardKey,omitempty"` // the destination's, nil if unsharded
	Capped      bool      `bson:"capped,omitempty"`
	Collated    bool      `bson:"collated,omitempty"` // its default collation is not simple
	Dropped     bool      `bson:"dropped,omitempty"`  // later events of it are discarded
	Excluded    bool      `bson:"excluded,omitempty"` // not selected: events of it are discarded; it has no Destination
	// Entered is a time of the source at which the collection was read because it
	// had become selected: it was made as it was then, earlier changes included.
	Entered ClusterTime `bson:"entered,omitempty"`
}

// Synced reports whether the documents of c are to be on the destination.
func (c Collection) Synced() bool { return !c.Dropped && !c.Excluded }

// A CopyTask is one range of a collection on one source shard: the documents
// whose index key is at least Min and less than Max. It is resumable: Resume is
// the key of the last document of which all before it are on the destination.
type CopyTask struct {
	ID     int64    `bson:"_id"`
	Shard  ShardID  `bson:"shard"`
	UUID   UUID     `bson:"uuid"`
	Index  bson.Raw `bson:"index,omitempty"` // key pattern of the index that is scanned; empty as long as the task has no shard
	Min    bson.Raw `bson:"min,omitempty"`   // inclusive, in the pattern's form; empty: from the start
	Max    bson.Raw `bson:"max,omitempty"`   // exclusive; empty: to the end
	Resume bson.Raw `bson:"resume,omitempty"`
	Docs   int64    `bson:"docs"`  // documents copied so far
	Bytes  int64    `bson:"bytes"` // their size
	Done   bool     `bson:"done"`
	// Resync says that the destination may hold the range already, as it was at some
	// time: what differs is repaired, and what is only there is deleted.
	Resync bool `bson:"resync,omitempty"`
	// After is a time that nothing of the task is read before: earlier events of the
	// collection are not applied, because it was not selected then.
	After ClusterTime `bson:"after,omitempty"`
}

// TaskProgress is what a worker reports of a copy task. Docs and Bytes are
// totals of the task, never increments, so that a report sent twice is harmless.
type TaskProgress struct {
	ID     int64    `bson:"id"`
	Resume bson.Raw `bson:"resume,omitempty"`
	Docs   int64    `bson:"docs"`
	Bytes  int64    `bson:"bytes"`
	Done   bool     `bson:"done"`
}
