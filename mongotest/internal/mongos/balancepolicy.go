package mongos

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// defaultChunkSize is the size of a chunk in MB unless config.settings says
// otherwise.
const defaultChunkSize = 128

// imbalance is how many chunk sizes of data two shards may differ by.
const imbalance = 3

// A balance is what decides about one collection: its settings and how much of
// it each shard has.
type balance struct {
	*op
	t     *table
	off   bool
	chunk int64 // bytes
	sizes map[string]int64
}

// A proposal is a range that should be on another shard, and why.
type proposal struct {
	part chunk
	to   string
	why  string // as balancerCollectionStatus names it
}

func (o *op) balanceOf(ctx context.Context, t *table) (*balance, error) {
	b := &balance{op: o, t: t, chunk: defaultChunkSize << 20, sizes: map[string]int64{}}
	global, err := o.setting(ctx, "chunksize")
	if err != nil {
		return nil, err
	}
	b.chunk = getInt(global, "value", defaultChunkSize) << 20
	row, err := o.configDoc(ctx, "collections", t.ns)
	if err != nil {
		return nil, err
	}
	b.off = getBool(row, "noBalance", false)
	b.chunk = getInt(row, "maxChunkSizeBytes", b.chunk)
	db, coll, _ := splitNS(t.ns)
	for _, shard := range o.r.catalog.shardIDs() {
		resp, err := o.send(ctx, shard, call{name: "collStats", db: db, safe: true, body: rawDoc(bson.D{{"collStats", coll}})})
		if err != nil {
			return nil, err
		}
		b.sizes[shard] = getInt(resp.Body, "size", 0) - o.r.catalog.cursors.bytes(t.uuid, shard)
	}
	return b, nil
}

// proposal returns what to move first: what stands on a shard that is drained,
// then what zones forbid, then what evens out the sizes. It is nil if all is
// well.
func (b *balance) proposal(ctx context.Context) (*proposal, error) {
	for _, c := range b.t.chunks {
		zone := b.r.catalog.zoneAt(b.t.ns, b.t.key, c.lo)
		if to := b.least(zone); b.r.catalog.isDraining(c.shard) && to != "" && !c.jumbo {
			return &proposal{c, to, "draining"}, nil
		}
	}
	for _, part := range b.zoned() {
		shards := b.r.catalog.zoneShards(part.zone)
		if to := b.least(part.zone); part.zone != "" && to != "" && !slices.Contains(shards, part.shard) && !part.jumbo {
			return &proposal{part.chunk, to, "zoneViolation"}, nil
		}
	}
	return b.evenOut(ctx)
}

// least returns the shard with the least data among those that may take a
// range of a zone, "" if there is none.
func (b *balance) least(zone string) string {
	shards := b.r.catalog.zoneShards(zone)
	if len(shards) == 0 {
		return ""
	}
	return slices.MinFunc(shards, func(x, y string) int { return cmp.Compare(b.sizes[x], b.sizes[y]) })
}

// A zonedPart is the part of a chunk that lies in one zone, or in none.
type zonedPart struct {
	chunk
	zone string
}

// zoned cuts the chunks at the bounds of zones.
func (b *balance) zoned() []zonedPart {
	var cuts []bson.Raw
	for _, z := range b.r.catalog.zoneRanges(b.t.ns) {
		cuts = append(cuts, z.min, z.max)
	}
	var parts []zonedPart
	for _, c := range b.t.chunks {
		for _, at := range b.t.key.sorted(slices.Clone(cuts)) {
			full, pos, err := b.t.key.bound(at)
			if err != nil || bytes.Compare(pos, c.lo) <= 0 || bytes.Compare(pos, c.hi) >= 0 {
				continue
			}
			left := c
			left.max, left.hi = full, pos
			parts = append(parts, b.inZone(left))
			c.min, c.lo = full, pos
		}
		parts = append(parts, b.inZone(c))
	}
	return parts
}

func (b *balance) inZone(c chunk) zonedPart {
	return zonedPart{c, b.r.catalog.zoneAt(b.t.ns, b.t.key, c.lo)}
}

// evenOut takes a chunk's worth of data from the fullest shard to the emptiest,
// if they differ by much.
func (b *balance) evenOut(ctx context.Context) (*proposal, error) {
	for _, part := range b.zoned() {
		to := b.least(part.zone)
		if to == "" || part.jumbo || !b.fullest(part.shard, part.zone) || b.sizes[part.shard]-b.sizes[to] < imbalance*b.chunk {
			continue
		}
		piece, filled, err := b.piece(ctx, part.chunk)
		if err != nil {
			return nil, err
		}
		if filled {
			return &proposal{piece, to, "chunksImbalance"}, nil
		}
	}
	return nil, nil //nolint:nilnil // nothing to do is an answer
}

// fullest reports whether no shard of the zone has more data than this one.
func (b *balance) fullest(shard, zone string) bool {
	return !slices.ContainsFunc(b.r.catalog.zoneShards(zone), func(o string) bool { return b.sizes[o] > b.sizes[shard] })
}

// piece cuts a chunk's worth of data off the beginning of c. It reports false if
// there are no documents in it.
func (b *balance) piece(ctx context.Context, c chunk) (chunk, bool, error) {
	type doc struct {
		key  bson.Raw
		size int64
	}
	var docs []doc
	err := b.scanRange(ctx, b.t, c.shard, &c, func(d bson.Raw) error {
		vals, err := b.t.key.values(d)
		if err == nil {
			docs = append(docs, doc{b.t.key.document(vals), int64(len(d))})
		}
		return err
	})
	if err != nil || len(docs) == 0 {
		return c, false, err
	}
	slices.SortFunc(docs, func(x, y doc) int { return value.CompareKeys(x.key, y.key) })
	var sum int64
	for i, d := range docs {
		if sum >= b.chunk && value.CompareKeys(docs[i-1].key, d.key) != 0 {
			c.max, c.hi, err = b.t.key.bound(d.key)
			break
		}
		sum += d.size
	}
	return c, true, err
}

// balancerCollectionStatus tells what the balancer would do with a collection.
func balancerCollectionStatus(ctx context.Context, o *op) (bson.Raw, error) {
	t, unlock, err := o.shardedTable(ctx, lockShared)
	if err != nil {
		return nil, err
	}
	unlock()
	own := o.r.own()
	b, err := own.balanceOf(ctx, t)
	if err != nil {
		return nil, err
	}
	p, err := b.proposal(ctx)
	if err != nil {
		return nil, err
	}
	reply := bson.D{{"chunkSize", b.chunk >> 20}, {"balancerCompliant", p == nil}}
	if p != nil {
		reply = append(reply, bson.E{Key: "firstComplianceViolation", Value: p.why})
	}
	return rawDoc(reply), nil
}
