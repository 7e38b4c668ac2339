package mongos

import (
	"bytes"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// publish fills in what is asked of a table over and over, before routers see
// it.
func (t *table) publish() {
	t.placements, t.newest = map[string]*command.Routed{}, bson.Timestamp{}
	for i := range t.chunks {
		if came := t.chunks[i].history[0].ValidAfter; came.After(t.newest) {
			t.newest = came
		}
	}
	for _, s := range t.shards() {
		t.placements[s] = &command.Routed{Placement: t.placement(s)}
	}
}

// routed is what a router that knows this table tells a shard.
func (t *table) routed(shard string) *command.Routed {
	if r := t.placements[shard]; r != nil {
		return r
	}
	return &command.Routed{Placement: t.placement(shard)}
}

func (t *table) placement(shard string) *command.Placement {
	return &command.Placement{NS: t.ns, Epoch: t.epoch, Timestamp: t.timestamp, Version: t.versionOf(shard)}
}

// shardVersion is the highest version of the chunks on a shard, zero if it has
// none.
func (t *table) shardVersion(shard string) bson.Timestamp {
	if t.placements == nil {
		return t.versionOf(shard)
	}
	if r := t.placements[shard]; r != nil {
		return r.Placement.Version
	}
	return bson.Timestamp{}
}

func (t *table) versionOf(shard string) bson.Timestamp {
	var v bson.Timestamp
	for i := range t.chunks {
		if c := &t.chunks[i]; c.shard == shard && c.version.After(v) {
			v = c.version
		}
	}
	return v
}

// came is when a chunk came to a shard for the last time.
func (t *table) came(shard string) bson.Timestamp {
	var last bson.Timestamp
	for i := range t.chunks {
		if c := &t.chunks[i]; c.shard == shard && c.history[0].ValidAfter.After(last) {
			last = c.history[0].ValidAfter
		}
	}
	return last
}

// at returns the table with every chunk on the shard that it was on at a time,
// zero meaning now.
func (t *table) at(ts bson.Timestamp) (*table, error) {
	if ts.IsZero() || !t.newest.After(ts) {
		return t, nil
	}
	past := *t
	past.placements = nil
	past.chunks = make([]chunk, len(t.chunks))
	copy(past.chunks, t.chunks)
	for i := range past.chunks {
		c := &past.chunks[i]
		found := false
		for _, h := range c.history {
			if !h.ValidAfter.After(ts) {
				c.shard, found = h.Shard, true
				break
			}
		}
		if !found {
			return nil, mongoerr.New(mongoerr.StaleChunkHistory, "Cannot find shard the chunk belonged to at cluster time %s", timestampText(ts))
		}
	}
	return &past, nil
}

// movedSince refuses a write, in a transaction that reads the past, to a chunk
// that has another owner by now. t is the table of that past, now today's.
func (t *table) movedSince(now *table, at bson.Timestamp, ranges []keyRange) error {
	if t == now {
		return nil
	}
	for _, r := range ranges {
		for i := t.chunkAt(r.lo); i < len(t.chunks) && bytes.Compare(t.chunks[i].lo, r.hi) <= 0; i++ {
			if c := &now.chunks[i]; c.shard != t.chunks[i].shard {
				return mongoerr.New(mongoerr.MigrationConflict, "Chunk has moved since timestamp: %s, most recently at timestamp: %s",
					timestampText(at), timestampText(c.history[0].ValidAfter))
			}
		}
	}
	return nil
}

// checkMoved refuses the write of a document, or to what matches a filter, for
// that reason.
func (rt *route) checkMoved(o *op, doc, filter bson.Raw, by *collation.Collation) error {
	if rt.table == rt.now {
		return nil
	}
	ranges, err := rt.table.ranges(filter, by)
	if doc != nil {
		var pos []byte
		pos, err = rt.table.key.position(doc)
		ranges = []keyRange{{pos, pos}}
	}
	if err != nil {
		return err
	}
	return rt.table.movedSince(rt.now, o.at, ranges)
}
