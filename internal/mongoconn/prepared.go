package mongoconn

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// preparedPause is how soon it is asked again whether transactions are prepared.
const preparedPause = 100 * time.Millisecond

// AwaitPrepared returns once no transaction on a cluster is prepared and not
// decided: such a one might commit though user writes are blocked. It says false
// if the client's user may not know (privilege inprog).
//
// A server's write block waits for them by itself, because it takes the global
// lock (server: user_writes_recoverable_critical_section_service.cpp). Nothing
// else would notice if one did not.
func AwaitPrepared(ctx context.Context, client *mongo.Client) (known bool, err error) {
	pipeline := mongo.Pipeline{
		{{"$currentOp", bson.D{{"allUsers", true}, {"idleSessions", true}}}},
		{{"$match", bson.D{{"transaction.timePreparedMicros", bson.D{{"$exists", true}}}}}},
		{{"$limit", 1}},
	}
	for {
		cur, err := client.Database("admin").Aggregate(ctx, pipeline)
		if IsCode(err, CodeUnauthorized) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("look for prepared transactions: %w", err)
		}
		var found []bson.Raw
		if err := cur.All(ctx, &found); err != nil {
			return false, fmt.Errorf("look for prepared transactions: %w", err)
		}
		if len(found) == 0 {
			return true, nil
		}
		if err := Sleep(ctx, preparedPause); err != nil {
			return false, err
		}
	}
}
