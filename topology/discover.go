package topology

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// ErrUnsettled reports that the catalogue of a cluster changed each time it was
// read.
var ErrUnsettled = errors.New("collections keep being created or dropped while the source is read: try again when that has calmed down")

const discoverAttempts = 10

// DiscoverStable reads the cluster until two consecutive readings agree, and
// returns a cluster time between the two: at that time the catalogue was what
// is returned.
func DiscoverStable(ctx context.Context, client *mongo.Client) (*Cluster, shardferry.ClusterTime, error) {
	return stable(ctx, client, func() (*Cluster, error) { return Discover(ctx, client) })
}

// discoverOne is DiscoverStable for one collection of a database, whatever its
// name. The cluster has nothing else, and not even that if it is gone.
func discoverOne(ctx context.Context, client *mongo.Client, db string, id shardferry.UUID) (*Cluster, shardferry.ClusterTime, error) {
	return stable(ctx, client, func() (*Cluster, error) {
		c, err := Identify(ctx, client)
		if err != nil {
			return nil, err
		}
		c.Databases = []Database{{Name: db, Primary: c.Shards[0].ID}}
		if c.Collections, err = listCollections(ctx, client, db, bson.D{{"info.uuid", id}}); err != nil {
			return nil, err
		}
		if c.Kind == Sharded {
			err = c.readPlacement(ctx, client)
		}
		return c, err
	})
}

func stable(ctx context.Context, client *mongo.Client, read func() (*Cluster, error)) (*Cluster, shardferry.ClusterTime, error) {
	before, err := read()
	if err != nil {
		return nil, shardferry.ClusterTime{}, err
	}
	for range discoverAttempts {
		t, err := mongoconn.Note(ctx, client, "start")
		if err != nil {
			return nil, shardferry.ClusterTime{}, err
		}
		after, err := read()
		if err != nil {
			return nil, shardferry.ClusterTime{}, err
		}
		same, err := sameCatalogue(before, after)
		if err != nil {
			return nil, shardferry.ClusterTime{}, err
		}
		if same {
			return after, t, nil
		}
		before = after
	}
	return nil, shardferry.ClusterTime{}, ErrUnsettled
}

func sameCatalogue(a, b *Cluster) (bool, error) {
	x, err := bson.Marshal(a)
	if err != nil {
		return false, fmt.Errorf("encode a cluster: %w", err)
	}
	y, err := bson.Marshal(b)
	if err != nil {
		return false, fmt.Errorf("encode a cluster: %w", err)
	}
	return bytes.Equal(x, y), nil
}

