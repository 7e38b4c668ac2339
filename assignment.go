package shardferry

import "time"

// An Assignment is what the coordinator wants of the worker of one shard. A new
// value replaces the old one; the worker that holds an older Epoch stops.
type Assignment struct {
	Shard ShardID
	Epoch uint64      // raised each time the shard's worker starts again
	From  ClusterTime // every event at or before it is on the destination

	Collections map[UUID]Collection // shared, never changed
	Catalogued  ClusterTime         // Collections are as of then: schema changes of the source after it are not in them
	Tasks       []CopyTask          // of this shard, those that are not done
	Barrier     *Barrier            // nil: no schema change waits
	Resolved    SchemaPoint         // the last schema change of this shard's stream that is applied
	Ownership   *Ownership          // nil: documents stay where they are
	Until       ClusterTime         // a commit waits until all at or before it is applied; zero: none waits
}

// A SchemaPoint is a place among the schema changes of one shard.
type SchemaPoint struct {
	Time  ClusterTime `bson:"time"`
	Index int         `bson:"index"`
}

// Covers reports whether c is at or before p.
func (p SchemaPoint) Covers(c SchemaChange) bool {
	if c.Time.Equal(p.Time) {
		return c.Index <= p.Index
	}
	return c.Time.Before(p.Time)
}

// A Wait is something that does not get through at the moment and is tried again.
type Wait struct {
	What  string    `bson:"what"`
	Why   string    `bson:"why"`
	Since time.Time `bson:"since"`
}

// A Report is what a worker says about its shard. Everything in it is a total
// or a state, never an increment: a report may be lost or arrive twice.
type Report struct {
	Shard   ShardID        `bson:"shard"`
	Epoch   uint64         `bson:"epoch"`
	Applied ClusterTime    `bson:"applied"`           // the frontier: all at or before it is on the destination
	Seen    ClusterTime    `bson:"seen"`              // the stream has returned everything at or before it
	Tasks   []TaskProgress `bson:"tasks,omitempty"`   // those that changed since the last report
	Schema  *SchemaChange  `bson:"schema,omitempty"`  // the stream stands at it, until it is resolved
	Ready   int64          `bson:"ready,omitempty"`   // ID of the barrier at which the worker stands still
	Events  int64          `bson:"events"`            // change events applied in this epoch
	Repairs int64          `bson:"repairs"`           // documents read again from the source in this epoch
	Held    int64          `bson:"held,omitempty"`    // bytes of documents in memory: read and not yet written
	Waiting *Wait          `bson:"waiting,omitempty"` // what has not got through for longest, if anything
}
