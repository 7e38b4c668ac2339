package shardworker

import (
	"context"
	"fmt"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/keyhash"
)

const (
	// repairDocs bounds the documents of one step of repairs.
	repairDocs = 32
	// repairReads bounds the reads of one lane that run at a time.
	repairReads = 8
	// repairKeys bounds the bytes of the keys that one read asks for.
	repairKeys = 1 << 20
)

// A repair makes the document of one key on the destination what it is on the
// source now: it is put or deleted. It runs in the key's lane, so that no event
// of the key is applied between its read and its write, and it reads at or after
// the time of every event the lane has applied.
type repair struct {
	coll *shardferry.Collection
	key  bson.Raw
	byID bool // the key is not known: repair every document of its _id
	anew bool // the document goes behind all others, where it was inserted last
}

// A found is what a repair has read.
type found struct {
	repair
	doc  bson.Raw // nil: the source has no such document
	upTo shardferry.ClusterTime
}

func (a *applier) repairAll(ctx context.Context, repairs []repair) error {
	repairs = distinct(repairs)
	for len(repairs) > 0 {
		n, bytes := a.memory.step(repairs)
		if err := a.memory.acquire(ctx, bytes); err != nil {
			return err
		}
		err := a.repairSome(ctx, repairs[:n])
		a.memory.release(bytes)
		if err != nil {
			return err
		}
		repairs = repairs[n:]
	}
	return nil
}

func distinct(repairs []repair) []repair {
	if len(repairs) < 2 {
		return repairs
	}
	type document struct {
		uuid shardferry.UUID
		key  string
	}
	seen := map[document]bool{}
	out := repairs[:0]
	for _, r := range repairs {
		k := document{r.coll.UUID, string(r.key)}
		if !seen[k] || r.byID {
			seen[k] = true
			out = append(out, r)
		}
	}
	return out
}

func (a *applier) repairSome(ctx context.Context, repairs []repair) error {
	at := a.last
	read, err := a.readAll(ctx, repairs, at)
	if err != nil {
		return err
	}
	shardferry.Reached(ctx, shardferry.RepairRead)
	var strays, writes writeSet
	for _, f := range read {
		a.memory.saw(f.coll.UUID, len(f.doc))
		a.addPut(f, &strays, &writes)
	}
	failed, err := a.send(ctx, append(strays.commands(), writes.commands()...))
	if err != nil {
		return err
	}
	var resolved shardferry.ClusterTime
	for _, f := range failed {
		upTo, err := a.resolve(ctx, f, at)
		if err != nil {
			return err
		}
		resolved = shardferry.LaterOf(resolved, upTo)
	}
	for _, f := range read {
		a.images.put(f.coll, a.keys.identity(f.key), image{includes: at, upTo: shardferry.LaterOf(f.upTo, resolved)})
	}
	a.repairs += len(read)
	shardferry.Reached(ctx, shardferry.RepairDone)
	return nil
}

// addPut adds the statements that make f true on the destination. Those in
// strays are to be sent before those in writes.
func (a *applier) addPut(f found, strays, writes *writeSet) {
	if f.doc == nil {
		// Nothing of its identity is there: on the destination it may have another shard
		// key than the document had that the repair began with.
		id := a.keys.identity(f.key)
		writes.add(f.coll, statement{kind: deletes, key: id, loose: a.keys.loose(f.coll, id), size: len(id)})
		return
	}
	key := a.keys.ofDocument(f.coll, f.key, f.doc)
	switch {
	case a.keys.sourceSharded || len(f.coll.ShardKey) == 0:
	case f.coll.Collated && collatable(idOf(key)):
		// As below; and a stray may be held for equal, which no filter can tell
		// from being the same.
		id := a.keys.identity(key)
		strays.add(f.coll, statement{kind: deletes, key: id, loose: true, size: len(id)})
	default:
		// The source tells documents apart by _id alone, the destination does not.
		strays.add(f.coll, statement{kind: deletes, key: key, strayOf: key, size: 2 * len(key)})
	}
	put := statement{kind: puts, key: key, loose: a.keys.loose(f.coll, key), doc: f.doc, size: len(key) + len(f.doc)}
	if f.anew || oversized(key, f.doc) {
		strays.add(f.coll, statement{kind: deletes, key: key, loose: put.loose, size: len(key)})
		put.kind, put.size = inserts, len(f.doc)
	}
	writes.add(f.coll, put)
}

