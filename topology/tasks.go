package topology

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
)

// TaskBytes is about how much one copy task covers.
const TaskBytes = 64 << 20

var (
	idIndex      = mustMarshal(bson.D{{"_id", int32(1)}})
	naturalOrder = mustMarshal(bson.D{{"$natural", int32(1)}})
)

// Tasks cuts the collections of a source into copy tasks, those of the largest
// collection first. cuts holds split points on _id of unsharded collections, as
// SplitPoints finds them.
func Tasks(src *Cluster, cuts map[shardferry.Namespace][]bson.Raw) ([]shardferry.CopyTask, error) {
	var tasks []shardferry.CopyTask
	for _, c := range bySize(src.Collections) {
		if c.Type != TypeCollection {
			continue
		}
		var own []shardferry.CopyTask
		if len(c.ShardKey) > 0 {
			index, err := shardKeyIndex(&c)
			if err != nil {
				return nil, fmt.Errorf("%s %w", c.NS, err)
			}
			own = c.shardedTasks(index)
		} else {
			own = c.unshardedTasks(cmp.Or(c.Home, src.Primary(c.NS.DB)), cuts[c.NS])
		}
		for _, t := range own {
			t.ID, t.UUID = int64(len(tasks)+1), c.UUID
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

// shardedTasks makes a task of every run of neighbouring chunks on one shard,
// but cuts a run where it grows over TaskBytes.
func (c *Collection) shardedTasks(index bson.Raw) []shardferry.CopyTask {
	var tasks []shardferry.CopyTask
	each := c.Stats.Bytes / int64(max(len(c.Chunks), 1))
	var run int64
	for i, ch := range c.Chunks {
		run += each
		if i > 0 && run <= TaskBytes && c.Chunks[i-1].Shard == ch.Shard {
			tasks[len(tasks)-1].Max = indexBound(ch.Max, index)
			continue
		}
		run = each
		tasks = append(tasks, shardferry.CopyTask{
			Shard: ch.Shard, Index: index, Min: indexBound(ch.Min, index), Max: indexBound(ch.Max, index),
		})
	}
	return tasks
}

// unshardedTasks cuts a collection at the given keys. A capped one keeps the
// order of insertion, which only one task can do.
func (c *Collection) unshardedTasks(shard shardferry.ShardID, cuts []bson.Raw) []shardferry.CopyTask {
	if c.Capped() {
		return []shardferry.CopyTask{{Shard: shard, Index: naturalOrder}}
	}
	var tasks []shardferry.CopyTask
	var from bson.Raw
	for _, cut := range append(slices.Clone(cuts), nil) {
		tasks = append(tasks, shardferry.CopyTask{Shard: shard, Index: idIndex, Min: from, Max: cut})
		from = cut
	}
	return tasks
}

// shardKeyIndex returns the key pattern of the index that is scanned to read the
// collection by its shard key.
func shardKeyIndex(c *Collection) (bson.Raw, error) {
	if isIDKey(c.ShardKey) {
		return idIndex, nil
	}
	if spec := c.shardKeySpec(); spec != nil {
		return spec.Lookup("key").Document(), nil
	}
	return nil, errors.New("has no index that supports its shard key")
}

// shardKeySpec returns the index that supports the shard key, nil if there is
// none: the unique one if the key is unique, and of several the one with the
// fewest fields, because a longer one may be multikey in the rest of them and
// list a document more than once.
func (c *Collection) shardKeySpec() bson.Raw {
	var best bson.Raw
	fewest := 0
	for _, spec := range c.Indexes {
		if !c.supportsShardKey(spec) {
			continue
		}
		n := fieldCount(spec.Lookup("key").Document())
		if c.Unique && isTrue(spec, "unique") && n == fieldCount(c.ShardKey) {
			return spec
		}
		if best == nil || n < fewest {
			best, fewest = spec, n
		}
	}
	return best
}

// supportsShardKey reports whether an index begins with the shard key and holds
// every document in the order of the shard key, and may be asked for by a hint.
func (c *Collection) supportsShardKey(spec bson.Raw) bool {
	if _, err := spec.LookupErr("partialFilterExpression"); err == nil || collated(spec) {
		return false
	}
	key, ok := spec.Lookup("key").DocumentOK()
	return ok && !isTrue(spec, "sparse") && !isTrue(spec, "hidden") && hasPrefix(key, c.ShardKey)
}

// needsFromStart reports whether the index must exist before the collection is
// sharded on the destination. One such index is enough.
func (c *Collection) needsFromStart(spec bson.Raw) bool {
	if len(c.ShardKey) == 0 || isIDKey(c.ShardKey) {
		return false
	}
	chosen := c.shardKeySpec()
	return chosen != nil && IndexName(chosen) == IndexName(spec)
}

func fieldCount(doc bson.Raw) int {
	elems, err := doc.Elements()
	if err != nil {
		return 0
	}
	return len(elems)
}

// hasPrefix reports whether key begins with the fields of prefix, in order and
// with equal values (1 and 1.0 are equal).
func hasPrefix(key, prefix bson.Raw) bool {
	have, err1 := key.Elements()
	want, err2 := prefix.Elements()
	if err1 != nil || err2 != nil || len(have) < len(want) {
		return false
	}
	for i, w := range want {
		if have[i].Key() != w.Key() || !sameDirection(have[i].Value(), w.Value()) {
			return false
		}
	}
	return true
}

func sameDirection(a, b bson.RawValue) bool {
	x, xok := a.AsFloat64OK()
	y, yok := b.AsFloat64OK()
	if xok && yok {
		return (x < 0) == (y < 0)
	}
	s, sok := a.StringValueOK()
	t, tok := b.StringValueOK()
	return sok && tok && s == t
}

func isIDKey(key bson.Raw) bool {
	elems, err := key.Elements()
	return err == nil && len(elems) == 1 && elems[0].Key() == "_id" && elems[0].Value().Type != bson.TypeString
}

// indexBound turns a chunk bound into a bound on an index that may have more
// fields than the shard key: those are filled with MinKey, as the server does.
// The bounds of the first and the last chunk become none at all: the last one
// holds documents whose key is MaxKey itself, though it is exclusive by its form.
func indexBound(bound, index bson.Raw) bson.Raw {
	elems, err := index.Elements()
	if err != nil {
		return bound
	}
	if allOf(bound, bson.TypeMinKey) || allOf(bound, bson.TypeMaxKey) {
		return nil
	}
	out := bson.D{}
	for _, e := range elems {
		if v, err := bound.LookupErr(e.Key()); err == nil {
			out = append(out, bson.E{Key: e.Key(), Value: v})
		} else {
			out = append(out, bson.E{Key: e.Key(), Value: bson.MinKey{}})
		}
	}
	return mustMarshal(out)
}

// allOf reports whether every field of a bound has the given type.
func allOf(bound bson.Raw, t bson.Type) bool {
	elems, err := bound.Elements()
	return err == nil && !slices.ContainsFunc(elems, func(e bson.RawElement) bool { return e.Value().Type != t })
}

// mustMarshal encodes a document built from BSON values, which cannot fail.
func mustMarshal(d bson.D) bson.Raw {
	b, err := bson.Marshal(d)
	if err != nil {
		panic(fmt.Sprintf("topology: encode %v: %v", d, err))
	}
	return b
}

const samplesPerCut = 20

// SplitPoints returns _id values, as {_id: value}, that cut an unsharded
// collection into about parts equal ranges. They come from a random sample.
func SplitPoints(ctx context.Context, client *mongo.Client, ns shardferry.Namespace, parts int) ([]bson.Raw, error) {
	if parts <= 1 {
		return nil, nil
	}
	cur, err := client.Database(ns.DB).Collection(ns.Coll).Aggregate(ctx, bson.A{
		bson.D{{"$sample", bson.D{{"size", parts * samplesPerCut}}}},
		bson.D{{"$project", bson.D{{"_id", 1}}}},
		bson.D{{"$sort", bson.D{{"_id", 1}}}},
	}, options.Aggregate().SetAllowDiskUse(true))
	if err != nil {
		return nil, fmt.Errorf("sample %s: %w", ns, err)
	}
	var ids []bson.Raw
	if err := cur.All(ctx, &ids); err != nil {
		return nil, fmt.Errorf("sample %s: %w", ns, err)
	}
	var cuts []bson.Raw
	for i := 1; i < parts && i*len(ids)/parts < len(ids); i++ {
		cut := ids[i*len(ids)/parts]
		if len(cuts) == 0 || !slices.Equal(cuts[len(cuts)-1], cut) {
			cuts = append(cuts, cut)
		}
	}
	return cuts, nil
}
