package mongos

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/command"
)

// A placement of a statement: the shards it goes to, and the routing it was
// computed from.
type route struct {
	ns     string
	table  *table // nil if the collection is not sharded
	shards []string
	exact  bool // the filter fixes the whole shard key
}

// internalDB reports whether db lives on the config server.
func internalDB(db string) bool { return db == "admin" || db == "config" || db == "local" }

// route finds where filter may match in ns. No shards means that the database
// does not exist. Strings are compared by the collation. The caller holds a lock of ns.
func (r *Router) route(ns string, filter bson.Raw, by *collation.Collation) (route, error) {
	db, _, _ := splitNS(ns)
	if internalDB(db) {
		return route{ns: ns, shards: []string{ConfigShard}, exact: true}, nil
	}
	if t := r.catalog.table(ns); t != nil {
		tg, err := t.target(filter, by)
		if err != nil {
			return route{}, err
		}
		return route{ns: ns, table: t, shards: tg.shards, exact: tg.exact}, nil
	}
	p, ok := r.catalog.primary(db)
	if !ok {
		return route{ns: ns}, nil
	}
	return route{ns: ns, shards: []string{p}, exact: true}, nil
}

// routed is what the router tells shard about the documents it owns.
func (rt *route) routed(shard string) *command.Routed {
	if rt.table == nil {
		return nil
	}
	return &command.Routed{Owned: rt.table.owned(shard)}
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
