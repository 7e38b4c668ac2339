package topology

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// Plan is what the destination is going to be, under the names that the source
// has. It is plain data, so that the coordinator can keep it and create it again
// after a crash.
type Plan struct {
	Sharded       bool         `bson:"sharded"`
	StopBalancers bool         `bson:"stopBalancers"`
	Databases     []Database   `bson:"databases"`
	Collections   []Collection `bson:"collections"` // chunks placed on the destination's shards
	Views         []Collection `bson:"views"`
	Shards        []ShardPair  `bson:"shards"` // filled if both clusters have the same number
	Zones         []ZoneShard  `bson:"zones"`  // which shards of the destination are in which zones
}

// ZoneShard puts a shard of the destination into a zone.
type ZoneShard struct {
	Shard shardferry.ShardID `bson:"shard"`
	Zone  string             `bson:"zone"`
}

// ShardPair maps a source shard to the destination shard that takes its place.
type ShardPair struct {
	Source      shardferry.ShardID `bson:"source"`
	Destination shardferry.ShardID `bson:"destination"`
}

// MakePlan decides where everything of src goes on dst. It is a pure function.
//
// If both clusters have the same number of shards, each source shard has its
// counterpart and chunks keep their places. Otherwise databases and chunks go
// one by one, largest first, onto the shard that has least.
func MakePlan(src, dst *Cluster) (*Plan, error) {
	if len(dst.Shards) == 0 {
		return nil, fmt.Errorf("the destination has no shard")
	}
	p := &Plan{Sharded: dst.Kind == Sharded, StopBalancers: src.BalancerOn || dst.BalancerOn}
	place := newPlacer(src, dst)
	p.Shards = place.pairs
	for i, pair := range place.pairs {
		for _, zone := range src.Shards[i].Zones {
			p.Zones = append(p.Zones, ZoneShard{Shard: pair.Destination, Zone: zone})
		}
	}
	p.Databases = place.databases(src)
	for _, c := range bySize(src.Collections) {
		if c.Type == TypeView {
			continue
		}
		if p.Sharded {
			c.Chunks = place.chunks(c)
		} else {
			c.ShardKey, c.Chunks, c.Unique = nil, nil, false
		}
		if len(place.pairs) == 0 {
			c.Zones = nil // zones name shards by role; with other shards they must be set up anew
		}
		p.Collections = append(p.Collections, c)
	}
	for _, c := range src.Collections {
		if c.Type == TypeView {
			p.Views = append(p.Views, c)
		}
	}
	return p, nil
}

// bySize returns the collections, largest first.
func bySize(colls []Collection) []Collection {
	sorted := slices.Clone(colls)
	slices.SortStableFunc(sorted, func(a, b Collection) int { return cmp.Compare(b.Stats.Bytes, a.Stats.Bytes) })
	return sorted
}

// A placer hands out destination shards.
type placer struct {
	pairs  []ShardPair // empty if the shard counts differ
	shards []shardferry.ShardID
	load   []int64 // planned bytes on each of shards
}

func newPlacer(src, dst *Cluster) *placer {
	p := &placer{shards: dst.ShardIDs(), load: make([]int64, len(dst.Shards))}
	if src.Kind == Sharded && dst.Kind == Sharded && len(src.Shards) == len(dst.Shards) {
		for i := range src.Shards {
			p.pairs = append(p.pairs, ShardPair{Source: src.Shards[i].ID, Destination: dst.Shards[i].ID})
		}
	}
	return p
}

// counterpart returns the destination shard in the place of a source shard.
func (p *placer) counterpart(id shardferry.ShardID) (shardferry.ShardID, bool) {
	for _, pair := range p.pairs {
		if pair.Source == id {
			return pair.Destination, true
		}
	}
	return "", false
}

// lightest returns the shard with the least load and adds bytes to it.
func (p *placer) lightest(bytes int64) shardferry.ShardID {
	least := 0
	for i := range p.load {
		if p.load[i] < p.load[least] {
			least = i
		}
	}
	p.load[least] += max(bytes, 1)
	return p.shards[least]
}

