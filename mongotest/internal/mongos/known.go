package mongos

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
)

// knowledge is what one router knows about where things are: its catalogue
// cache. It asks the catalog once, and again after a shard has told it that its
// knowledge is stale.
type knowledge struct {
	catalog *Catalog
	clock   *oplog.Clock // of the router: it has heard of all that it knows

	mu        sync.RWMutex
	tables    map[string]*table // nil: not sharded
	databases map[string]*database
	held      bool // it learns nothing new of what it knows
}

func newKnowledge(c *Catalog, clock *oplog.Clock) *knowledge {
	return &knowledge{catalog: c, clock: clock, tables: map[string]*table{}, databases: map[string]*database{}}
}

// table returns the routing of a sharded collection, nil if ns is not sharded.
func (k *knowledge) table(ns string) *table {
	k.mu.RLock()
	t, ok := k.tables[ns]
	k.mu.RUnlock()
	if ok {
		return t
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	t = k.catalog.table(ns)
	k.tables[ns] = t
	k.clock.Advance(k.catalog.cfg.Clock.Now())
	return t
}

// database returns what there is to know of a database, nil if it does not
// exist.
func (k *knowledge) database(db string) *database {
	k.mu.RLock()
	d := k.databases[db]
	k.mu.RUnlock()
	if d != nil {
		return d
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if d = k.catalog.database(db); d != nil {
		k.databases[db] = d
		k.clock.Advance(k.catalog.cfg.Clock.Now())
	}
	return d
}

// forget makes the router ask again about a namespace and its database.
func (k *knowledge) forget(ns string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held {
		return
	}
	db, _, _ := strings.Cut(ns, ".")
	delete(k.tables, ns)
	delete(k.databases, db)
}

// forgetDatabase makes the router ask again about all of a database, or about
// everything for "".
func (k *knowledge) forgetDatabase(db string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held {
		return
	}
	within := func(ns string) bool { return db == "" || ns == db || strings.HasPrefix(ns, db+".") }
	maps.DeleteFunc(k.tables, func(ns string, _ *table) bool { return within(ns) })
	maps.DeleteFunc(k.databases, func(name string, _ *database) bool { return within(name) })
}

// hold keeps the router's knowledge as it is: of all that exists now it will not
// notice any change until release.
func (k *knowledge) hold() {
	tables, databases := k.catalog.all()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held {
		return
	}
	k.held = true
	for ns, t := range tables {
		if _, ok := k.tables[ns]; !ok {
			k.tables[ns] = t
		}
	}
	for name, d := range databases {
		if k.databases[name] == nil {
			k.databases[name] = d
		}
	}
}

func (k *knowledge) release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = false
}

// HoldRouting keeps the router from learning of changes of where documents are,
// until ReleaseRouting: its commands then go where it believes them to belong.
func (r *Router) HoldRouting() { r.known.hold() }

// ReleaseRouting ends HoldRouting.
func (r *Router) ReleaseRouting() { r.known.release() }

// all returns what the catalog knows of collections and databases.
func (c *Catalog) all() (map[string]*table, map[string]*database) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return maps.Clone(c.collections), maps.Clone(c.databases)
}

// database returns the row of a database, nil if it does not exist. It never
// changes.
func (c *Catalog) database(name string) *database {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.databases[name]
}

// placing are the commands that change where something is. The router that
// carried one out knows that it has to ask again.
var placing = []string{
	"drop", "dropDatabase", "renameCollection", "enableSharding", "enablesharding", "shardCollection", "shardcollection",
	"split", "mergeChunks", "mergeAllChunksOnShard", "moveChunk", "movechunk", "moveRange", "movePrimary", "moveprimary",
	"reshardCollection", "refineCollectionShardKey", "moveCollection", "unshardCollection", "clearJumboFlag",
}

// noticeChange makes the router ask again about what a command may have changed.
func (r *Router) noticeChange(req *command.Request, err error) {
	if !slices.Contains(placing, req.Name) {
		return
	}
	what := getString(req.Body, req.Name)
	for _, ns := range []string{what, getString(req.Body, "to"), req.DB + "." + what} {
		r.known.forget(ns)
	}
	if _, _, isNS := splitNS(what); !isNS || err != nil {
		r.known.forgetDatabase(req.DB)
		r.known.forgetDatabase(what)
	}
}
