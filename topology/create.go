package topology

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// Create makes everything that the plan lists: databases on their primary
// shards, collections with their options, shard keys, chunks in their places,
// and views last. It may be repeated, also after it was interrupted.
func Create(ctx context.Context, client *mongo.Client, p *Plan, log *slog.Logger) error {
	if p.Sharded {
		for _, d := range p.Databases {
			if err := createDatabase(ctx, client, d); err != nil {
				return err
			}
		}
		for _, z := range p.Zones {
			err := client.Database("admin").RunCommand(ctx, bson.D{{"addShardToZone", z.Shard}, {"zone", z.Zone}}).Err()
			if err != nil {
				return fmt.Errorf("add shard %s to zone %s: %w", z.Shard, z.Zone, err)
			}
		}
	}
	for i := range p.Collections {
		c := &p.Collections[i]
		if err := mongoconn.Retry(ctx, log, "create "+c.NS.String(), func(ctx context.Context) error {
			return createCollection(ctx, client, c, p.Sharded)
		}); err != nil {
			return err
		}
	}
	for i := range p.Views {
		v := &p.Views[i]
		if err := createIfAbsent(ctx, client, v.NS, CreateOptions(v.Options)); err != nil {
			return err
		}
	}
	return nil
}

// StopBalancer stops the balancer of a sharded cluster and waits for the round
// in progress. On a replica set it does nothing.
func StopBalancer(ctx context.Context, client *mongo.Client, c *Cluster) error {
	if c.Kind != Sharded || !c.BalancerOn {
		return nil
	}
	if err := client.Database("admin").RunCommand(ctx, bson.D{{"balancerStop", 1}}).Err(); err != nil {
		return fmt.Errorf("stop the balancer: %w", err)
	}
	return nil
}

func createDatabase(ctx context.Context, client *mongo.Client, d Database) error {
	err := client.Database("admin").RunCommand(ctx, bson.D{{"enableSharding", d.Name}, {"primaryShard", d.Primary}}).Err()
	// It exists on another shard: an earlier attempt created a collection there.
	// Its primary shard is a matter of balance, not of correctness.
	if err != nil && !mongoconn.IsCode(err, mongoconn.CodeNamespaceExists) {
		return fmt.Errorf("create database %s on shard %s: %w", d.Name, d.Primary, err)
	}
	return nil
}

func createCollection(ctx context.Context, client *mongo.Client, c *Collection, sharded bool) error {
	if err := createIfAbsent(ctx, client, c.NS, loosen(CreateOptions(c.Options))); err != nil {
		return err
	}
	if !sharded || len(c.ShardKey) == 0 {
		return nil
	}
	for _, spec := range c.Indexes {
		if !c.needsFromStart(spec) {
			continue
		}
		if !c.Unique {
			spec = RelaxIndex(spec)
		}
		if err := BuildIndexes(ctx, client, c.NS, []bson.Raw{spec}); err != nil {
			return err
		}
	}
	if err := ShardCollection(ctx, client, c.NS, c.ShardKey, c.Unique, c.Collated()); err != nil {
		return err
	}
	if err := setZones(ctx, client, c); err != nil {
		return err
	}
	return placeChunks(ctx, client, c)
}

// CreateOptions turns options as listCollections shows them into fields of the
// create command.
func CreateOptions(options bson.Raw) bson.Raw {
	if len(options) == 0 {
		return mustMarshal(bson.D{})
	}
	return rewrite(options, func(e bson.RawElement) (any, bool) {
		switch e.Key() {
		case "uuid", "autoIndexId", "flags", "storageEngine", "temp", "idIndex":
			return nil, false
		}
		return e.Value(), true
	})
}

// loosen makes a capped collection large enough never to evict by itself, and a
// clustered one never expire. For that it takes no number that is large enough:
// a server refuses what lies before 1970.
func loosen(options bson.Raw) bson.Raw {
	capped, _ := options.Lookup("capped").BooleanOK()
	return rewrite(options, func(e bson.RawElement) (any, bool) {
		switch e.Key() {
		case "expireAfterSeconds":
			return nil, false
		case "max":
			return nil, false
		case "size":
			if capped {
				return looseSize, true
			}
		}
		return e.Value(), true
	})
}

// createIfAbsent creates a collection or view. One that exists already is taken
// for the work of an earlier attempt if it has the same options.
func createIfAbsent(ctx context.Context, client *mongo.Client, ns shardferry.Namespace, options bson.Raw) error {
	cmd := bson.D{{"create", ns.Coll}}
	elems, err := options.Elements()
	if err != nil {
		return fmt.Errorf("options of %s: %w", ns, err)
	}
	for _, e := range elems {
		cmd = append(cmd, bson.E{Key: e.Key(), Value: e.Value()})
	}
	err = client.Database(ns.DB).RunCommand(ctx, append(cmd, majority)).Err()
	if mongoconn.IsCode(err, mongoconn.CodeNamespaceExists) {
		return createdBefore(ctx, client, ns, options)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", ns, err)
	}
	return nil
}

