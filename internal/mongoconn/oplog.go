package mongoconn

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// OplogWindow returns the times of the oldest and the newest entry of a replica
// set's oplog.
func OplogWindow(ctx context.Context, client *mongo.Client) (oldest, newest bson.Timestamp, err error) {
	for _, end := range []struct {
		order int
		into  *bson.Timestamp
	}{{1, &oldest}, {-1, &newest}} {
		var entry struct {
			TS bson.Timestamp `bson:"ts"`
		}
		err := client.Database("local").Collection("oplog.rs").FindOne(ctx, bson.D{},
			options.FindOne().SetSort(bson.D{{"$natural", end.order}}).SetProjection(bson.D{{"ts", 1}})).Decode(&entry)
		if err != nil {
			return oldest, newest, fmt.Errorf("read the ends of the oplog: %w", err)
		}
		*end.into = entry.TS
	}
	return oldest, newest, nil
}
