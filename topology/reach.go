package topology

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
)

// nowhere is a collection that nobody has: who reads it asks the primary shard of
// its database, and finds nothing.
const nowhere = "shardferry.nowhere"

// Reach returns namespaces such that reading them through a client asks every
// shard of the cluster that may hold user data. A shard that is no database's
// primary and owns no chunk is left out: no write gets there.
func Reach(ctx context.Context, client *mongo.Client, kind Kind) ([]shardferry.Namespace, error) {
	if kind != Sharded {
		return []shardferry.Namespace{{DB: "shardferry", Coll: nowhere}}, nil
	}
	config := client.Database("config")
	var shards, dbs []struct {
		Name    string `bson:"_id"`
		Primary string `bson:"primary"`
	}
	for name, into := range map[string]any{"shards": &shards, "databases": &dbs} {
		if err := readAll(ctx, config.Collection(name), into); err != nil {
			return nil, err
		}
	}
	var out []shardferry.Namespace
	reached := map[string]bool{}
	for _, db := range dbs {
		if db.Name != "config" && db.Name != "admin" && !reached[db.Primary] {
			reached[db.Primary] = true
			out = append(out, shardferry.Namespace{DB: db.Name, Coll: nowhere})
		}
	}
	for _, s := range shards {
		if reached[s.Name] {
			continue
		}
		ns, err := ownedBy(ctx, config, s.Name)
		if err != nil {
			return nil, err
		}
		if !ns.IsZero() {
			out = append(out, ns)
		}
	}
	return out, nil
}

// ownedBy returns a collection that has a chunk on a shard, none if there is none.
func ownedBy(ctx context.Context, config *mongo.Database, shard string) (shardferry.Namespace, error) {
	var of struct {
		UUID bson.Binary `bson:"uuid"`
		NS   string      `bson:"_id"`
	}
	sessions := bson.D{{"$ne", "config.system.sessions"}}
	cur, err := config.Collection("collections").Find(ctx, bson.D{{"_id", sessions}})
	if err != nil {
		return shardferry.Namespace{}, fmt.Errorf("read config.collections: %w", err)
	}
	defer func() { _ = cur.Close(ctx) }()
	for cur.Next(ctx) {
		if err := cur.Decode(&of); err != nil {
			return shardferry.Namespace{}, fmt.Errorf("read config.collections: %w", err)
		}
		err := config.Collection("chunks").FindOne(ctx, bson.D{{"uuid", of.UUID}, {"shard", shard}}).Err()
		if errors.Is(err, mongo.ErrNoDocuments) {
			continue
		}
		if err != nil {
			return shardferry.Namespace{}, fmt.Errorf("read config.chunks: %w", err)
		}
		return shardferry.ParseNamespace(of.NS)
	}
	if err := cur.Err(); err != nil {
		return shardferry.Namespace{}, fmt.Errorf("read config.collections: %w", err)
	}
	return shardferry.Namespace{}, nil
}

func readAll(ctx context.Context, c *mongo.Collection, into any) error {
	cur, err := c.Find(ctx, bson.D{})
	if err == nil {
		err = cur.All(ctx, into)
	}
	if err != nil {
		return fmt.Errorf("read config.%s: %w", c.Name(), err)
	}
	return nil
}