// databases gives every source database its primary shard.
func (p *placer) databases(src *Cluster) []Database {
	type sized struct {
		Database
		bytes int64
	}
	dbs := make([]sized, 0, len(src.Databases))
	for _, d := range src.Databases {
		s := sized{Database: d}
		for _, c := range src.Collections {
			if c.NS.DB == d.Name && len(c.ShardKey) == 0 {
				s.bytes += c.Stats.Bytes
			}
		}
		dbs = append(dbs, s)
	}
	slices.SortStableFunc(dbs, func(a, b sized) int { return cmp.Compare(b.bytes, a.bytes) })
	out := make([]Database, 0, len(dbs))
	for _, d := range dbs {
		shard, ok := p.counterpart(d.Primary)
		if !ok {
			shard = p.lightest(d.bytes)
		}
		out = append(out, Database{Name: d.Name, Primary: shard})
	}
	return out
}

// chunks returns the collection's chunks on destination shards, with the bounds
// that they have on the source.
func (p *placer) chunks(c Collection) []Chunk {
	placed := make([]Chunk, 0, len(c.Chunks))
	each := c.Stats.Bytes / int64(max(len(c.Chunks), 1))
	for _, ch := range c.Chunks {
		shard, ok := p.counterpart(ch.Shard)
		if !ok {
			shard = p.lightest(each)
		}
		placed = append(placed, Chunk{Min: ch.Min, Max: ch.Max, Shard: shard})
	}
	return placed
}

// Catalogue returns where the documents of each collection go. Those that are
// left out are in it too, so that their events are known not to matter.
func (p *Plan) Catalogue(route shardferry.Route, left []Collection) []shardferry.Collection {
	out := make([]shardferry.Collection, 0, len(p.Collections)+len(left))
	for i := range p.Collections {
		c := &p.Collections[i]
		to, _ := route.To(c.NS)
		out = append(out, shardferry.Collection{
			UUID: c.UUID, Source: c.NS, Destination: to,
			ShardKey: c.ShardKey, Capped: c.Capped(), Collated: c.Collated(),
		})
	}
	for i := range left {
		if !left[i].UUID.IsZero() { // views have none, nor events of documents
			out = append(out, shardferry.Collection{UUID: left[i].UUID, Source: left[i].NS, Excluded: true})
		}
	}
	return out
}

// PlannedIndex is an index that is built after the copy.
type PlannedIndex struct {
	NS   shardferry.Namespace `bson:"ns"`
	Spec bson.Raw             `bson:"spec"` // in its final form
}

// Indexes returns the indexes that are built after the copy or have to take
// their final form, those of the largest collection first. The index of a unique
// shard key is not among them: it is final from the start.
func (p *Plan) Indexes() []PlannedIndex {
	var out []PlannedIndex
	for i := range p.Collections {
		c := &p.Collections[i]
		for _, spec := range c.Indexes {
			if !c.Unique || !c.needsFromStart(spec) {
				out = append(out, PlannedIndex{NS: c.NS, Spec: spec})
			}
		}
	}
	return out
}

// Limit is the size to which a capped collection returns at the commit, or the
// age at which documents of a clustered one expire from then on.
type Limit struct {
	NS   shardferry.Namespace `bson:"ns"`
	Size int64                `bson:"size"` // bytes
	Max  int64                `bson:"max"`  // documents, 0: no limit

	Expires bool  `bson:"expires,omitempty"`
	After   int64 `bson:"after,omitempty"` // seconds, if it expires
}

// Limits returns the sizes of the capped collections, and when documents of
// clustered ones expire.
func (p *Plan) Limits() []Limit {
	var out []Limit
	for i := range p.Collections {
		if l, ok := p.Collections[i].limit(); ok {
			out = append(out, l)
		}
	}
	return out
}

func (c *Collection) limit() (Limit, bool) {
	l := Limit{NS: c.NS}
	if !c.Capped() {
		l.expire(c.Options.Lookup("expireAfterSeconds"))
		return l, l.Expires
	}
	if v, ok := c.Option("size"); ok {
		l.Size, _ = v.AsInt64OK()
	}
	if v, ok := c.Option("max"); ok {
		l.Max, _ = v.AsInt64OK()
	}
	return l, true
}

// expire sets when documents expire, from an option of a collection: a number,
// "off" in a collMod, or nothing.
func (l *Limit) expire(v bson.RawValue) { l.After, l.Expires = v.AsInt64OK() }

// looseSize is the size of a capped collection until the commit: the largest
// that the server takes, so that it never evicts by itself (1 PiB).
const looseSize = int64(1) << 50

// ttlNever is the expireAfterSeconds of a TTL index until the commit.
const ttlNever = int64(math.MaxInt32)
