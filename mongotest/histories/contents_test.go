package histories_test

import (
	"slices"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// contents compares what the collections hold with the model: no document is
// lost, none is there twice, and there is no collection that should not be.
func (w *world) contents() {
	for _, db := range []string{"a", "b"} {
		names, err := w.cl.Database(db).ListCollectionNames(w.ctx, bson.D{})
		require.NoError(w.t, err)
		var want []string
		for _, c := range w.existing() {
			if c.db() == db {
				want = append(want, c.name())
			}
		}
		slices.Sort(names)
		require.ElementsMatch(w.t, want, names)
	}
	for _, c := range w.existing() {
		w.compare(c, bson.D{}, func(bson.D) bool { return true })
		k := int32(w.rnd.IntN(10))
		w.compare(c, bson.D{{"k", bson.D{{"$gte", k}}}}, func(d bson.D) bool { return get(d, "k").(int32) >= k })
		n, err := w.coll(c).CountDocuments(w.ctx, bson.D{})
		require.NoError(w.t, err)
		require.EqualValues(w.t, len(c.docs), n, c.ns)
	}
}

// compare reads the documents of a filter, in small batches.
func (w *world) compare(c *collection, filter bson.D, matches func(bson.D) bool) {
	want := map[string]bson.Raw{}
	for id, d := range c.docs {
		if matches(d) {
			want[id] = raw(d)
		}
	}
	cur, err := w.coll(c).Find(w.ctx, filter, options.Find().SetBatchSize(int32(2+w.rnd.IntN(5))))
	require.NoError(w.t, err)
	for cur.Next(w.ctx) {
		id := idKey(cur.Current.Lookup("_id"))
		require.Equal(w.t, want[id], cur.Current, "%s: another document, or the same twice", c.ns)
		delete(want, id)
	}
	require.NoError(w.t, cur.Err())
	require.Empty(w.t, want, "%s: lost", c.ns)
}

// truncated drops the older part of a shard's oplog: a stream that needs it says
// so, any other goes on.
func (w *world) truncated(all []bson.Raw, marks []mark, end bson.Timestamp) {
	if len(all) == 0 {
		return
	}
	shard := one(w.rnd, w.shards)
	before, _, err := w.c.OplogWindow(shard)
	require.NoError(w.t, err)
	transactions := w.prepared(shard)
	require.NoError(w.t, w.c.TruncateOplog(shard, clusterTime(one(w.rnd, all))))
	first, _, err := w.c.OplogWindow(shard)
	require.NoError(w.t, err)
	for range 4 {
		p, ok := w.draw(all, marks, end)
		if !ok {
			continue
		}
		at := parseToken(p.after).timestamp()
		if first.After(before) && first.After(at) {
			p.code = 286
		}
		for _, t := range transactions { // the end of one says nothing without its beginning
			if first.After(t.begin) && !first.After(t.end) && !at.After(t.end) {
				p.code = 286
			}
		}
		require.NoError(w.t, w.check(scope{expanded: true}, p, all, end), "%v, with an oplog that begins at %v", p.from, first)
	}
}

// A span is where a transaction stands in an oplog.
type span struct{ begin, end bson.Timestamp }

// prepared finds the transactions of a shard that were prepared and committed
// later.
func (w *world) prepared(shard string) []span {
	cur, err := w.readers[shard].Database("local").Collection("oplog.rs").Find(w.ctx, bson.D{{"txnNumber", bson.D{{"$exists", true}}}, {"op", "c"}})
	require.NoError(w.t, err)
	var entries []bson.Raw
	require.NoError(w.t, cur.All(w.ctx, &entries))
	begun := map[string]bson.Timestamp{}
	var out []span
	for _, e := range entries {
		t, i := e.Lookup("ts").Timestamp()
		at, key := bson.Timestamp{T: t, I: i}, e.Lookup("lsid").String()+e.Lookup("txnNumber").String()
		if _, ok := begun[key]; !ok {
			begun[key] = at
		}
		if _, err := e.LookupErr("o", "commitTransaction"); err == nil {
			out = append(out, span{begun[key], at})
		}
	}
	return out
}
