package shardferry

import (
	"errors"
	"fmt"
	"strings"
)

// A DatabaseRemap gives a database of the source another name on the
// destination.
type DatabaseRemap struct {
	From DatabaseName `bson:"from" json:"from" yaml:"from"`
	To   DatabaseName `bson:"to" json:"to" yaml:"to"`
}

// A DatabaseName stands in a DatabaseRemap.
type DatabaseName struct {
	Database string `bson:"database" json:"database" yaml:"database"`
}

// A CollectionRemap gives a collection or view of the source another name on the
// destination. It stays in its database, under the name that this has there.
type CollectionRemap struct {
	From CollectionName `bson:"from" json:"from" yaml:"from"`
	To   CollectionName `bson:"to" json:"to" yaml:"to"`
}

// A CollectionName stands in a CollectionRemap.
type CollectionName struct {
	Database   string `bson:"database" json:"database" yaml:"database"`
	Collection string `bson:"collection" json:"collection" yaml:"collection"`
}

// Ambiguous reports whether a database's own name belongs to another one on the
// other side, so that it has no place there.
func (r Route) Ambiguous(db string) bool {
	if r.selector == nil {
		return false
	}
	names, taken := r.selector.to, r.selector.from
	if r.back {
		names, taken = taken, names
	}
	_, renamed := names[db]
	_, occupied := taken[db]
	return occupied && !renamed
}

func other(names map[string]string, db string) string {
	if to, ok := names[db]; ok {
		return to
	}
	return db
}

// Taken reports whether a namespace's own name belongs to another one on the
// other side, so that it has no place there.
func (r Route) Taken(ns Namespace) bool {
	if r.selector == nil {
		return false
	}
	dbs, names, taken := r.selector.to, r.selector.collTo, r.selector.collFrom
	if r.back {
		dbs, names, taken = r.selector.from, taken, names
	}
	_, renamed := names[ns]
	_, occupied := taken[Namespace{DB: other(dbs, ns.DB), Coll: ns.Coll}]
	return r.Ambiguous(ns.DB) || occupied && !renamed
}

// Keeps reports whether a collection has the same name, inside its database, on
// both sides.
func (r Route) Keeps(ns Namespace) bool {
	to, _ := r.To(ns)
	return to.Coll == ns.Coll && !r.Taken(ns)
}

// named returns the name of a namespace on the other side.
func named(dbs map[string]string, colls map[Namespace]string, ns Namespace) Namespace {
	to := Namespace{DB: other(dbs, ns.DB), Coll: ns.Coll}
	if name, ok := colls[ns]; ok {
		to.Coll = name
	}
	return to
}

func (s *selector) remap(m DatabaseRemap) error {
	from, to := m.From.Database, m.To.Database
	if err := checkDatabase(from); err != nil {
		return fmt.Errorf("from.database: %w", err)
	}
	if err := checkDatabase(to); err != nil {
		return fmt.Errorf("to.database: %w", err)
	}
	if strings.EqualFold(from, to) {
		return fmt.Errorf("to.database: %q and %q differ in nothing but case, which a server refuses", from, to)
	}
	if _, ok := s.to[from]; ok {
		return fmt.Errorf("from.database: %q has another name already", from)
	}
	if _, ok := s.from[to]; ok {
		return fmt.Errorf("to.database: %q is the name of another database already", to)
	}
	s.to[from], s.from[to] = to, from
	return nil
}

func (s *selector) remapCollection(m CollectionRemap) error {
	from := Namespace{DB: m.From.Database, Coll: m.From.Collection}
	to := Namespace{DB: m.To.Database, Coll: m.To.Collection}
	db := other(s.to, from.DB)
	if err := m.From.check(); err != nil {
		return fmt.Errorf("from.%w", err)
	}
	if err := m.To.check(); err != nil {
		return fmt.Errorf("to.%w", err)
	}
	switch {
	case to.DB != db:
		return fmt.Errorf("to.database: %q is not where %s goes: a collection stays in its database, which is %q on the destination", to.DB, from, db)
	case to.Coll == from.Coll:
		return fmt.Errorf("to.collection: %q is its name already", to.Coll)
	case !s.takes(from):
		return fmt.Errorf("from: %s is not selected", from)
	}
	if _, ok := s.collTo[from]; ok {
		return fmt.Errorf("from: %s has another name already", from)
	}
	if _, ok := s.collFrom[to]; ok {
		return fmt.Errorf("to: %s is the name of another collection already", to)
	}
	s.collTo[from], s.collFrom[to] = to.Coll, from.Coll
	return nil
}

// check refuses what is no name of a user's collection. Its error begins with the
// name of a field.
func (n CollectionName) check() error {
	if err := checkDatabase(n.Database); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	switch {
	case n.Collection == "":
		return errors.New("collection: it is missing")
	case n.Collection[0] == '.' || strings.ContainsAny(n.Collection, "$\x00"):
		return fmt.Errorf("collection: %q is no name of a collection", n.Collection)
	case (Namespace{Coll: n.Collection}).Internal():
		return fmt.Errorf("collection: %q belongs to the server and is never synced", n.Collection)
	}
	return nil
}

// checkDatabase refuses what is no name of a user's database on any system that
// servers run on.
func checkDatabase(name string) error {
	switch {
	case name == "":
		return errors.New("it is missing")
	case len(name) > 63 || strings.ContainsAny(name, "/\\. \"$*<>:|?\x00"):
		return fmt.Errorf("%q is no name of a database", name)
	case (Namespace{DB: name}).Internal():
		return fmt.Errorf("%q belongs to the server and is never synced", name)
	}
	return nil
}
