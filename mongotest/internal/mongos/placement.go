package mongos

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/command"
)

// A placement of a statement: the shards it goes to, and what the router knew
// when it computed them.
type route struct {
	ns     string
	table  *table    // nil if the collection is not sharded; as it was at the time that is read
	now    *table    // as it is
	db     *database // of a collection that is not sharded, nil on the config server
	since  bson.Timestamp
	shards []string
	exact  bool // the filter fixes the whole shard key
}

// internalDB reports whether db lives on the config server.
func internalDB(db string) bool { return db == "admin" || db == "config" || db == "local" }

// place finds out what the router knows of ns. Its shards are those of what is
// not sharded: none means that the database does not exist.
func (o *op) place(ns string) (route, error) {
	db, _, _ := splitNS(ns)
	rt := route{ns: ns, exact: true}
	if internalDB(db) {
		rt.shards = []string{ConfigShard}
		return rt, nil
	}
	if o.txn != nil {
		rt.since = o.txn.since
	}
	if t := o.r.known.table(ns); t != nil {
		var err error
		rt.now = t
		rt.table, err = t.at(o.at)
		return rt, err
	}
	if rt.db = o.r.known.database(db); rt.db != nil {
		rt.shards = []string{rt.db.primary}
	}
	return rt, nil
}

// route finds where filter may match in ns. No shards means that the database
// does not exist. Strings are compared by the collation. The caller holds a lock
// of ns.
func (o *op) route(ns string, filter bson.Raw, by *collation.Collation) (route, error) {
	rt, err := o.place(ns)
	if err != nil || rt.table == nil {
		return rt, err
	}
	tg, err := rt.table.target(filter, by)
	if err != nil {
		return route{}, err
	}
	rt.shards, rt.exact = tg.shards, tg.exact
	return rt, nil
}

// routed is what the router tells a shard about where it believes the
// collection to be.
func (rt *route) routed(shard string) *command.Routed {
	var r *command.Routed
	switch {
	case rt.now != nil:
		r = rt.now.routed(shard)
	case rt.db != nil:
		r = &command.Routed{Placement: &command.Placement{NS: rt.ns, DB: rt.db.version()}}
	default:
		return nil
	}
	if rt.since.IsZero() {
		return r
	}
	p := *r.Placement
	p.Since = rt.since
	return &command.Routed{Placement: &p}
}

// routedToAll is what a write tells the shards that goes to all of them: it is
// right wherever the documents are.
func (rt *route) routedToAll() *command.Routed {
	return &command.Routed{Placement: &command.Placement{NS: rt.ns, Ignored: true}}
}

// primaryOf returns the shard that answers for what is not sharded in db; ok
// is false if the database does not exist.
func (r *Router) primaryOf(db string) (string, bool) {
	if internalDB(db) {
		return ConfigShard, true
	}
	return r.catalog.primary(db)
}

// primaryNow is the primary shard of db once the caller holds a lock there: it
// may have changed since it was asked for. A database that has been dropped
// meanwhile leaves it as it was.
func (o *op) primaryNow(db, before string) string {
	if p, ok := o.r.primaryOf(db); ok {
		return p
	}
	return before
}

// writablePrimary is primaryOf, but makes the database if it does not exist.
func (o *op) writablePrimary(ctx context.Context, db string) (string, error) {
	if internalDB(db) {
		return ConfigShard, nil
	}
	return o.r.catalog.ensureDatabase(ctx, db, "")
}
