package histories_test

import (
	"math"
	"slices"
	"strconv"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// ddl changes what collections there are, or one of them.
func (w *world) ddl() {
	switch w.rnd.IntN(10) {
	case 0, 1:
		w.create()
	case 2:
		w.drop()
	case 3:
		w.rename()
	case 4:
		w.dropDatabase()
	case 5, 6:
		w.index()
	case 7:
		w.collMod()
	default:
		w.shardCollection()
	}
}

func (w *world) create() {
	ns := one(w.rnd, namespaces)
	if w.collections[ns] != nil {
		return
	}
	c := w.newCollection(ns)
	require.NoError(w.t, w.cl.Database(c.db()).CreateCollection(w.ctx, c.name()))
	w.did("create "+ns, catalogPart("create", c))
}

func (w *world) drop() {
	c := w.pick(nil)
	if c == nil {
		return
	}
	require.NoError(w.t, w.coll(c).Drop(w.ctx))
	delete(w.collections, c.ns)
	w.did("drop "+c.ns, catalogPart("drop", c))
}

func (w *world) rename() {
	c := w.pick(nil)
	if c == nil || c.db() != "a" {
		return
	}
	to := namespaces[0]
	if to == c.ns {
		to = namespaces[1]
	}
	target := w.collections[to]
	if target != nil && (target.sharded() || c.sharded()) {
		return
	}
	w.admin(bson.D{{"renameCollection", c.ns}, {"to", to}, {"dropTarget", target != nil}})
	p := catalogPart("rename", c)
	p.catalog[0].to = to
	w.did("rename "+c.ns, p)
	delete(w.collections, c.ns)
	c.ns = to
	w.collections[to] = c
}

func (w *world) dropDatabase() {
	db := one(w.rnd, []string{"a", "b"})
	var drops part
	for _, c := range w.existing() {
		if c.db() == db {
			drops.catalog = append(drops.catalog, catalogPart("drop", c).catalog...)
			delete(w.collections, c.ns)
		}
	}
	require.NoError(w.t, w.cl.Database(db).Drop(w.ctx))
	least := min(len(drops.catalog), 1) // a database without collections may be there or not
	w.did("drop database "+db, drops, part{catalog: []catalogEvent{{kind: "dropDatabase", ns: db, least: least, most: 1}}})
	w.place(db)
}

// place gives a database its primary shard.
func (w *world) place(db string) {
	w.primaries[db] = one(w.rnd, w.shards)
	if w.sharded {
		w.admin(bson.D{{"enableSharding", db}, {"primaryShard", w.primaries[db]}})
	}
}

// index builds an index or drops one: every shard with chunks tells of it.
func (w *world) index() {
	c := w.pick(nil)
	if c == nil {
		return
	}
	copies := len(w.owners(c))
	if len(c.indexes) > 0 && w.chance(50) {
		name := c.indexes[0]
		require.NoError(w.t, w.coll(c).Indexes().DropOne(w.ctx, name))
		c.indexes = c.indexes[1:]
		w.did("drop index of "+c.ns, catalogPart("dropIndexes", c, copies))
		return
	}
	name := "i" + strconv.Itoa(int(w.next()))
	key := bson.D{{one(w.rnd, []string{"v", "n.a", "arr.x"}), 1}, {name, 1}}
	_, err := w.coll(c).Indexes().CreateOne(w.ctx, mongo.IndexModel{Keys: key, Options: options.Index().SetName(name)})
	require.NoError(w.t, err)
	c.indexes = append(c.indexes, name)
	w.did("create index of "+c.ns, catalogPart("createIndexes", c, copies))
}

func (w *world) collMod() {
	c := w.pick(nil)
	if c == nil {
		return
	}
	cmd := bson.D{{"collMod", c.name()}, {"validator", bson.D{{"never", bson.D{{"$ne", w.next()}}}}}}
	require.NoError(w.t, w.cl.Database(c.db()).RunCommand(w.ctx, cmd).Err())
	owners := w.owners(c)
	most := len(owners)
	if !slices.Contains(owners, w.primaries[c.db()]) {
		most++
	}
	w.did("collMod of "+c.ns, catalogPart("modify", c, len(owners), most))
}

func (w *world) shardCollection() {
	c := w.pick(func(c *collection) bool { return !c.sharded() && !slices.Contains(c.indexes, "k") })
	if !w.sharded || c == nil {
		return
	}
	var parts []part
	if len(c.docs) > 0 {
		_, err := w.coll(c).Indexes().CreateOne(w.ctx, mongo.IndexModel{Keys: bson.D{{"k", 1}}})
		require.NoError(w.t, err)
	}
	parts = append(parts, catalogPart("createIndexes", c))
	w.admin(bson.D{{"shardCollection", c.ns}, {"key", bson.D{{"k", 1}}}})
	c.chunks = []chunk{{math.MinInt, math.MaxInt, []string{w.primaries[c.db()]}}}
	w.did("shardCollection "+c.ns, append(parts, catalogPart("shardCollection", c))...)
}
