package shardferry

import (
	"bytes"
	"slices"
)

// An Ownership says what a worker may apply of a source where documents may
// change shards.
type Ownership struct {
	Known   ClusterTime // later events wait, until it is known who owned their documents
	Moving  *Moved      // nil: nothing has changed hands that is not settled
	Settled Moved       // images of these documents may be as new as Settled.Until
}

// A Moved says which documents changed shards at some time before Until. While
// they are Moving, their events are not applied: the documents are read instead,
// as they are at Until or later, and nothing is copied.
type Moved struct {
	Until       ClusterTime `bson:"until"`
	Collections []UUID      `bson:"collections,omitempty"` // sorted
	All         bool        `bson:"all,omitempty"`         // any collection
}

// Concerns reports whether documents of a collection are among those that moved.
func (m *Moved) Concerns(id UUID) bool {
	if m == nil {
		return false
	}
	_, found := slices.BinarySearchFunc(m.Collections, id, func(a, b UUID) int { return bytes.Compare(a[:], b[:]) })
	return m.All || found
}

// A Place is where the source keeps something, as far as that must be known:
// the chunks of a collection, what is not sharded in a database, or a shard. Its
// Version changes with its place.
type Place struct {
	Collection UUID    `bson:"collection,omitempty"`
	DB         string  `bson:"db,omitempty"`
	Shard      ShardID `bson:"shard,omitempty"`
	Version    string  `bson:"version"`
}

// Thing returns p without its version.
func (p Place) Thing() Place {
	p.Version = ""
	return p
}

// EmptyShard is the Version of the Place of a shard that owns nothing and gets
// nothing any more.
const EmptyShard = "empty"
