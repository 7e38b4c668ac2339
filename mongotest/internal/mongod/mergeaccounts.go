package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// runMergeAccounts is _mergeAuthzCollections, by which mongorestore brings in
// the users and roles that it has restored into collections of their own. Those
// that there are already stay as they are; with drop they are replaced, and those
// that are not among the restored ones go. db limits all of it to one database
// (server: user_management_commands.cpp).
func runMergeAccounts(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	users, roles := a.string("tempUsersCollection"), a.string("tempRolesCollection")
	db, drop := a.string("db"), a.bool("drop", false)
	if users == "" && roles == "" {
		a.fail(mongoerr.BadValue, "Must provide at least one of \"tempUsersCollection\" and \"tempRolescollection\"")
	}
	if a.err != nil {
		return nil, a.err
	}
	for _, merged := range []struct{ temp, into string }{{users, usersNS}, {roles, rolesNS}} {
		if merged.temp == "" {
			continue
		}
		err := op.changeAccounts(ctx, merged.into, func(tx *storage.Tx, c *storage.Collection) error {
			return op.mergeAccounts(tx, merged.temp, c, db, drop)
		})
		if err != nil {
			return nil, err
		}
	}
	return emptyDoc(), nil
}

func (op *operation) mergeAccounts(tx *storage.Tx, temp string, into *storage.Collection, db string, drop bool) error {
	text := func(doc bson.Raw, field string) string {
		s, _ := doc.Lookup(field).StringValueOK()
		return s
	}
	ofDB := func(doc bson.Raw) bool { return db == "" || text(doc, "db") == db }
	m := op.ddlMeta()
	if drop {
		err := eachAccount(tx, into.NS, func(rec storage.Rec) error {
			if _, stays := accountIn(tx, temp, text(rec.Doc, "_id")); stays || !ofDB(rec.Doc) {
				return nil
			}
			return tx.Delete(into, rec.ID, m)
		})
		if err != nil {
			return err
		}
	}
	return eachAccount(tx, temp, func(rec storage.Rec) error {
		if !ofDB(rec.Doc) {
			return nil
		}
		id := rec.Doc.Lookup("_id")
		old, ok := tx.FindID(into, id)
		if !ok {
			_, err := tx.Insert(into, rec.Doc, m)
			return err
		}
		if !drop {
			return nil
		}
		_, err := tx.Replace(into, old.ID, rec.Doc, m)
		return err
	})
}