// Discover reads the cluster and all its user collections.
func Discover(ctx context.Context, client *mongo.Client) (*Cluster, error) {
	c, err := Identify(ctx, client)
	if err != nil {
		return nil, err
	}
	names, err := client.ListDatabaseNames(ctx, bson.D{})
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	slices.Sort(names)
	for _, db := range names {
		if (shardferry.Namespace{DB: db, Coll: "x"}).Internal() {
			continue
		}
		colls, err := listCollections(ctx, client, db, bson.D{})
		if err != nil {
			return nil, err
		}
		c.Databases = append(c.Databases, Database{Name: db, Primary: c.Shards[0].ID})
		c.Collections = append(c.Collections, colls...)
	}
	if c.Kind == Sharded {
		if err := c.readPlacement(ctx, client); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(c.Collections, func(a, b Collection) int {
		return cmp.Or(cmp.Compare(a.NS.DB, b.NS.DB), cmp.Compare(a.NS.Coll, b.NS.Coll))
	})
	return c, nil
}

func listCollections(ctx context.Context, client *mongo.Client, db string, filter bson.D) ([]Collection, error) {
	colls, err := listMatching(ctx, client, db, filter)
	if err != nil {
		return nil, err
	}
	for i := range colls {
		c := &colls[i]
		if c.Type != TypeCollection {
			continue
		}
		if c.Indexes, err = listIndexes(ctx, client, c.NS); err != nil {
			return nil, err
		}
		if c.Collated() {
			for i := range c.Indexes {
				c.Indexes[i] = ownCollation(c.Indexes[i])
			}
		}
		if c.Stats, err = collStats(ctx, client, c.NS); err != nil {
			return nil, err
		}
	}
	return colls, nil
}

// listed returns the collection or view of a namespace as listCollections shows
// it, or nothing if there is none.
func listed(ctx context.Context, client *mongo.Client, ns shardferry.Namespace) ([]Collection, error) {
	return listMatching(ctx, client, ns.DB, bson.D{{"name", ns.Coll}})
}

func listMatching(ctx context.Context, client *mongo.Client, db string, filter bson.D) ([]Collection, error) {
	cur, err := client.Database(db).ListCollections(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list the collections of %s: %w", db, err)
	}
	var entries []struct {
		Name    string   `bson:"name"`
		Type    string   `bson:"type"`
		Options bson.Raw `bson:"options"`
		Info    struct {
			UUID shardferry.UUID `bson:"uuid"`
		} `bson:"info"`
	}
	if err := cur.All(ctx, &entries); err != nil {
		return nil, fmt.Errorf("list the collections of %s: %w", db, err)
	}
	var colls []Collection
	for _, e := range entries {
		c := Collection{NS: shardferry.Namespace{DB: db, Coll: e.Name}, UUID: e.Info.UUID, Type: e.Type, Options: e.Options}
		if !c.NS.Internal() {
			colls = append(colls, c)
		}
	}
	return colls, nil
}

// listIndexes returns the indexes of a collection but those that come with it:
// the one on _id, and the one that a clustered collection is.
func listIndexes(ctx context.Context, client *mongo.Client, ns shardferry.Namespace) ([]bson.Raw, error) {
	cur, err := client.Database(ns.DB).Collection(ns.Coll).Indexes().List(ctx)
	if mongoconn.IsCode(err, mongoconn.CodeNamespaceNotFound) {
		return nil, nil // dropped meanwhile: the next reading differs
	}
	if err != nil {
		return nil, fmt.Errorf("list the indexes of %s: %w", ns, err)
	}
	var all, was, own []bson.Raw
	if err := cur.All(ctx, &all); err != nil {
		return nil, fmt.Errorf("list the indexes of %s: %w", ns, err)
	}
	for _, spec := range all {
		clustered, _ := spec.Lookup("clustered").BooleanOK()
		if name, _ := spec.Lookup("name").StringValueOK(); name != "_id_" && !clustered {
			was, own = append(was, spec), append(own, current(spec))
		}
	}
	own = distinctKeys(was, own)
	slices.SortFunc(own, func(a, b bson.Raw) int { return cmp.Compare(IndexName(a), IndexName(b)) })
	return own, nil
}

func collStats(ctx context.Context, client *mongo.Client, ns shardferry.Namespace) (Stats, error) {
	cur, err := client.Database(ns.DB).Collection(ns.Coll).Aggregate(ctx, bson.A{
		bson.D{{"$collStats", bson.D{{"storageStats", bson.D{}}}}},
		bson.D{{"$project", bson.D{{"storageStats.count", 1}, {"storageStats.size", 1}}}},
	})
	if mongoconn.IsCode(err, mongoconn.CodeNamespaceNotFound) {
		return Stats{}, nil
	}
	if err != nil {
		return Stats{}, fmt.Errorf("read the size of %s: %w", ns, err)
	}
	var shards []bson.Raw // one for each shard
	if err := cur.All(ctx, &shards); err != nil {
		return Stats{}, fmt.Errorf("read the size of %s: %w", ns, err)
	}
	var sum Stats
	for _, s := range shards {
		docs, _ := s.Lookup("storageStats", "count").AsInt64OK()
		size, _ := s.Lookup("storageStats", "size").AsInt64OK()
		sum.Docs += docs
		sum.Bytes += size
	}
	return sum, nil
}
