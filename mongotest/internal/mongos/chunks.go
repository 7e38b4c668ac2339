package mongos

import (
	"bytes"
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// exclusiveTable locks the sharded collection that the command names in its
// first field.
func (o *op) exclusiveTable(ctx context.Context) (*table, func(), error) {
	return o.shardedTable(ctx, lockExclusive)
}

// shardedTable locks the sharded collection that the command names, in a mode.
func (o *op) shardedTable(ctx context.Context, mode lockMode) (*table, func(), error) {
	db, coll, err := fullName(o.req)
	if err != nil {
		return nil, nil, err
	}
	ns := db + "." + coll
	unlock, err := o.r.catalog.locks.take(ctx, ns, mode)
	if err != nil {
		return nil, nil, err
	}
	t := o.r.catalog.table(ns)
	if t == nil || t.unsplittable {
		unlock()
		return nil, nil, mongoerr.New(mongoerr.NamespaceNotSharded, "Collection %s is not sharded.", ns)
	}
	return t, unlock, nil
}

// chosenChunk returns the chunk that find or bounds of the command name.
func (t *table) chosenChunk(body bson.Raw) (int, error) {
	if q := getDoc(body, "find"); q != nil {
		rs, err := t.ranges(q, nil)
		if err != nil {
			return 0, err
		}
		if len(rs) != 1 || !isPoint(rs[0]) {
			return 0, mongoerr.New(mongoerr.ShardKeyNotFound, "no shard key found in chunk query %s", q)
		}
		return t.chunkAt(rs[0].lo), nil
	}
	bounds := getDocs(body, "bounds")
	if len(bounds) != 2 {
		return 0, mongoerr.New(mongoerr.BadValue, "need to specify find query, bounds or middle")
	}
	return t.chunkBetween(bounds[0], bounds[1])
}

// chunkBetween returns the chunk with exactly these bounds.
func (t *table) chunkBetween(lower, upper bson.Raw) (int, error) {
	_, lo, err := t.key.bound(lower)
	if err != nil {
		return 0, err
	}
	_, hi, err := t.key.bound(upper)
	if err != nil {
		return 0, err
	}
	i := t.chunkAt(lo)
	if !bytes.Equal(t.chunks[i].lo, lo) || !bytes.Equal(t.chunks[i].hi, hi) {
		return 0, mongoerr.New(mongoerr.BadValue, "no chunk has exactly the bounds %s -> %s", lower, upper)
	}
	return i, nil
}

// split divides a chunk in two, at a given point or at the median document.
func split(ctx context.Context, o *op) (bson.Raw, error) {
	t, unlock, err := o.exclusiveTable(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var at bson.Raw
	var i int
	if at = getDoc(o.req.Body, "middle"); at != nil {
		full, pos, err := t.key.bound(at)
		if err != nil {
			return nil, err
		}
		at, i = full, t.chunkAt(pos)
		if bytes.Equal(t.chunks[i].lo, pos) {
			return nil, mongoerr.New(mongoerr.BadValue, "new split key %s is a boundary key of existing chunk [%s, %s)", at, t.chunks[i].min, t.chunks[i].max)
		}
	} else {
		if i, err = t.chosenChunk(o.req.Body); err != nil {
			return nil, err
		}
		if at, err = o.median(ctx, t, i); err != nil {
			return nil, err
		}
	}
	n, err := t.splitAt(i, at)
	if err != nil {
		return nil, err
	}
	if err := o.r.catalog.store(ctx, n); err != nil {
		return nil, err
	}
	o.changelog(ctx, "split", t.ns, bson.D{{"min", t.chunks[i].min}, {"max", t.chunks[i].max}, {"splitKey", at}})
	return rawDoc(bson.D{}), nil
}

// splitAt returns t with chunk i divided at a full bound.
func (t *table) splitAt(i int, at bson.Raw) (*table, error) {
	old := t.chunks[i]
	full, pos, err := t.key.bound(at)
	if err != nil {
		return nil, err
	}
	v := t.version()
	left, right := old, old
	left.max, left.hi, left.version = full, pos, bson.Timestamp{T: v.T, I: v.I + 1}
	right.min, right.lo, right.version = full, pos, bson.Timestamp{T: v.T, I: v.I + 2}
	right.id = bson.NewObjectID()
	return t.withChunks(slices.Concat(t.chunks[:i], []chunk{left, right}, t.chunks[i+1:])), nil
}

// median returns the key in the middle of a chunk's documents.
func (o *op) median(ctx context.Context, t *table, i int) (bson.Raw, error) {
	var keys []bson.Raw
	err := o.scanRange(ctx, t, t.chunks[i].shard, &t.chunks[i], func(doc bson.Raw) error {
		vals, err := t.key.values(doc)
		if err == nil {
			keys = append(keys, t.key.document(vals))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(keys, value.CompareKeys)
	keys = slices.CompactFunc(keys, func(a, b bson.Raw) bool { return value.CompareKeys(a, b) == 0 })
	if len(keys) < 2 {
		return nil, mongoerr.New(mongoerr.CommandFailed, "cannot find median in chunk, possibly empty")
	}
	return keys[len(keys)/2], nil
}

// scanRange reads the documents of a chunk from a shard, orphans of others
// left out.
func (o *op) scanRange(ctx context.Context, t *table, shard string, c *chunk, f func(bson.Raw) error) error {
	return o.scan(ctx, shard, t.ns, nil, func(doc bson.Raw) error {
		if pos, err := t.key.position(doc); err != nil || !c.contains(pos) {
			return nil //nolint:nilerr // a document without a valid key is in no chunk
		}
		return f(doc)
	})
}

func mergeChunks(ctx context.Context, o *op) (bson.Raw, error) {
	t, unlock, err := o.exclusiveTable(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	bounds := getDocs(o.req.Body, "bounds")
	if len(bounds) != 2 {
		return nil, mongoerr.New(mongoerr.BadValue, "mergeChunks needs the bounds [min, max]")
	}
	first, last, err := t.span(bounds[0], bounds[1])
	if err != nil {
		return nil, err
	}
	if first == last {
		return rawDoc(bson.D{}), nil
	}
	n, err := t.merge(first, last)
	if err != nil {
		return nil, err
	}
	if err := o.r.catalog.store(ctx, n); err != nil {
		return nil, err
	}
	o.changelog(ctx, "merge", t.ns, bson.D{{"min", n.chunks[first].min}, {"max", n.chunks[first].max}})
	return rawDoc(bson.D{}), nil
}

// span returns the first and the last chunk of a range whose ends are chunk
// bounds.
func (t *table) span(lower, upper bson.Raw) (first, last int, err error) {
	_, lo, err := t.key.bound(lower)
	if err != nil {
		return 0, 0, err
	}
	_, hi, err := t.key.bound(upper)
	if err != nil {
		return 0, 0, err
	}
	first = slices.IndexFunc(t.chunks, func(c chunk) bool { return bytes.Equal(c.lo, lo) })
	last = slices.IndexFunc(t.chunks, func(c chunk) bool { return bytes.Equal(c.hi, hi) })
	if first < 0 || last < first {
		return 0, 0, mongoerr.New(mongoerr.BadValue, "the range %s -> %s does not end at chunk bounds", lower, upper)
	}
	return first, last, nil
}

// merge joins chunks that are on one shard.
func (t *table) merge(first, last int) (*table, error) {
	joined, since := t.chunks[first], bson.Timestamp{}
	for _, c := range t.chunks[first : last+1] {
		if c.shard != joined.shard {
			return nil, mongoerr.New(mongoerr.IllegalOperation, "could not merge chunks of %s, they are on the shards %s and %s", t.ns, joined.shard, c.shard)
		}
		joined.moved = joined.moved || c.moved
		if c.history[0].ValidAfter.After(since) {
			since = c.history[0].ValidAfter
		}
	}
	if !slices.EqualFunc(t.chunks[first:last+1], slices.Repeat([]chunk{joined}, last+1-first), sameHistory) {
		joined.history = []placement{{since, joined.shard}} // where its parts were before is forgotten, as on a server
	}
	v := t.version()
	joined.max, joined.hi = t.chunks[last].max, t.chunks[last].hi
	joined.version = bson.Timestamp{T: v.T, I: v.I + 1}
	return t.withChunks(slices.Concat(t.chunks[:first], []chunk{joined}, t.chunks[last+1:])), nil
}

func sameHistory(a, b chunk) bool { return slices.Equal(a.history, b.history) }
