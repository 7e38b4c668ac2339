package rehearse

import (
	"context"
	"fmt"
	"math/rand/v2"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

// schemaChanges plays a database administrator.
type schemaChanges struct {
	r *rand.Rand
	n int
}

// step makes one schema change. What is not there any more is no error: the
// step before it may have been refused.
func (s *schemaChanges) step(ctx context.Context, c *mongo.Client) (wrote bool, err error) {
	s.n++
	db := c.Database(crm)
	name := fmt.Sprintf("list%d", s.n/6)
	switch s.n % 6 {
	case 0:
		_, err = db.Collection(name).InsertMany(ctx, []any{bson.D{{"_id", 1}, {"k", 1}}, bson.D{{"_id", 2}, {"k", 2}}})
		if mongo.IsDuplicateKeyError(err) {
			err = nil
		}
	case 1:
		_, err = db.Collection(name).Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{"k", 1}}})
	case 2:
		err = db.RunCommand(ctx, bson.D{{"collMod", name}, {"index", bson.D{{"name", "k_1"}, {"hidden", true}}}}).Err()
	case 3:
		err = c.Database("admin").RunCommand(ctx, bson.D{{"renameCollection", crm + "." + name}, {"to", crm + ".renamed_" + name}}).Err()
	case 4:
		err = db.Collection("renamed_"+name).Indexes().DropOne(ctx, "k_1")
	case 5:
		if s.r.IntN(2) == 0 {
			err = db.Collection("renamed_" + name).Drop(ctx)
		}
	}
	if mongoconn.IsCode(err, mongoconn.CodeNamespaceNotFound, mongoconn.CodeIndexNotFound, mongoconn.CodeNamespaceExists, mongoconn.CodeIndexOptionsConflict) {
		return false, nil
	}
	return false, err
}