// majority is the write concern of every command that changes the catalogue:
// what was done and recorded must not be rolled back.
var majority = bson.E{Key: "writeConcern", Value: bson.D{{"w", "majority"}}}

// ErrOccupied reports a namespace that another program has taken on the
// destination since it was found empty.
var ErrOccupied = errors.New("it exists on the destination with other options, and this sync did not create it: drop it there")

func createdBefore(ctx context.Context, client *mongo.Client, ns shardferry.Namespace, options bson.Raw) error {
	have, err := listed(ctx, client, ns)
	if err != nil {
		return err
	}
	for _, c := range have {
		if !bytes.Equal(NormalOptions(c.Options), NormalOptions(options)) {
			return fmt.Errorf("create %s: %w", ns, ErrOccupied)
		}
	}
	return nil
}

// ShardCollection shards a collection of the destination. One that is sharded
// by the same key already is left as it is.
func ShardCollection(ctx context.Context, client *mongo.Client, ns shardferry.Namespace, key bson.Raw, unique, collated bool) error {
	cmd := bson.D{{"shardCollection", ns.String()}, {"key", key}, {"unique", unique}}
	if collated {
		cmd = append(cmd, bson.E{Key: "collation", Value: bson.D{{"locale", "simple"}}})
	}
	if err := client.Database("admin").RunCommand(ctx, cmd).Err(); err != nil {
		return fmt.Errorf("shard %s by %s: %w", ns, key, err)
	}
	return nil
}

func setZones(ctx context.Context, client *mongo.Client, c *Collection) error {
	for _, z := range c.Zones {
		err := client.Database("admin").RunCommand(ctx, bson.D{
			{"updateZoneKeyRange", c.NS.String()}, {"min", z.Min}, {"max", z.Max}, {"zone", z.Tag},
		}).Err()
		if err != nil {
			return fmt.Errorf("zone %s of %s: %w", z.Tag, c.NS, err)
		}
	}
	return nil
}

// placeChunks splits and moves the chunks of an empty sharded collection until
// each planned range is on its shard. Chunks that are there already stay.
func placeChunks(ctx context.Context, client *mongo.Client, c *Collection) error {
	have, err := chunksOf(ctx, client, c.NS)
	if err != nil {
		return err
	}
	bounds := map[string]bool{}
	for _, ch := range have {
		bounds[string(ch.Min)] = true
	}
	for i, ch := range c.Chunks {
		if i == 0 { // it begins at MinKey
			continue
		}
		if bounds[string(ch.Min)] {
			continue
		}
		err := client.Database("admin").RunCommand(ctx, bson.D{{"split", c.NS.String()}, {"middle", ch.Min}}).Err()
		if err != nil {
			return fmt.Errorf("split %s at %s: %w", c.NS, ch.Min, err)
		}
	}
	if have, err = chunksOf(ctx, client, c.NS); err != nil {
		return err
	}
	// Every planned bound is a bound now, though there may be more of them:
	// hashed collections begin with chunks of their own.
	want := c.Chunks
	for _, ch := range have {
		for len(want) > 1 && (string(want[1].Min) == string(ch.Min)) {
			want = want[1:]
		}
		if ch.Shard == want[0].Shard {
			continue
		}
		err := client.Database("admin").RunCommand(ctx, bson.D{
			{"moveRange", c.NS.String()}, {"min", ch.Min}, {"max", ch.Max}, {"toShard", want[0].Shard},
		}).Err()
		if err != nil {
			return fmt.Errorf("move the chunk of %s at %s to shard %s: %w", c.NS, ch.Min, want[0].Shard, err)
		}
	}
	return nil
}

func chunksOf(ctx context.Context, client *mongo.Client, ns shardferry.Namespace) ([]Chunk, error) {
	config := client.Database("config")
	var row struct {
		UUID shardferry.UUID `bson:"uuid"`
	}
	err := config.Collection("collections").FindOne(ctx, bson.D{{"_id", ns.String()}}).Decode(&row)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, fmt.Errorf("%s is not sharded on the destination although it was just sharded", ns)
	}
	if err != nil {
		return nil, fmt.Errorf("read config.collections: %w", err)
	}
	c := Collection{NS: ns, UUID: row.UUID}
	if err := c.readChunks(ctx, config); err != nil {
		return nil, err
	}
	return c.Chunks, nil
}
