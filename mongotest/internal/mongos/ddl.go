package mongos

import (
	"context"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// others returns the shards but the primary one.
func (c *Catalog) others(primary string) []string {
	return slices.DeleteFunc(c.shardIDs(), func(id string) bool { return id == primary })
}

// copies makes the calls of a DDL command to the shards where it only repeats
// what the primary shard does: logged with fromMigrate, so in no change stream.
func copies(c call) call {
	c.routed = &command.Routed{FromMigrate: true}
	return c
}

// absent ignores that there was nothing to do on a shard.
func absent(err error) error {
	if mongoerr.Is(err, mongoerr.NamespaceNotFound) {
		return nil
	}
	return err
}

func create(ctx context.Context, o *op) (bson.Raw, error) {
	coll, err := collectionName(o.req)
	if err != nil {
		return nil, err
	}
	primary, err := o.writablePrimary(ctx, o.req.DB)
	if err != nil {
		return nil, err
	}
	ns := o.req.DB + "." + coll
	unlock, err := o.exclusive(ctx, ns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	primary = o.primaryNow(o.req.DB, primary)
	resp, err := o.send(ctx, primary, o.forward())
	if err != nil {
		return nil, err
	}
	if on := getString(o.req.Body, "viewOn"); on != "" {
		own, err := defaultCollation(o.req.Body)
		if err != nil {
			return nil, err
		}
		o.r.catalog.setView(ns, view{on: o.req.DB + "." + on, pipeline: getDocs(o.req.Body, "pipeline"), collation: own})
	}
	return resp.Body, nil
}

// checkUUID enforces the collectionUUID of a command on a sharded collection.
func (o *op) checkUUID(t *table) error {
	v, ok := value.Get(o.req.Body, "collectionUUID")
	if !ok {
		return nil
	}
	want, ok := value.ParseUUID(v)
	if ok && want == t.uuid {
		return nil
	}
	e := mongoerr.New(mongoerr.CollectionUUIDMismatch, "Collection UUID does not match that specified")
	_, expected, _ := splitNS(t.ns)
	var actual any
	for _, other := range o.r.catalog.tables(o.req.DB) {
		if other.uuid == want {
			_, name, _ := splitNS(other.ns)
			actual = name
		}
	}
	return e.WithInfo("db", o.req.DB).WithInfo("collectionUUID", v).WithInfo("expectedCollection", expected).WithInfo("actualCollection", actual)
}

// drop removes a collection. Of a sharded one the primary shard's copy goes
// last, so that its drop event is later than every other shard's.
func drop(ctx context.Context, o *op) (bson.Raw, error) {
	coll, err := collectionName(o.req)
	if err != nil {
		return nil, err
	}
	ns := o.req.DB + "." + coll
	primary, ok := o.r.primaryOf(o.req.DB)
	if !ok {
		if !o.r.cfg.Version.AtLeast(7, 0) {
			return nil, mongoerr.New(mongoerr.NamespaceNotFound, "ns not found")
		}
		return rawDoc(bson.D{}), nil
	}
	unlock, err := o.exclusive(ctx, ns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	primary = o.primaryNow(o.req.DB, primary)
	if t := o.r.catalog.table(ns); t != nil {
		return o.dropTable(ctx, primary, t)
	}
	resp, err := o.send(ctx, primary, o.forward())
	if err != nil {
		return nil, err
	}
	o.r.catalog.dropViews(func(v string) bool { return v == ns })
	return resp.Body, nil
}

// dropTable drops what the catalog knows. Once begun it is brought to its end.
func (o *op) dropTable(ctx context.Context, primary string, t *table) (bson.Raw, error) {
	if err := o.checkUUID(t); err != nil {
		return nil, err
	}
	ctx, done := o.r.lasting.begin(ctx)
	defer done()
	if err := o.insist(ctx, func() error { return o.dropElsewhere(ctx, primary, t.ns) }); err != nil {
		return nil, err
	}
	reply, err := o.finally(ctx, primary)
	if err != nil {
		return nil, err
	}
	o.r.catalog.dropViews(func(v string) bool { return v == t.ns || t.series != nil && bucketsNS(v) == t.ns })
	if err := o.insist(ctx, func() error { return o.r.catalog.forget(ctx, t) }); err != nil {
		return nil, err
	}
	o.changelog(ctx, "dropCollection", t.ns, bson.D{})
	return reply, nil
}

// dropElsewhere drops what the shards besides the primary one have of ns.
func (o *op) dropElsewhere(ctx context.Context, primary, ns string) error {
	db, coll, _ := splitNS(ns)
	others := o.r.catalog.others(primary)
	return o.each(ctx, others, func(ctx context.Context, _ int, shard string) error {
		_, err := o.send(ctx, shard, copies(call{name: "drop", db: db, safe: true, body: rawDoc(bson.D{{"drop", coll}})}))
		return absent(err)
	})
}

// changelog adds an entry to config.changelog. It is a record for people: that
// it could not be written does not undo what it tells of.
func (o *op) changelog(ctx context.Context, what, ns string, details bson.D) {
	w := o.r.catalog.writes()
	w.log(what, ns, details)
	if err := w.send(ctx); err != nil {
		o.r.cfg.Logger.WarnContext(ctx, "config.changelog not written", "error", err)
	}
}

func dropDatabase(ctx context.Context, o *op) (bson.Raw, error) {
	db := o.req.DB
	if internalDB(db) {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "Cannot drop the %s database", db)
	}
	unlock, err := o.r.catalog.locks.database(ctx, db)
	if err != nil {
		return nil, err
	}
	defer unlock()
	primary, ok := o.r.catalog.primary(db)
	if !ok {
		return rawDoc(bson.D{}), nil
	}
	ctx, done := o.r.lasting.begin(ctx)
	defer done()
	err = o.insist(ctx, func() error {
		return o.each(ctx, o.r.catalog.others(primary), func(ctx context.Context, _ int, shard string) error {
			_, err := o.send(ctx, shard, copies(call{name: "dropDatabase", db: db, safe: true, body: rawDoc(bson.D{{"dropDatabase", int32(1)}})}))
			return absent(err)
		})
	})
	if err != nil {
		return nil, err
	}
	if _, err := o.finally(ctx, primary); err != nil {
		return nil, err
	}
	for _, t := range o.r.catalog.tables(db) {
		if err := o.insist(ctx, func() error { return o.r.catalog.forget(ctx, t) }); err != nil {
			return nil, err
		}
	}
	o.r.catalog.dropViews(func(v string) bool { return strings.HasPrefix(v, db+".") })
	if err := o.insist(ctx, func() error { return o.r.catalog.forgetDatabase(ctx, db) }); err != nil {
		return nil, err
	}
	o.changelog(ctx, "dropDatabase", db, bson.D{})
	return rawDoc(bson.D{}), nil
}

// indexDDL carries out createIndexes, dropIndexes and collMod on every shard that
// owns chunks, each with an event of its own, and collMod on the primary shard
// too (server-facts 2.7).
func indexDDL(ctx context.Context, o *op) (bson.Raw, error) {
	coll, err := collectionName(o.req)
	if err != nil {
		return nil, err
	}
	var primary string
	if o.req.Name == "createIndexes" {
		primary, err = o.writablePrimary(ctx, o.req.DB)
		if err != nil {
			return nil, err
		}
	} else if p, ok := o.r.primaryOf(o.req.DB); ok {
		primary = p
	} else {
		return nil, mongoerr.New(mongoerr.NamespaceNotFound, "ns not found %s.%s", o.req.DB, coll)
	}
	ns := o.req.DB + "." + coll
	unlock, err := o.exclusive(ctx, ns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	primary = o.primaryNow(o.req.DB, primary)
	t := o.r.catalog.table(ns)
	// What kind of collection it is the primary shard of the database says, even if
	// the documents are elsewhere.
	if t != nil && (t.unsplittable && o.req.Name != "collMod" || o.req.Name != "collMod" && !slices.Contains(t.shards(), primary)) {
		primary = t.chunks[0].shard
	}
	if t != nil {
		o.r.catalog.moves.interrupt(ns)
		if err := o.checkUUID(t); err != nil {
			return nil, err
		}
		if err := t.checkIndexes(getDocs(o.req.Body, "indexes")); err != nil {
			return nil, err
		}
	}
	c := o.forward()
	until := func(f func() error) error { return f() }
	if t != nil && o.req.Name == "collMod" { // the index commands have no coordinator: they may stay half done
		var done func()
		ctx, done = o.r.lasting.begin(ctx)
		defer done()
		c = o.forward("maxTimeMS")
		c.safe = true
		until = func(f func() error) error { return o.insist(ctx, f) }
	}
	var resp *command.Response
	first := func() (err error) {
		resp, err = o.send(ctx, primary, c)
		return err
	}
	err = until(first)
	if t != nil && !slices.Contains(t.shards(), primary) {
		// A primary shard without chunks has the collection, and perhaps not the
		// index: what it answers counts for nothing (collmod_coordinator.cpp).
		primary = t.chunks[0].shard
		err = until(first)
	}
	if err != nil {
		return nil, err
	}
	if on := getString(o.req.Body, "viewOn"); on != "" {
		o.r.catalog.changeView(ns, view{on: o.req.DB + "." + on, pipeline: getDocs(o.req.Body, "pipeline")})
	}
	if t == nil {
		return resp.Body, nil
	}
	raw := bson.D{{o.r.catalog.host(primary), resp.Body}}
	shards := slices.DeleteFunc(t.shards(), func(s string) bool { return s == primary })
	var resps []*command.Response
	err = until(func() (err error) {
		resps, err = o.sendAll(ctx, shards, func(string) call { return c })
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, s := range shards {
		raw = append(raw, bson.E{Key: o.r.catalog.host(s), Value: resps[i].Body})
	}
	return edit(resp.Body, nil, bson.E{Key: "raw", Value: raw}), nil
}

func (c *Catalog) host(id string) string {
	if s, err := c.shard(id); err == nil {
		return s.Host
	}
	return id
}

// checkIndexes refuses unique indexes that a shard could not enforce alone.
func (t *table) checkIndexes(specs []bson.Raw) error {
	if t.unsplittable {
		return nil
	}
	for _, s := range specs {
		if !getBool(s, "unique", false) && !getBool(s, "prepareUnique", false) {
			continue
		}
		key := getDoc(s, "key")
		if keysOf(key) == "_id" || strings.HasPrefix(keysOf(key)+"\x00", keysOf(t.key.raw)+"\x00") && t.key.hashedField() < 0 {
			continue
		}
		return mongoerr.New(mongoerr.CannotCreateIndex, "cannot create unique index over %s with shard key pattern %s", key, t.key.raw)
	}
	return nil
}

func keysOf(doc bson.Raw) string {
	var names []string
	for name := range value.Elements(doc) {
		names = append(names, name)
	}
	return strings.Join(names, "\x00")
}

// convertToCapped is the primary shard's affair: no sharded collection can be
// capped.
func convertToCapped(ctx context.Context, o *op) (bson.Raw, error) {
	coll, err := collectionName(o.req)
	if err != nil {
		return nil, err
	}
	ns := o.req.DB + "." + coll
	unlock, err := o.exclusive(ctx, ns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	primary, ok := o.r.primaryOf(o.req.DB)
	switch t := o.r.catalog.table(ns); {
	case t != nil && t.unsplittable:
		return refused(ctx, o)
	case t != nil:
		return nil, mongoerr.New(mongoerr.IllegalOperation, "You can't convertToCapped a sharded collection")
	case !ok:
		return nil, mongoerr.New(mongoerr.NamespaceNotFound, "database %s not found", o.req.DB)
	}
	resp, err := o.send(ctx, primary, o.forward())
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
