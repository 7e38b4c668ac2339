package mongoconn

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"

	"github.com/shardferry/shardferry"
)

// ReadAfter calls f with a copy of each document that a majority has acknowledged,
// in a state no older than after.
func ReadAfter(ctx context.Context, client *mongo.Client, ns shardferry.Namespace, after shardferry.ClusterTime, filter any,
	opts *options.FindOptionsBuilder, f func(bson.Raw) error,
) error {
	sess, err := client.StartSession(options.Session().SetCausalConsistency(true))
	if err != nil {
		return fmt.Errorf("start a session: %w", err)
	}
	defer sess.EndSession(context.WithoutCancel(ctx))
	if !after.IsZero() {
		if err := sess.AdvanceOperationTime(&after); err != nil {
			return fmt.Errorf("read after %v: %w", after, err)
		}
	}
	sctx := mongo.NewSessionContext(ctx, sess)
	coll := client.Database(ns.DB).Collection(ns.Coll, options.Collection().SetReadConcern(readconcern.Majority()))
	cur, err := coll.Find(sctx, filter, opts)
	if err != nil {
		return fmt.Errorf("read %s: %w", ns, err)
	}
	defer func() {
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = cur.Close(cctx) // one that cannot be closed times out on the server
	}()
	for cur.Next(sctx) {
		if err := f(bytes.Clone(cur.Current)); err != nil {
			return err
		}
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("read %s: %w", ns, err)
	}
	return nil
}
