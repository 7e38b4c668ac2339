package changestream

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// crud drafts the event of an insert, update or delete; nil if the stream does
// not show it.
func (m *maker) crud(op *operation) *draft {
	if op.fromMigrate && !m.spec.ShowMigrationEvents {
		return nil
	}
	ns := m.filter.lookup(op.ns)
	if ns.coll == systemViews && m.spec.Scope != ScopeCollection && m.filter.seesDB(ns.db) {
		return m.view(op)
	}
	if !ns.visible {
		return nil
	}
	d := &draft{ns: ns, uuid: op.uuid, documentKey: op.o2}
	switch {
	case op.op == oplog.Insert:
		d.kind, d.full = typeInsert, op.o
		if d.documentKey == nil {
			d.documentKey = m.documentKey(op.uuid, op.o)
		}
	case op.op == oplog.Delete:
		d.kind, d.documentKey = typeDelete, op.o
	case isDelta(op.o):
		d.kind, d.update = typeUpdate, op.o
	default:
		d.kind, d.full = typeReplace, op.o
	}
	return d
}

// isDelta tells {$v: 2, diff} from a whole document.
func isDelta(o bson.Raw) bool {
	first, err := o.IndexErr(0)
	return err == nil && first.Key() == "$v"
}

// documentKey derives the key of an inserted document whose entry lacks it:
// the shard key's values, then _id.
func (m *maker) documentKey(uuid value.UUID, doc bson.Raw) bson.Raw {
	var pairs []any
	hasID := false
	for path := range value.Elements(m.catalog.ShardKey(uuid)) {
		if v, ok := value.Lookup(doc, path); ok {
			pairs = append(pairs, path, v)
		}
		hasID = hasID || path == "_id"
	}
	if id, err := doc.LookupErr("_id"); err == nil && !hasID {
		pairs = append(pairs, "_id", id)
	}
	return value.D(pairs...)
}

// view drafts the event of a view, whose definition is a document of
// system.views: {_id: "db.view", viewOn, pipeline, collation?}.
func (m *maker) view(op *operation) *draft {
	if !m.spec.ShowExpandedEvents {
		return nil
	}
	key := op.o2
	if key == nil {
		key = op.o
	}
	id, _ := key.Lookup("_id").StringValueOK()
	d := &draft{ns: m.filter.lookup(id), uuid: op.uuid, view: true}
	definition := op.o
	if op.op == oplog.Delete {
		d.kind = typeDrop
		return d
	}
	if op.op == oplog.Insert {
		d.kind, d.nsType = typeCreate, "view"
		if on, _ := op.o.Lookup("viewOn").StringValueOK(); strings.HasPrefix(on, "system.buckets.") {
			d.nsType = "timeseries"
		}
	} else {
		d.kind = typeModify
		if isDelta(op.o) {
			definition, _ = m.catalog.LookupDoc(op.uuid, key)
		}
	}
	d.description = without(definition, "_id")
	return d
}

// without returns doc without some top-level fields.
func without(doc bson.Raw, names ...string) bson.Raw {
	var pairs []any
next:
	for name, v := range value.Elements(doc) {
		for _, n := range names {
			if n == name {
				continue next
			}
		}
		pairs = append(pairs, name, v)
	}
	return value.D(pairs...)
}
