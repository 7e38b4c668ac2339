package topology

import (
	"cmp"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// Recut gives what is left of copy tasks to the shards that have the documents
// now. It returns the tasks that are to be ended, and those that take their place.
// A task without a shard stands for a whole collection.
//
// A collection that is not there any more keeps its tasks: a schema change that
// tells what became of it is on its way.
func Recut(left []shardferry.CopyTask, c *Cluster) (cut []int64, tasks []shardferry.CopyTask, err error) {
	whole := map[shardferry.UUID]bool{}
	for _, t := range left {
		at := slices.IndexFunc(c.Collections, func(coll Collection) bool { return coll.UUID == t.UUID })
		if t.Done || at < 0 {
			continue
		}
		coll := &c.Collections[at]
		var own []shardferry.CopyTask
		switch {
		case whole[t.UUID]:
		case t.Shard == "" || (len(coll.ShardKey) > 0 && !hasPrefix(t.Index, coll.ShardKey)):
			// It was copied by another key, by which its chunks cannot be told apart.
			whole[t.UUID] = true
			if own, err = coll.tasks(c, nil); err != nil {
				return nil, nil, err
			}
		case len(coll.ShardKey) == 0:
			own = []shardferry.CopyTask{{Shard: coll.home(c), Index: t.Index, Min: t.Min, Max: t.Max, Resume: t.Resume}}
		default:
			own = coll.shared(t)
		}
		if len(own) == 1 && own[0].Shard == t.Shard {
			continue
		}
		cut = append(cut, t.ID)
		for _, o := range own {
			o.UUID, o.Resync, o.After = t.UUID, t.Resync, t.After
			tasks = append(tasks, o)
		}
	}
	return cut, tasks, nil
}

// tasks cuts the collection into copy tasks of the shards that own it.
func (c *Collection) tasks(in *Cluster, cuts []bson.Raw) ([]shardferry.CopyTask, error) {
	if len(c.ShardKey) == 0 {
		return c.unshardedTasks(c.home(in), cuts), nil
	}
	index, err := shardKeyIndex(c)
	if err != nil {
		return nil, fmt.Errorf("%s %w", c.NS, err)
	}
	return c.shardedTasks(index), nil
}

// home returns the shard of an unsharded collection.
func (c *Collection) home(in *Cluster) shardferry.ShardID { return cmp.Or(c.Home, in.Primary(c.NS.DB)) }

// shared cuts what is left of a task where its chunks have different owners.
func (c *Collection) shared(t shardferry.CopyTask) []shardferry.CopyTask {
	from := t.Min
	if len(t.Resume) > 0 {
		from = t.Resume
	}
	var out []shardferry.CopyTask
	for _, ch := range c.Chunks {
		lo, hi := later(from, indexBound(ch.Min, t.Index)), earlier(t.Max, indexBound(ch.Max, t.Index))
		if len(lo) > 0 && len(hi) > 0 && compareKeys(lo, hi) >= 0 {
			continue
		}
		if n := len(out) - 1; n >= 0 && out[n].Shard == ch.Shard {
			out[n].Max = hi
			continue
		}
		out = append(out, shardferry.CopyTask{Shard: ch.Shard, Index: t.Index, Min: lo, Max: hi})
	}
	return out
}

// later returns the larger of two lower bounds; an empty one is the start.
func later(a, b bson.Raw) bson.Raw {
	if len(a) == 0 || (len(b) > 0 && compareKeys(a, b) < 0) {
		return b
	}
	return a
}

// earlier returns the smaller of two upper bounds; an empty one is the end.
func earlier(a, b bson.Raw) bson.Raw {
	if len(a) == 0 || (len(b) > 0 && compareKeys(a, b) > 0) {
		return b
	}
	return a
}
