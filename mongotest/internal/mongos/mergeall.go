package mongos

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// historyWindow is minSnapshotHistoryWindowInSeconds: for so long a chunk has to
// remember where it has been, and is not merged with others.
const historyWindow = 5 * time.Minute

// mergeAllChunksOnShard joins the neighbours among the chunks of a shard that
// have been there for a while and are of one zone.
func mergeAllChunksOnShard(ctx context.Context, o *op) (bson.Raw, error) {
	t, unlock, err := o.exclusiveTable(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, err := o.r.catalog.shard(getString(o.req.Body, "shard"))
	if err != nil {
		return nil, err
	}
	n, merged := t, 0
	for first := 0; first < len(n.chunks); first++ {
		last := first
		for last+1 < len(n.chunks) && o.mergeable(n, first, s.ID) && o.mergeable(n, last+1, s.ID) && o.zoneOf(n, first) == o.zoneOf(n, last+1) {
			last++
		}
		if last == first {
			continue
		}
		merged++
		if n, err = n.merge(first, last); err != nil {
			return nil, err
		}
	}
	if merged == 0 {
		return rawDoc(bson.D{}), nil
	}
	if err := o.r.catalog.store(ctx, n); err != nil {
		return nil, err
	}
	o.changelog(ctx, "mergeAllChunksOnShard", t.ns, bson.D{{"shard", s.ID}, {"numMerges", int32(merged)}})
	return rawDoc(bson.D{}), nil
}

// mergeable reports whether chunk i is on the shard, and has been for long
// enough.
func (o *op) mergeable(t *table, i int, shard string) bool {
	c := &t.chunks[i]
	since := time.Unix(int64(c.history[0].ValidAfter.T), 0)
	return c.shard == shard && !c.jumbo && time.Since(since) >= historyWindow
}

func (o *op) zoneOf(t *table, i int) string {
	return o.r.catalog.zoneAt(t.ns, t.key, t.chunks[i].lo)
}
