package mongos

import (
	"bytes"
	"slices"
	"sort"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A placement is one step of a chunk's history: which shard had it since when.
type placement struct {
	ValidAfter bson.Timestamp `bson:"validAfter"`
	Shard      string         `bson:"shard"`
}

// A chunk is the range [min, max) of a sharded collection.
type chunk struct {
	id       bson.ObjectID
	min, max bson.Raw
	lo, hi   []byte // min and max in key order
	shard    string
	version  bson.Timestamp // major, minor
	history  []placement
	moved    bool // its documents may be on other shards too, as orphans
	jumbo    bool // marked as too big to move
}

func (c *chunk) contains(pos []byte) bool {
	return bytes.Compare(c.lo, pos) <= 0 && bytes.Compare(pos, c.hi) < 0
}

// A table is the routing of one sharded collection. It never changes once the
// catalog holds it; a change makes a new table.
type table struct {
	ns           string
	uuid         value.UUID
	key          keyPattern
	unique       bool
	epoch        bson.ObjectID
	timestamp    bson.Timestamp
	lastmod      time.Time
	noMigrations bool
	collation    *collation.Collation // the collection's default, nil if it is simple
	series       *timeseries.Options  // of the time-series collection whose buckets these are
	unsplittable bool                 // not sharded, only known to the catalog
	chunks       []chunk              // ascending, without gaps

	// Filled in by the catalog, of a table that routers have.
	placements map[string]*command.Routed // by shard: what its routers tell it
	newest     bson.Timestamp             // when a chunk came to its shard for the last time
}

// chunkAt returns the index of the chunk that holds the position.
func (t *table) chunkAt(pos []byte) int {
	i := sort.Search(len(t.chunks), func(i int) bool { return bytes.Compare(t.chunks[i].lo, pos) > 0 })
	return max(i-1, 0) // the first chunk starts at MinKey
}

// shardOf returns the shard that owns a document.
func (t *table) shardOf(doc bson.Raw) (string, error) {
	pos, err := t.key.position(doc)
	if err != nil {
		return "", err
	}
	return t.shardAt(pos), nil
}

func (t *table) shardAt(pos []byte) string { return t.chunks[t.chunkAt(pos)].shard }

// owned returns the filter of the documents that shard owns. A document whose
// key is no valid shard key is owned by nobody.
func (t *table) owned(shard string) func(bson.Raw) bool {
	if t.chunks[0].shard == shard && t.onOneShard() && !t.hasOrphans() {
		return nil
	}
	return func(doc bson.Raw) bool {
		s, err := t.shardOf(doc)
		return err == nil && s == shard
	}
}

func (t *table) onOneShard() bool {
	if t.placements != nil {
		return len(t.placements) == 1
	}
	return len(t.shards()) == 1
}

// hasOrphans reports whether a shard may hold documents that another one owns:
// as soon as a chunk ever moved.
func (t *table) hasOrphans() bool {
	return slices.ContainsFunc(t.chunks, func(c chunk) bool { return c.moved })
}

// shards returns the shards that own chunks, sorted.
func (t *table) shards() []string {
	var ids []string
	for i := range t.chunks {
		ids = append(ids, t.chunks[i].shard)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// version is the highest chunk version.
func (t *table) version() bson.Timestamp {
	var v bson.Timestamp
	for i := range t.chunks {
		if t.chunks[i].version.Compare(v) > 0 {
			v = t.chunks[i].version
		}
	}
	return v
}

// withChunks returns a copy of t with other chunks.
func (t *table) withChunks(chunks []chunk) *table {
	n := *t
	n.chunks, n.placements = chunks, nil
	return &n
}

// newChunk makes a chunk of a table whose key is k.
func newChunk(k keyPattern, lower, upper bson.Raw, shard string, version, since bson.Timestamp) (chunk, error) {
	lower, lo, err := k.bound(lower)
	if err != nil {
		return chunk{}, err
	}
	upper, hi, err := k.bound(upper)
	if err != nil {
		return chunk{}, err
	}
	return chunk{
		id: bson.NewObjectID(), min: lower, max: upper, lo: lo, hi: hi, shard: shard,
		version: version, history: []placement{{since, shard}},
	}, nil
}
