package topology

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// Kind is the kind of a cluster.
type Kind string

// The kinds that can be synced.
const (
	ReplicaSet Kind = "replica set"
	Sharded    Kind = "sharded cluster"
)

// Cluster is a cluster as it was read at one moment.
type Cluster struct {
	ID          string       `bson:"id"` // its own identity: the clusterId, or the set's replicaSetId
	Kind        Kind         `bson:"kind"`
	Version     Version      `bson:"version"`
	Shards      []Shard      `bson:"shards"` // sorted by ID; a replica set is one shard
	Databases   []Database   `bson:"databases"`
	Collections []Collection `bson:"collections"` // sorted by namespace, views among them
	BalancerOn  bool         `bson:"balancerOn"`
}

// Version is a server version.
type Version struct {
	Major int `bson:"major"`
	Minor int `bson:"minor"`
	Patch int `bson:"patch"`
}

// Less reports whether v's release series (major and minor) is older than w's.
func (v Version) Less(w Version) bool {
	if v.Major != w.Major {
		return v.Major < w.Major
	}
	return v.Minor < w.Minor
}

// Shard is a replica set that holds data.
type Shard struct {
	ID    shardferry.ShardID `bson:"_id"`
	Host  string             `bson:"host"`
	Zones []string           `bson:"tags,omitempty"` // the zones it belongs to
}

// Database is a database and the shard that holds its unsharded collections.
type Database struct {
	Name    string             `bson:"name"`
	Primary shardferry.ShardID `bson:"primary"`
}

// The types of a collection, as listCollections names them.
const (
	TypeCollection = "collection"
	TypeView       = "view"
	TypeTimeseries = "timeseries"
)

// Collection is a collection or view.
type Collection struct {
	NS       shardferry.Namespace `bson:"ns"`
	UUID     shardferry.UUID      `bson:"uuid"`
	Type     string               `bson:"type"`
	Options  bson.Raw             `bson:"options,omitempty"` // as listCollections shows them
	Indexes  []bson.Raw           `bson:"indexes,omitempty"` // as listIndexes shows them, without that on _id
	Home     shardferry.ShardID   `bson:"home,omitempty"`    // an unsharded collection's shard, if that is not its database's primary
	ShardKey bson.Raw             `bson:"shardKey,omitempty"`
	Unique   bool                 `bson:"unique,omitempty"` // the shard key is unique
	Chunks   []Chunk              `bson:"chunks,omitempty"` // sorted by Min
	Zones    []Zone               `bson:"zones,omitempty"`
	Stats    Stats                `bson:"-"`
}

// Stats are a collection's estimates; they change all the time.
type Stats struct {
	Docs  int64
	Bytes int64
}

// Chunk is a range of a sharded collection: [Min, Max).
type Chunk struct {
	Min   bson.Raw           `bson:"min"`
	Max   bson.Raw           `bson:"max"`
	Shard shardferry.ShardID `bson:"shard"`
}

// Zone is a range of a sharded collection that is tied to a tag.
type Zone struct {
	Min bson.Raw `bson:"min"`
	Max bson.Raw `bson:"max"`
	Tag string   `bson:"tag"`
}

// Primary returns the primary shard of a database, or the first shard if the
// database is not known.
func (c *Cluster) Primary(db string) shardferry.ShardID {
	for _, d := range c.Databases {
		if d.Name == db {
			return d.Primary
		}
	}
	if len(c.Shards) == 0 {
		return ""
	}
	return c.Shards[0].ID
}

// Option reports whether the collection's options hold a field, and its value.
func (c *Collection) Option(name string) (bson.RawValue, bool) {
	v, err := c.Options.LookupErr(name)
	return v, err == nil
}

// Capped reports whether the collection is capped.
func (c *Collection) Capped() bool {
	v, _ := c.Option("capped")
	b, ok := v.BooleanOK()
	return ok && b
}

// Collated reports whether the collection's default collation is not simple.
func (c *Collection) Collated() bool { return collated(c.Options) }

// collated reports whether options, of a collection or an index, name a
// collation that is not simple.
func collated(options bson.Raw) bool {
	doc, ok := options.Lookup("collation").DocumentOK()
	if !ok {
		return false
	}
	locale, _ := doc.Lookup("locale").StringValueOK()
	return locale != "simple"
}

// Size returns the estimated size of all documents in bytes.
func (c *Cluster) Size() int64 {
	var sum int64
	for i := range c.Collections {
		sum += c.Collections[i].Stats.Bytes
	}
	return sum
}
