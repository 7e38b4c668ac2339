package mongos

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// refineCollectionShardKey adds fields to the end of a shard key. No document
// moves: bounds get MinKey for the new fields, the very last one MaxKey.
func refineCollectionShardKey(ctx context.Context, o *op) (bson.Raw, error) {
	key, err := parseKeyPattern(getDoc(o.req.Body, "key"))
	if err != nil {
		return nil, err
	}
	t, unlock, err := o.exclusiveTable(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if value.CompareDocs(t.key.raw, key.raw) == 0 {
		return rawDoc(bson.D{}), nil
	}
	if !t.key.extendedBy(key) {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "refineCollectionShardKey shard key %s does not extend the current shard key %s", key.raw, t.key.raw)
	}
	if err := o.checkSupport(ctx, t, key); err != nil {
		return nil, err
	}
	next, zones, err := o.refined(t, key)
	if err != nil {
		return nil, err
	}
	db, _, _ := splitNS(t.ns)
	primary, _ := o.r.primaryOf(db)
	own := o.r.own()
	for _, shard := range o.r.catalog.shardIDs() {
		var event bson.D
		if shard == primary {
			event = bson.D{{"refineCollectionShardKey", t.ns}, {"shardKey", key.raw}, {"oldShardKey", t.key.raw}}
		}
		err = firstOf(err, own.insist(ctx, func() error {
			return own.noteSharding(ctx, shard, t, key.raw, bson.D{{"refineCollectionShardKey", t.ns}}, event)
		}))
	}
	if err == nil {
		err = own.insist(ctx, func() error { return o.r.catalog.store(ctx, next) })
	}
	if err == nil && len(zones) > 0 {
		err = o.r.catalog.setRanges(ctx, t.ns, zones)
	}
	if err != nil {
		return nil, err
	}
	o.changelog(ctx, "refineCollectionShardKey", t.ns, bson.D{{"oldKey", t.key.raw}, {"newKey", key.raw}, {"oldEpoch", t.epoch}, {"newEpoch", next.epoch}})
	return rawDoc(bson.D{}), nil
}

// extendedBy reports whether o starts with the fields of k and has more.
func (k keyPattern) extendedBy(o keyPattern) bool {
	if len(o.fields) <= len(k.fields) {
		return false
	}
	for i, f := range k.fields {
		if o.fields[i] != f {
			return false
		}
	}
	return true
}

// checkSupport makes sure that every shard with documents has an index for the
// key.
func (o *op) checkSupport(ctx context.Context, t *table, key keyPattern) error {
	for _, shard := range t.shards() {
		specs, err := o.r.own().indexes(ctx, shard, t.ns)
		if err != nil {
			return err
		}
		found := false
		for _, s := range specs {
			found = found || usable(s, key) &&
				(!t.unique || getBool(s, "unique", false))
		}
		if !found {
			return mongoerr.New(mongoerr.InvalidOptions, "Please create an index that starts with the proposed shard key before sharding the collection")
		}
	}
	return nil
}

// refined is t under the longer key, and its zone ranges so.
func (o *op) refined(t *table, key keyPattern) (*table, []zoneRange, error) {
	next := t.withChunks(nil)
	next.key, next.epoch, next.timestamp, next.lastmod = key, bson.NewObjectID(), o.r.tick(), time.Now()
	top := t.key.all(value.MaxKey())
	extend := func(b bson.Raw) (bson.Raw, []byte, error) {
		if value.CompareKeys(b, top) == 0 {
			b = key.all(value.MaxKey())
		}
		return key.bound(b)
	}
	v := bson.Timestamp{T: t.version().T + 1}
	for _, c := range t.chunks {
		var err1, err2 error
		c.min, c.lo, err1 = extend(c.min)
		c.max, c.hi, err2 = extend(c.max)
		if err := firstOf(err1, err2); err != nil {
			return nil, nil, err
		}
		c.version = v
		v.I++
		next.chunks = append(next.chunks, c)
	}
	var zones []zoneRange
	for _, z := range o.r.catalog.zoneRanges(t.ns) {
		var err1, err2 error
		z.min, _, err1 = extend(z.min)
		z.max, _, err2 = extend(z.max)
		if err := firstOf(err1, err2); err != nil {
			return nil, nil, err
		}
		zones = append(zones, z)
	}
	return next, zones, nil
}
