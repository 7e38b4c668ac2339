package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

// An administrator changes the schema of collections that applications do not
// use. What became of it is seen by comparing the clusters.
type administrator struct {
	crowd *crowd
	r     *rand.Rand
	n     int
}

// step makes one change. What is not there, or there already, is no error: the
// outcome of the step before may be unknown.
func (a *administrator) step(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	side := a.crowd.where(a.r)
	err := a.change(ctx, a.crowd.clients[side])
	switch {
	case err == nil:
		a.n++
	case mongoconn.IsCode(err, mongoconn.CodeUserWritesBlocked):
		a.crowd.refuse(side)
	case mongoconn.IsCode(err, mongoconn.CodeNamespaceNotFound, mongoconn.CodeIndexNotFound, mongoconn.CodeNamespaceExists, mongoconn.CodeIndexOptionsConflict),
		mongo.IsDuplicateKeyError(err):
		a.n++
	case mongoconn.Classify(err) == mongoconn.Transient:
		a.n += a.r.IntN(2)
	default:
		a.crowd.bad.add("a schema change at the %v failed: %v", side, err)
	}
}

func (a *administrator) change(ctx context.Context, c *mongo.Client) error {
	db := c.Database("harbour")
	name := fmt.Sprintf("list%d", a.n/7)
	var err error
	switch a.n % 7 {
	case 0:
		_, err = db.Collection(name).InsertMany(ctx, []any{bson.D{{"_id", 1}, {"k", 1}}, bson.D{{"_id", 2}, {"k", 2}}})
	case 1:
		_, err = db.Collection(name).Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{"k", 1}}})
	case 2:
		_, err = db.Collection(name).UpdateMany(ctx, bson.D{}, bson.D{{"$inc", bson.D{{"k", 10}}}})
	case 3:
		err = c.Database("admin").RunCommand(ctx, bson.D{{"renameCollection", "harbour." + name}, {"to", "harbour.was_" + name}}).Err()
	case 4:
		_, err = db.Collection("was_"+name).InsertOne(ctx, bson.D{{"_id", 3}, {"k", 3}})
	case 5:
		_, err = db.Collection("was_"+name).Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{"k", -1}, {"_id", 1}}})
	case 6:
		if a.r.IntN(2) == 0 {
			err = db.Collection("was_" + name).Drop(ctx)
		}
	}
	return err
}
