package mongoconn

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// OperationTime returns the operationTime of a raw reply, zero if it has none.
func OperationTime(reply bson.Raw) bson.Timestamp {
	t, i, ok := reply.Lookup("operationTime").TimestampOK()
	if !ok {
		return bson.Timestamp{}
	}
	return bson.Timestamp{T: t, I: i}
}

// Note writes a no-op into the oplog of every shard, and returns a cluster time
// at or after which each of them stands. Idle shards move by it (server:
// cluster_oplog_note_cmd.cpp).
func Note(ctx context.Context, client *mongo.Client, why string) (bson.Timestamp, error) {
	first, err := note(ctx, client, bson.D{
		{"appendOplogNote", 1},
		{"data", bson.D{{"shardferry", why}}},
		{"writeConcern", bson.D{{"w", "majority"}}},
	})
	if err != nil {
		return bson.Timestamp{}, fmt.Errorf("append oplog note: %w", err)
	}
	if first.IsZero() {
		return bson.Timestamp{}, errors.New("append oplog note: the reply carries no operationTime: is this a standalone server?")
	}
	// A shard may have written its note before another one's clock was known to
	// it. The second round lifts those that are behind, and only those: a shard
	// that stands at the time already refuses with StaleClusterTime.
	_, err = note(ctx, client, bson.D{
		{"appendOplogNote", 1},
		{"data", bson.D{{"shardferry", why}}},
		{"maxClusterTime", first},
		{"writeConcern", bson.D{{"w", "majority"}}},
	})
	if err != nil && !IsCode(err, CodeStaleClusterTime) {
		return bson.Timestamp{}, fmt.Errorf("append oplog note up to %v: %w", first, err)
	}
	return first, nil
}

func note(ctx context.Context, client *mongo.Client, cmd bson.D) (bson.Timestamp, error) {
	reply, err := client.Database("admin").RunCommand(ctx, cmd).Raw()
	return OperationTime(reply), err
}
