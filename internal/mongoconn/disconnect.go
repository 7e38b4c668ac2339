package mongoconn

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Disconnect closes a client and all its connections, those in use too. It works
// when ctx has ended; the farewell to the servers may take as long as limit.
//
// The driver must not see a deadline: until one passes it turns without a pause as
// long as a connection is in use (x/mongo/driver/topology/pool.go, close).
func Disconnect(ctx context.Context, c *mongo.Client, limit time.Duration) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer time.AfterFunc(limit, cancel).Stop()
	return c.Disconnect(ctx)
}
