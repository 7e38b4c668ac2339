package mongos

import (
	"bytes"
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A zoneRange assigns [min, max) of a namespace to a zone.
type zoneRange struct {
	id       bson.ObjectID
	min, max bson.Raw
	zone     string
}

func (z zoneRange) doc(ns string) bson.D {
	return bson.D{{"_id", z.id}, {"ns", ns}, {"min", z.min}, {"max", z.max}, {"tag", z.zone}}
}

// zoneRanges returns the zone ranges of a namespace, ascending.
func (c *Catalog) zoneRanges(ns string) []zoneRange {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.ranges[ns]
}

// zonesOf returns the zones of a shard.
func (c *Catalog) zonesOf(shard string) []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.zones[shard]
}

// zoneAt returns the zone that a position belongs to, or "".
func (c *Catalog) zoneAt(ns string, key keyPattern, pos []byte) string {
	for _, z := range c.zoneRanges(ns) {
		_, lo, err1 := key.bound(z.min)
		_, hi, err2 := key.bound(z.max)
		if err1 == nil && err2 == nil && bytes.Compare(lo, pos) <= 0 && bytes.Compare(pos, hi) < 0 {
			return z.zone
		}
	}
	return ""
}

// zoneShards returns the shards that may hold what belongs to a zone, all of
// them for "".
func (c *Catalog) zoneShards(zone string) []string {
	return slices.DeleteFunc(c.takers(), func(id string) bool { return zone != "" && !slices.Contains(c.zonesOf(id), zone) })
}

// zoneShard returns a shard of the zone that a chunk starting at lower belongs
// to, or otherwise.
func (c *Catalog) zoneShard(ns string, key keyPattern, lower bson.Raw, otherwise string) string {
	_, pos, err := key.bound(lower)
	if err != nil {
		return otherwise
	}
	if zone := c.zoneAt(ns, key, pos); zone != "" {
		if shards := c.zoneShards(zone); len(shards) > 0 {
			return shards[0]
		}
	}
	return otherwise
}

// setZones replaces the zones of a shard.
func (c *Catalog) setZones(ctx context.Context, s Shard, zones []string) error {
	w := c.writes()
	w.put("shards", bson.E{Key: "_id", Value: s.ID}, c.shardDoc(s, zones))
	if err := w.send(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.zones[s.ID] = zones
	return nil
}

// setRanges replaces the zone ranges of a namespace.
func (c *Catalog) setRanges(ctx context.Context, ns string, ranges []zoneRange) error {
	w := c.writes()
	for _, z := range c.zoneRanges(ns) {
		if !slices.ContainsFunc(ranges, func(o zoneRange) bool { return o.id == z.id }) {
			w.remove("tags", bson.D{{"_id", z.id}}, false)
		}
	}
	for _, z := range ranges {
		w.put("tags", bson.E{Key: "_id", Value: z.id}, z.doc(ns))
	}
	if err := w.send(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ranges[ns] = ranges
	return nil
}

func addShardToZone(ctx context.Context, o *op) (bson.Raw, error) {
	s, zone, err := o.shardAndZone()
	if err != nil {
		return nil, err
	}
	zones := o.r.catalog.zonesOf(s.ID)
	if slices.Contains(zones, zone) {
		return rawDoc(bson.D{}), nil
	}
	return rawDoc(bson.D{}), o.r.catalog.setZones(ctx, s, append(slices.Clone(zones), zone))
}

func removeShardFromZone(ctx context.Context, o *op) (bson.Raw, error) {
	s, zone, err := o.shardAndZone()
	if err != nil {
		return nil, err
	}
	zones := slices.DeleteFunc(slices.Clone(o.r.catalog.zonesOf(s.ID)), func(z string) bool { return z == zone })
	return rawDoc(bson.D{}), o.r.catalog.setZones(ctx, s, zones)
}

func (o *op) shardAndZone() (Shard, string, error) {
	s, err := o.r.catalog.shard(getString(o.req.Body, o.req.Name))
	if err != nil {
		return Shard{}, "", err
	}
	zone := getString(o.req.Body, "zone")
	if zone == "" {
		return Shard{}, "", mongoerr.New(mongoerr.FailedToParse, "zone must be a non-empty string")
	}
	return s, zone, nil
}

// updateZoneKeyRange assigns a range to a zone, or takes it away with zone:
// null. Bounds of a prefix of the shard key are filled up with MinKey once the
// collection is sharded.
func updateZoneKeyRange(ctx context.Context, o *op) (bson.Raw, error) {
	db, coll, err := fullName(o.req)
	if err != nil {
		return nil, err
	}
	ns := db + "." + coll
	unlock, err := o.exclusive(ctx, ns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	c := o.r.catalog
	z := zoneRange{id: bson.NewObjectID(), min: getDoc(o.req.Body, "min"), max: getDoc(o.req.Body, "max"), zone: getString(o.req.Body, "zone")}
	if z.min == nil || z.max == nil {
		return nil, mongoerr.New(mongoerr.NoSuchKey, "Missing expected field \"min\" or \"max\"")
	}
	if t := c.table(ns); t != nil {
		if z.min, _, err = t.key.bound(z.min); err != nil {
			return nil, err
		}
		if z.max, _, err = t.key.bound(z.max); err != nil {
			return nil, err
		}
	}
	if value.CompareKeys(z.min, z.max) >= 0 {
		return nil, mongoerr.New(mongoerr.FailedToParse, "min: %s should be less than max: %s", z.min, z.max)
	}
	ranges := slices.Clone(c.zoneRanges(ns))
	same := func(r zoneRange) bool {
		return value.CompareKeys(r.min, z.min) == 0 && value.CompareKeys(r.max, z.max) == 0
	}
	if v, _ := value.Get(o.req.Body, "zone"); v.Type == bson.TypeNull {
		return rawDoc(bson.D{}), c.setRanges(ctx, ns, slices.DeleteFunc(ranges, same))
	}
	if !slices.ContainsFunc(c.shardIDs(), func(id string) bool { return slices.Contains(c.zonesOf(id), z.zone) }) {
		return nil, mongoerr.New(mongoerr.ZoneNotFound, "zone %s does not exist", z.zone)
	}
	for _, r := range ranges {
		if same(r) && r.zone == z.zone {
			return rawDoc(bson.D{}), nil
		}
		if value.CompareKeys(z.min, r.max) < 0 && value.CompareKeys(r.min, z.max) < 0 {
			return nil, mongoerr.New(mongoerr.RangeOverlapConflict, "Zone range: %s -->> %s on %s is overlapping with existing: %s -->> %s", z.min, z.max, z.zone, r.min, r.max)
		}
	}
	ranges = append(ranges, z)
	slices.SortFunc(ranges, func(a, b zoneRange) int { return value.CompareKeys(a.min, b.min) })
	return rawDoc(bson.D{}), c.setRanges(ctx, ns, ranges)
}
