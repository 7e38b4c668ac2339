package mongod

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// collName returns the collection the command names, which must be a string.
func (op *operation) collName() (string, error) {
	v := op.req.Body.Lookup(op.req.Name)
	name, ok := v.StringValueOK()
	if !ok {
		return "", mongoerr.New(mongoerr.InvalidNamespace, "collection name has invalid type %s", value.TypeName(v.Type))
	}
	if err := checkNS(op.req.DB, name); err != nil {
		return "", err
	}
	return name, nil
}

// checkNS refuses names that no database or collection can have.
func checkNS(db, coll string) error {
	for _, r := range coll {
		if r == 0 {
			return mongoerr.New(mongoerr.InvalidNamespace, "namespaces cannot have embedded null characters")
		}
	}
	if db == "" || coll == "" || coll[0] == '.' || len(db) > 63 || len(db)+1+len(coll) > 255 {
		return mongoerr.New(mongoerr.InvalidNamespace, "Invalid namespace specified '%s.%s'", db, coll)
	}
	return checkDB(db)
}

// checkDB refuses names that no database can have.
func checkDB(db string) error {
	if db == "" || len(db) > 63 {
		return mongoerr.New(mongoerr.InvalidNamespace, "Invalid database name: '%s'", db)
	}
	for _, r := range db {
		switch r {
		case '/', '\\', ' ', '"', '$', '.', 0:
			if db != "$external" {
				return mongoerr.New(mongoerr.InvalidNamespace, "Invalid database name: '%s'", db)
			}
		}
	}
	return nil
}

// checkUUID fails with CollectionUUIDMismatch if the command has a
// collectionUUID that is not that of the collection it names (server-facts 4.3).
func (op *operation) checkUUID(tx *storage.Tx, coll string) error {
	return op.checkThisUUID(tx, op.args().lookup("collectionUUID"), op.req.DB, coll)
}

func (op *operation) checkThisUUID(tx *storage.Tx, v bson.RawValue, db, coll string) error {
	if v.Type == 0 || v.Type == bson.TypeNull {
		return nil
	}
	want, ok := value.ParseUUID(v)
	if !ok {
		return mongoerr.New(mongoerr.Code(207), "BSON field 'collectionUUID' must be a UUID")
	}
	if c := tx.Collection(db + "." + coll); c != nil && c.UUID == want {
		return nil
	}
	var actual any
	if c := tx.CollectionByUUID(want); c != nil && c.DB() == db {
		actual = c.Name()
	}
	return mongoerr.New(mongoerr.CollectionUUIDMismatch, "Collection UUID does not match that specified").
		WithInfo("db", db).
		WithInfo("collectionUUID", want.Binary()).
		WithInfo("expectedCollection", coll).
		WithInfo("actualCollection", actual)
}
