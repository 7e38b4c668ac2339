package topology

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
)

// readPlacement adds what the config servers know: primary shards, shard keys,
// chunks and zones (layout of 5.0 and later).
func (c *Cluster) readPlacement(ctx context.Context, client *mongo.Client) error {
	config := client.Database("config")
	var dbs []struct {
		Name    string             `bson:"_id"`
		Primary shardferry.ShardID `bson:"primary"`
	}
	if err := findAll(ctx, config.Collection("databases"), bson.D{}, bson.D{{"_id", 1}}, &dbs); err != nil {
		return err
	}
	for i := range c.Databases {
		for _, d := range dbs {
			if d.Name == c.Databases[i].Name {
				c.Databases[i].Primary = d.Primary
			}
		}
	}
	var rows []trackedCollection
	tracked := bson.D{{"dropped", bson.D{{"$ne", true}}}}
	if err := findAll(ctx, config.Collection("collections"), tracked, bson.D{{"_id", 1}}, &rows); err != nil {
		return err
	}
	for _, row := range rows {
		for i := range c.Collections {
			coll := &c.Collections[i]
			if coll.NS.String() != row.NS || coll.UUID != row.UUID {
				continue
			}
			if err := coll.readChunks(ctx, config); err != nil {
				return err
			}
			coll.place(row)
		}
	}
	return nil
}

// trackedCollection is a row of config.collections.
type trackedCollection struct {
	NS           string          `bson:"_id"`
	UUID         shardferry.UUID `bson:"uuid"`
	Key          bson.Raw        `bson:"key"`
	Unique       bool            `bson:"unique"`
	Unsplittable bool            `bson:"unsplittable"`
}

// place takes over what the row says. Since 8.0 an unsharded collection may have
// a row too, marked unsplittable and with one chunk: moveCollection puts it on
// any shard.
func (c *Collection) place(row trackedCollection) {
	if !row.Unsplittable {
		c.ShardKey, c.Unique = row.Key, row.Unique
		return
	}
	if len(c.Chunks) > 0 {
		c.Home = c.Chunks[0].Shard
	}
	c.Chunks, c.Zones = nil, nil
}

// readChunks adds the chunks, of which there are none while the collection is
// being sharded or dropped: the next reading differs, or Check tells.
func (c *Collection) readChunks(ctx context.Context, config *mongo.Database) error {
	err := findAll(ctx, config.Collection("chunks"), bson.D{{"uuid", c.UUID}}, bson.D{{"min", 1}}, &c.Chunks)
	if err != nil {
		return err
	}
	return findAll(ctx, config.Collection("tags"), bson.D{{"ns", c.NS.String()}}, bson.D{{"min", 1}}, &c.Zones)
}
