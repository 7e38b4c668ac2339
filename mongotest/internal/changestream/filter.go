package changestream

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
)

// systemViews is the collection whose documents are a database's views.
const systemViews = "system.views"

// A namespaceFilter knows which namespaces a stream watches.
type namespaceFilter struct {
	scope      Scope
	db, coll   string
	showSystem bool
	known      map[string]*namespace
}

// A namespace is what a stream remembers of one: events of the same collection
// share it.
type namespace struct {
	db, coll string
	visible  bool
	element  []byte // the event's ns field
}

func newNamespaceFilter(s Spec) *namespaceFilter {
	return &namespaceFilter{
		scope: s.Scope, db: s.DB, coll: s.Coll, showSystem: s.ShowSystemEvents,
		known: make(map[string]*namespace),
	}
}

// lookup returns what is known about "db.coll".
func (f *namespaceFilter) lookup(ns string) *namespace {
	if n, ok := f.known[ns]; ok {
		return n
	}
	db, coll := oplog.SplitNS(ns)
	n := &namespace{db: db, coll: coll, visible: f.sees(db, coll), element: nsElement("ns", db, coll)}
	f.known[ns] = n
	return n
}

func (f *namespaceFilter) sees(db, coll string) bool {
	if f.scope == ScopeCollection {
		return db == f.db && coll == f.coll
	}
	return f.seesDB(db) && f.seesCollection(coll)
}

func (f *namespaceFilter) seesDB(db string) bool {
	if f.scope == ScopeCluster {
		return db != "" && db != "admin" && db != "config" && db != "local"
	}
	return db == f.db
}

// seesCollection hides internal collections, but for a few with showSystemEvents.
func (f *namespaceFilter) seesCollection(coll string) bool {
	if strings.HasPrefix(coll, "$") {
		return false
	}
	rest, system := strings.CutPrefix(coll, "system.")
	if !system {
		return coll != ""
	}
	return f.showSystem && (rest == "js" || rest == "views" ||
		strings.HasPrefix(rest, "resharding.") || strings.HasPrefix(rest, "buckets."))
}

// nsElement renders {db, coll}, or {db} if coll is empty.
func nsElement(name, db, coll string) []byte {
	i, dst := bsoncore.AppendDocumentElementStart(nil, name)
	dst = bsoncore.AppendStringElement(dst, "db", db)
	if coll != "" {
		dst = bsoncore.AppendStringElement(dst, "coll", coll)
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, i) // fails for a wrong index only
	return dst
}
