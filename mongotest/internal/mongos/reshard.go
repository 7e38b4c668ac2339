package mongos

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// reshardCollection gives a sharded collection another shard key. With the same
// key there is nothing to do, unless the redistribution is asked for.
func reshardCollection(ctx context.Context, o *op) (bson.Raw, error) {
	key, err := parseKeyPattern(getDoc(o.req.Body, "key"))
	if err != nil {
		return nil, err
	}
	if getBool(o.req.Body, "unique", false) {
		return nil, mongoerr.New(mongoerr.BadValue, "unique must be false")
	}
	t, unlock, err := o.exclusiveTable(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if value.CompareDocs(t.key.raw, key.raw) == 0 && !getBool(o.req.Body, "forceRedistribution", false) {
		return rawDoc(bson.D{}), nil
	}
	zones, err := o.reshardZones(key)
	if err != nil {
		return nil, err
	}
	r, err := o.newReshaping(t.ns, t, "reshardCollection")
	if err != nil {
		return nil, err
	}
	next := t.reborn(key, r.r.tick())
	if next.chunks, err = r.spreadByKey(ctx, next, zones, getInt(o.req.Body, "numInitialChunks", 90)); err != nil {
		return nil, err
	}
	if err := r.run(ctx, next); err != nil {
		return nil, err
	}
	return rawDoc(bson.D{}), o.r.catalog.setRanges(ctx, t.ns, zones)
}

// reborn is the collection under a new UUID, without chunks yet.
func (t *table) reborn(key keyPattern, now bson.Timestamp) *table {
	return &table{ns: t.ns, uuid: value.NewUUID(), key: key, collation: t.collation, epoch: bson.NewObjectID(), timestamp: now, lastmod: time.Now()}
}

// reshardZones reads the zone ranges that the collection is to have.
func (o *op) reshardZones(key keyPattern) ([]zoneRange, error) {
	var zones []zoneRange
	for _, d := range getDocs(o.req.Body, "zones") {
		z := zoneRange{id: bson.NewObjectID(), zone: getString(d, "zone")}
		var err1, err2 error
		z.min, _, err1 = key.bound(getDoc(d, "min"))
		z.max, _, err2 = key.bound(getDoc(d, "max"))
		if err := firstOf(err1, err2); err != nil {
			return nil, err
		}
		if len(o.r.catalog.zoneShards(z.zone)) == 0 {
			return nil, mongoerr.New(mongoerr.ZoneNotFound, "zone %s does not exist", z.zone)
		}
		zones = append(zones, z)
	}
	slices.SortFunc(zones, func(a, b zoneRange) int { return value.CompareKeys(a.min, b.min) })
	return zones, nil
}

// spreadByKey divides the documents into n chunks of about one size, cut at the
// bounds of zones too, and deals them out to the shards.
func (r *reshaping) spreadByKey(ctx context.Context, next *table, zones []zoneRange, n int64) ([]chunk, error) {
	keys, err := r.keys(ctx, next.key)
	if err != nil {
		return nil, err
	}
	bounds := []bson.Raw{next.key.all(value.MinKey()), next.key.all(value.MaxKey())}
	for i := int64(1); i < n && len(keys) > 1; i++ {
		if at := int(i * int64(len(keys)) / n); at > 0 {
			bounds = append(bounds, keys[at])
		}
	}
	for _, z := range zones {
		bounds = append(bounds, z.min, z.max)
	}
	turn := map[string]int{}
	return next.key.chunks(bounds, next.timestamp, func(lower bson.Raw) string {
		zone := zoneIn(zones, next.key, lower)
		shards := r.r.catalog.zoneShards(zone)
		turn[zone]++
		return shards[(turn[zone]-1)%len(shards)]
	})
}

// keys returns the distinct shard keys that the documents will have, sorted.
func (r *reshaping) keys(ctx context.Context, key keyPattern) ([]bson.Raw, error) {
	var keys []bson.Raw
	for _, shard := range r.donors {
		err := r.scan(ctx, shard, r.ns, r.routed(shard), func(doc bson.Raw) error {
			vals, err := key.values(doc)
			if err == nil {
				keys = append(keys, key.document(vals))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(keys, value.CompareKeys)
	return slices.CompactFunc(keys, func(a, b bson.Raw) bool { return value.CompareKeys(a, b) == 0 }), nil
}

// zoneIn returns the zone of a bound among ranges, or "".
func zoneIn(zones []zoneRange, key keyPattern, lower bson.Raw) string {
	_, pos, err := key.bound(lower)
	for _, z := range zones {
		_, lo, err1 := key.bound(z.min)
		_, hi, err2 := key.bound(z.max)
		if err == nil && err1 == nil && err2 == nil && bytes.Compare(lo, pos) <= 0 && bytes.Compare(pos, hi) < 0 {
			return z.zone
		}
	}
	return ""
}

// chunks makes the chunks between bounds, which need not be sorted. The first
// and the last of them are all MinKey and all MaxKey.
func (k keyPattern) chunks(bounds []bson.Raw, since bson.Timestamp, owner func(lower bson.Raw) string) ([]chunk, error) {
	bounds = k.sorted(bounds)
	var chunks []chunk
	for i := range len(bounds) - 1 {
		c, err := newChunk(k, bounds[i], bounds[i+1], owner(bounds[i]), bson.Timestamp{T: 1, I: uint32(i)}, since)
		if err != nil {
			return nil, err
		}
		chunks = append(chunks, c)
	}
	return chunks, nil
}

// unsplittableKey is the shard key of a collection that is not sharded but known
// to the catalog, for it need not be on the primary shard.
func unsplittableKey() keyPattern {
	return keyPattern{raw: rawDoc(bson.D{{"_id", int32(1)}}), fields: []keyField{{path: "_id"}}}
}

// moveCollection moves a collection that is not sharded to another shard.
func moveCollection(ctx context.Context, o *op) (bson.Raw, error) {
	s, err := o.r.catalog.shard(getString(o.req.Body, "toShard"))
	if err != nil {
		return nil, err
	}
	db, coll, err := fullName(o.req)
	if err != nil {
		return nil, err
	}
	ns := db + "." + coll
	if internalDB(db) || strings.HasPrefix(coll, "system.") {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "Can't relocate an internal collection %s", ns)
	}
	unlock, err := o.exclusive(ctx, ns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	t := o.r.catalog.table(ns)
	if t != nil && !t.unsplittable {
		return nil, mongoerr.New(mongoerr.NamespaceNotFound, "MoveCollection can only be called on an unsharded collection.")
	}
	r, err := o.newReshaping(ns, t, "moveCollection")
	if err != nil {
		return nil, err
	}
	if r.donors[0] == s.ID {
		return rawDoc(bson.D{}), nil
	}
	return rawDoc(bson.D{}), r.gather(ctx, s.ID)
}

// unshardCollection brings a sharded collection together on one shard: the one
// asked for, or that which has the least to do.
func unshardCollection(ctx context.Context, o *op) (bson.Raw, error) {
	t, unlock, err := o.exclusiveTable(ctx)
	if mongoerr.Is(err, mongoerr.NamespaceNotSharded) {
		err = mongoerr.New(mongoerr.NamespaceNotSharded, "Namespace must be sharded to perform an unshardCollection command")
	}
	if err != nil {
		return nil, err
	}
	defer unlock()
	to := o.r.catalog.emptiest()
	if id := getString(o.req.Body, "toShard"); id != "" {
		s, err := o.r.catalog.shard(id)
		if err != nil {
			return nil, err
		}
		to = s.ID
	}
	r, err := o.newReshaping(t.ns, t, "unshardCollection")
	if err != nil {
		return nil, err
	}
	return rawDoc(bson.D{}), r.gather(ctx, to)
}
