package mongod

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// runValidateDBMetadata lists the indexes that the Stable API does not have:
// what a client with apiStrict could not make again.
func runValidateDBMetadata(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	db, coll := a.string("db"), a.string("collection")
	api := a.doc("apiParameters")
	version, _ := api.Lookup("version").StringValueOK()
	strict, _ := api.Lookup("strict").BooleanOK()
	switch {
	case a.err != nil:
		return nil, a.err
	case version != "1":
		return nil, mongoerr.New(mongoerr.APIVersionError, "API version must be \"1\"")
	case a.has("db") && checkDB(db) != nil:
		return nil, checkDB(db)
	}
	found := []bson.Raw{}
	err := op.view(func(tx *storage.Tx) error {
		for _, name := range tx.Databases() {
			if !strict || db != "" && name != db {
				continue
			}
			for _, c := range tx.Collections(name) {
				if coll == "" || c.Name() == coll {
					found = append(found, unstableIndexes(c)...)
				}
			}
		}
		return nil
	})
	return value.D("apiVersionErrors", found), err
}

func unstableIndexes(c *storage.Collection) []bson.Raw {
	var found []bson.Raw
	for _, ix := range c.Indexes() {
		if ix.Sparse {
			found = append(found, value.D("ns", c.NS, "code", int32(mongoerr.APIStrictError), "codeName", mongoerr.CodeName(mongoerr.APIStrictError),
				"errmsg", "The index with name "+ix.Name+" is not allowed in API version 1."))
		}
	}
	return found
}
