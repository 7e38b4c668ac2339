package mongoconn

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
)

// A ForeignWrite is a write of somebody else.
type ForeignWrite struct {
	NS shardferry.Namespace
	ID string // the document's _id, as extended JSON
	Op string // insert, update, delete or transaction
	At time.Time
}

// notUsers are namespaces whose oplog entries are no writes of users: the server's
// own, and those in which it makes a view, a copy for a rename to another database,
// or a capped collection of another one (server: rename_collection.cpp,
// capped_utils.cpp). Such entries have no number, whoever asked for them.
const notUsers = `^(admin|config|local)\.|^[^.]+\.(system\.|tmp[^.]*\.(renameCollection|convertToCapped))`

// ForeignWrites reads from a replica set's oplog, after a time, the writes to
// users' documents that were not sent with a number of at least ours: such high
// numbers nobody else gives to retryable writes. It returns at most limit of them,
// and whether there are more.
func ForeignWrites(ctx context.Context, client *mongo.Client, after bson.Timestamp, ours int64, limit int) (found []ForeignWrite, more bool, err error) {
	cur, err := client.Database("local").Collection("oplog.rs").Find(ctx, bson.D{
		{"ts", bson.D{{"$gt", after}}},
		{"txnNumber", bson.D{{"$not", bson.D{{"$gte", ours}}}}},
		{"fromMigrate", bson.D{{"$ne", true}}},
		{"$or", bson.A{
			bson.D{{"op", bson.D{{"$in", bson.A{"i", "u", "d"}}}}, {"ns", bson.D{{"$not", bson.Regex{Pattern: notUsers}}}}},
			bson.D{{"op", "c"}, {"o.applyOps", bson.D{{"$exists", true}}}},
		}},
	}, options.Find().SetLimit(int64(limit)+1))
	if err != nil {
		return nil, false, fmt.Errorf("look for writes of others in the oplog: %w", err)
	}
	var entries []struct {
		Op   string    `bson:"op"`
		NS   string    `bson:"ns"`
		O    bson.Raw  `bson:"o"`
		O2   bson.Raw  `bson:"o2"`
		Wall time.Time `bson:"wall"`
	}
	if err := cur.All(ctx, &entries); err != nil {
		return nil, false, fmt.Errorf("look for writes of others in the oplog: %w", err)
	}
	for i, e := range entries {
		if i == limit {
			return found, true, nil
		}
		w := ForeignWrite{Op: "transaction", At: e.Wall}
		w.NS.DB, w.NS.Coll, _ = strings.Cut(e.NS, ".")
		key := e.O
		switch e.Op {
		case "i":
			w.Op = "insert"
		case "u":
			w.Op, key = "update", e.O2
		case "d":
			w.Op = "delete"
		}
		if id, err := key.LookupErr("_id"); err == nil {
			w.ID = id.String()
		}
		found = append(found, w)
	}
	return found, false, nil
}
