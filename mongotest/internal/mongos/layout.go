package mongos

import (
	"bytes"
	"math"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// layout is the first routing of the collection.
func (s *sharding) layout() (*table, error) {
	now := s.r.tick()
	t := &table{
		ns: s.ns, uuid: s.uuid, key: s.key, unique: s.unique, collation: s.collation, series: s.series,
		epoch: bson.NewObjectID(), timestamp: now, lastmod: time.Now(),
	}
	bounds, owner := s.splitPoints()
	var err error
	t.chunks, err = s.key.chunks(bounds, now, owner)
	return t, err
}

// splitPoints returns the bounds of the first chunks and who owns each: an
// empty collection is divided by its zones, or evenly if its key starts hashed
// (server-facts 5.2), else all belongs to the primary shard.
func (s *sharding) splitPoints() ([]bson.Raw, func(lower bson.Raw) string) {
	lowest, highest := s.key.all(value.MinKey()), s.key.all(value.MaxKey())
	toOne := func(bson.Raw) string { return s.data }
	zones := s.r.catalog.zoneRanges(s.ns)
	switch {
	case !s.empty:
		return []bson.Raw{lowest, highest}, toOne
	case len(zones) > 0:
		bounds := []bson.Raw{lowest, highest}
		for _, z := range zones {
			bounds = append(bounds, z.min, z.max)
		}
		return bounds, func(lower bson.Raw) string { return s.r.catalog.zoneShard(s.ns, s.key, lower, s.data) }
	case s.key.hashedField() != 0:
		return []bson.Raw{lowest, highest}, toOne
	}
	shards := s.r.catalog.takers()
	perShard := int64(1)
	if !s.r.cfg.Version.AtLeast(7, 2) {
		perShard = 2
	}
	n := getInt(s.req.Body, "numInitialChunks", perShard*int64(len(shards)))
	bounds := []bson.Raw{lowest}
	for _, p := range hashedPoints(n) {
		vals := slices.Repeat([]bson.RawValue{value.MinKey()}, len(s.key.fields))
		vals[0] = value.Int64(p)
		bounds = append(bounds, s.key.document(vals))
	}
	bounds = append(bounds, highest)
	each := (len(bounds) - 1 + len(shards) - 1) / len(shards)
	next := 0
	return bounds, func(bson.Raw) string {
		next++
		return shards[(next-1)/each]
	}
}

// hashedPoints divides the hash space into n parts as the server does.
func hashedPoints(n int64) []int64 {
	if n < 2 {
		return nil
	}
	interval := math.MaxInt64 / n * 2
	var points []int64
	current := int64(0)
	if n%2 == 0 {
		points = append(points, current)
		current += interval
	} else {
		current += interval / 2
	}
	for range (n - 1) / 2 {
		points = append(points, current, -current)
		current += interval
	}
	slices.Sort(points)
	return points
}

// sorted returns bounds in order, each once.
func (k keyPattern) sorted(bounds []bson.Raw) []bson.Raw {
	place := func(b bson.Raw) []byte {
		_, pos, err := k.bound(b)
		if err != nil {
			return nil
		}
		return pos
	}
	slices.SortFunc(bounds, func(a, b bson.Raw) int { return bytes.Compare(place(a), place(b)) })
	return slices.CompactFunc(bounds, func(a, b bson.Raw) bool { return bytes.Equal(place(a), place(b)) })
}
