package mongod

import (
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/access"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// The collections of users and roles.
const (
	usersNS = "admin.system.users"
	rolesNS = "admin.system.roles"
)

// Accounts are the users and roles of a replica set, as its collections have
// them. They are safe for concurrent use.
type Accounts struct {
	set     *ReplicaSet
	version atomic.Uint64
}

// view runs fn on the data of the newest line.
func (a *Accounts) view(fn func(*storage.Tx) error) error { return a.set.line().engine.View(fn) }

// User returns the user of that name in that authentication database.
func (a *Accounts) User(db, name string) (access.User, bool) {
	doc := a.find(usersNS, access.UserID(db, name))
	return access.ParseUser(doc), doc != nil
}

// Privileges returns what the roles allow.
func (a *Accounts) Privileges(roles []command.Role) access.Privileges {
	_, ps := access.RoleFinder(a.role).Expand(roles)
	return ps
}

// Version changes with every change of users or roles.
func (a *Accounts) Version() uint64 { return a.version.Load() }

// Add stores a user, as the cluster that is built with it.
func (a *Accounts) Add(u access.User) error {
	defer a.version.Add(1)
	return a.set.line().engine.Update(func(tx *storage.Tx) error {
		c, err := accountsIn(tx, usersNS, storage.Meta{})
		if err != nil {
			return err
		}
		_, err = tx.Insert(c, u.BSON(), storage.Meta{})
		return err
	})
}

// role returns a role that somebody created.
func (a *Accounts) role(name command.Role) (access.Role, bool) {
	doc := a.find(rolesNS, name.DB+"."+name.Role)
	return access.ParseRole(doc), doc != nil
}

// find returns a document of one of the collections, nil if there is none.
func (a *Accounts) find(ns, id string) (doc bson.Raw) {
	_ = a.view(func(tx *storage.Tx) error { // never fails: the function does not
		if rec, ok := accountIn(tx, ns, id); ok {
			doc = rec.Doc
		}
		return nil
	})
	return doc
}

// note counts a write to ns if it is one of users or roles.
func (a *Accounts) note(ns string) {
	if ns == usersNS || ns == rolesNS {
		a.version.Add(1)
	}
}

// accountIn finds a user or role.
func accountIn(tx *storage.Tx, ns, id string) (storage.Rec, bool) {
	c := tx.Collection(ns)
	if c == nil {
		return storage.Rec{}, false
	}
	return tx.FindID(c, value.String(id))
}

// accountsIn returns the collection ns, and makes it if need be.
func accountsIn(tx *storage.Tx, ns string, m storage.Meta) (*storage.Collection, error) {
	if c := tx.Collection(ns); c != nil {
		return c, nil
	}
	return tx.Create(ns, storage.CollectionSpec{Options: emptyDoc()}, m)
}

// eachAccount calls fn with every user or every role.
func eachAccount(tx *storage.Tx, ns string, fn func(storage.Rec) error) error {
	c := tx.Collection(ns)
	if c == nil {
		return nil
	}
	for _, rec := range tx.Scan(c, storage.ScanSpec{Index: c.IDIndex().Name}) {
		if err := fn(rec); err != nil {
			return err
		}
	}
	return nil
}