// readAll reads the documents of repairs from the source, several at a time.
func (a *applier) readAll(ctx context.Context, repairs []repair, at shardferry.ClusterTime) ([]found, error) {
	var mu sync.Mutex
	var out []found
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(repairReads)
	for _, group := range grouped(repairs, a.keys) {
		g.Go(func() error {
			read, err := a.readGroup(ctx, group, at)
			mu.Lock()
			defer mu.Unlock()
			out = append(out, read...)
			return err
		})
	}
	return out, g.Wait()
}

// grouped puts repairs into groups that one find can serve: by _id where that is
// the whole key on the source and no two keys could be taken for each other,
// else one by one.
func grouped(repairs []repair, keys keyer) [][]repair {
	var out [][]repair
	together := map[shardferry.UUID]int{}
	type place struct {
		uuid shardferry.UUID
		hash uint64
	}
	used := map[place]bool{}
	size := map[shardferry.UUID]int{} // of the keys of the group that is open
	for _, r := range repairs {
		id := keys.identity(r.key)
		hash := place{r.coll.UUID, keyhash.Key(id)}
		if !onlyID(id) || used[hash] {
			out = append(out, []repair{r})
			continue
		}
		used[hash] = true
		at, ok := together[r.coll.UUID]
		if size[r.coll.UUID] += len(id); !ok || size[r.coll.UUID] > repairKeys {
			at = len(out)
			together[r.coll.UUID], size[r.coll.UUID] = at, len(id)
			out = append(out, nil)
		}
		out[at] = append(out[at], r)
	}
	return out
}

func (a *applier) readGroup(ctx context.Context, group []repair, at shardferry.ClusterTime) ([]found, error) {
	first := group[0]
	q := a.keys.query(first.coll, first.key, at)
	switch {
	case first.byID:
		q.filter, q.limit = filter(build(func(dst []byte) []byte { return keyhash.AppendElement(dst, "_id", idOf(first.key)) })), 0
	case len(group) > 1:
		q.filter, q.limit = idsFilter(group), 0
	}
	docs, upTo, err := a.reread.all(ctx, q)
	if err != nil {
		return nil, err
	}
	if first.byID {
		out := make([]found, 0, len(docs))
		for _, d := range docs {
			out = append(out, found{repair: repair{coll: first.coll, key: a.keys.ofDocument(first.coll, first.key, d)}, doc: d, upTo: upTo})
		}
		return out, nil
	}
	if len(group) == 1 {
		f := found{repair: first, upTo: upTo}
		if len(docs) > 0 {
			f.doc = docs[0] // under a collation its _id may be another one
		}
		return []found{f}, nil
	}
	byHash := map[uint64]bson.Raw{}
	for _, d := range docs {
		byHash[keyhash.ID(idOf(d))] = d
	}
	out := make([]found, 0, len(group))
	for _, r := range group {
		doc := byHash[keyhash.ID(idOf(r.key))]
		if doc == nil && q.loose && collatable(idOf(r.key)) {
			// Whether one of the others is held for equal only the source can say.
			alone, err := a.readGroup(ctx, []repair{r}, at)
			if err != nil {
				return nil, err
			}
			out = append(out, alone...)
			continue
		}
		out = append(out, found{repair: r, doc: doc, upTo: upTo})
	}
	return out, nil
}

// idsFilter gives {_id: {$in: [...]}}.
func idsFilter(group []repair) bson.Raw {
	ids := build(func(dst []byte) []byte {
		for i, r := range group {
			dst = keyhash.AppendElement(dst, fmt.Sprint(i), idOf(r.key))
		}
		return dst
	})
	in := build(func(dst []byte) []byte {
		return keyhash.AppendElement(dst, "$in", bson.RawValue{Type: bson.TypeArray, Value: ids})
	})
	return build(func(dst []byte) []byte {
		return keyhash.AppendElement(dst, "_id", bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: in})
	})
}
