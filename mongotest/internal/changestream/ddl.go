package changestream

import (
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// command drafts the event of a command entry; nil if the stream does not show
// it.
func (m *maker) command(op *operation) *draft {
	first, err := op.o.IndexErr(0)
	if err != nil {
		return nil
	}
	name := first.Key()
	if op.fromMigrate && !m.showsMigrated(name) {
		return nil
	}
	db := m.filter.lookup(op.ns).db
	switch name {
	case "dropDatabase":
		return m.dropDatabase(db)
	case "renameCollection":
		return m.rename(op)
	}
	coll, ok := first.Value().StringValueOK()
	if !ok {
		return nil
	}
	ns := m.filter.lookup(db + "." + coll)
	if !ns.visible {
		return nil
	}
	d := &draft{ns: ns, uuid: op.uuid}
	if name == "drop" {
		d.kind = typeDrop
		return d
	}
	if !m.makesExpanded(op) || !d.describe(name, op) {
		return nil
	}
	return d
}

// showsMigrated reports whether the stream shows a command that was logged for a
// migration.
func (m *maker) showsMigrated(name string) bool {
	return m.spec.ShowSystemEvents && (name == "create" || name == "createIndexes")
}

// describe fills in what the expanded events say; false for commands that make
// no event.
func (d *draft) describe(name string, op *operation) bool {
	switch name {
	case "create":
		d.kind, d.nsType = typeCreate, "collection"
		d.description = without(op.o, "create")
	case "createIndexes":
		d.kind = typeCreateIndex
		d.description = value.D("indexes", value.ArrayOf(value.Doc(without(op.o, "createIndexes"))))
	case "commitIndexBuild":
		d.kind = typeCreateIndex
		d.description = value.D("indexes", op.o.Lookup("indexes"))
	case "dropIndexes":
		d.kind = typeDropIndex
		d.description = value.D("indexes", value.ArrayOf(value.Doc(op.o2)))
	case "collMod":
		d.kind = typeModify
		d.description = without(op.o, "collMod")
		d.before = stateBefore(op)
	default:
		return false
	}
	return true
}

// stateBefore renames the fields of collMod's o2.
func stateBefore(op *operation) []byte {
	var pairs []any
	for _, f := range [][2]string{{"collectionOptions_old", "collectionOptions"}, {"indexOptions_old", "indexOptions"}} {
		if v, err := op.o2.LookupErr(f[0]); err == nil {
			pairs = append(pairs, f[1], v)
		}
	}
	return value.D(pairs...)
}

// dropDatabase is seen by streams of databases and clusters; a collection's
// stream has seen the drop of its collection before.
func (m *maker) dropDatabase(db string) *draft {
	if m.spec.Scope == ScopeCollection || !m.filter.seesDB(db) {
		return nil
	}
	return &draft{kind: typeDropDatabase, ns: m.filter.lookup(db)}
}

func (m *maker) rename(op *operation) *draft {
	from, _ := op.o.Lookup("renameCollection").StringValueOK()
	to, _ := op.o.Lookup("to").StringValueOK()
	d := &draft{kind: typeRename, ns: m.filter.lookup(from), to: m.filter.lookup(to), uuid: op.uuid}
	if !d.ns.visible && !d.to.visible {
		return nil
	}
	pairs := []any{"to", value.D("db", d.to.db, "coll", d.to.coll)}
	if target, ok := value.ParseUUID(op.o.Lookup("dropTarget")); ok {
		pairs = append(pairs, "dropTarget", target.Binary())
	}
	d.description = value.D(pairs...)
	return d
}

// noop drafts the event of what sharding commands leave in the oplog: a no-op
// whose o2 starts with {<operationType>: "db.coll"}.
func (m *maker) noop(op *operation) *draft {
	if op.fromMigrate || op.o2 == nil || !m.makesExpanded(op) {
		return nil
	}
	first, err := op.o2.IndexErr(0)
	if err != nil {
		return nil
	}
	switch name := first.Key(); name {
	case "shardCollection":
	case "refineCollectionShardKey":
		if !m.features.refines {
			return nil
		}
	case "reshardCollection":
		if !m.features.reshards {
			return nil
		}
	case "migrateLastChunkFromShard":
		if !m.spec.ShowSystemEvents {
			return nil
		}
	default:
		return nil
	}
	target, ok := first.Value().StringValueOK()
	if !ok {
		target = op.ns
	}
	ns := m.filter.lookup(target)
	if !ns.visible {
		return nil
	}
	return &draft{kind: first.Key(), ns: ns, uuid: op.uuid, description: without(op.o2, first.Key())}
}
