package chaos

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// sentinelPace is how often the cluster is tried that should take no writes. What
// is open for less is found by no application either.
const sentinelPace = 20 * time.Millisecond

// try writes to the cluster that the applications do not use. It may be the
// change of a commit; a change too many is found in the end.
func (c *crowd) try(ctx context.Context) {
	c.mu.Lock()
	side, on := 1-c.owner, c.strays
	c.mu.Unlock()
	if !on {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	begun := time.Now()
	_, err := c.clients[side].Database("harbour").Collection("sentinel").UpdateOne(ctx,
		bson.D{{"_id", 1}}, bson.D{{"$inc", bson.D{{"n", 1}}}}, options.UpdateOne().SetUpsert(true))
	if err == nil {
		c.took(side, begun)
	}
}
