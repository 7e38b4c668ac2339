package checker

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// A Cluster is everything that was read of one cluster.
type Cluster struct {
	Collections map[string]*Collection // by namespace
	Sharded     bool
	Accounts    map[string]string // users and roles by name, in one form
}

// A Collection is a collection or a view.
type Collection struct {
	Type     string            // collection, view or timeseries
	Options  string            // in one form, see canonical
	ShardKey string            // empty if it is not sharded
	Indexes  map[string]string // by name, in one form
	Capped   bool
	Docs     []bson.Raw // in the order in which they came
	Counted  int64      // what the server's own count says
}

// Documents returns how many documents were read.
func (c *Cluster) Documents() int {
	n := 0
	for _, coll := range c.Collections {
		n += len(coll.Docs)
	}
	return n
}

// Wanted returns what another cluster should hold: each collection where goes says,
// or nowhere if it says nothing, and of those with a filter the documents that match
// it. Without goes all are where they are here.
func (c *Cluster) Wanted(goes func(db, name string) string, filters map[string]bson.Raw) *Cluster {
	out := &Cluster{Collections: map[string]*Collection{}, Sharded: c.Sharded, Accounts: c.Accounts}
	for ns, coll := range c.Collections {
		to := ns
		if goes != nil {
			db, name, _ := strings.Cut(ns, ".")
			to = goes(db, name)
		}
		if to == "" {
			continue
		}
		if f := filters[ns]; f != nil {
			some := *coll
			some.Docs = slices.DeleteFunc(slices.Clone(coll.Docs), func(d bson.Raw) bool { return !Matches(f, d) })
			some.Counted -= int64(len(coll.Docs) - len(some.Docs))
			coll = &some
		}
		out.Collections[to] = coll
	}
	return out
}

// stored is where a server keeps JavaScript.
const stored = "system.js"

// Read reads a cluster whole, without what is the server's own.
func Read(ctx context.Context, client *mongo.Client) (*Cluster, error) {
	out := &Cluster{Collections: map[string]*Collection{}}
	var hello struct {
		Msg string `bson:"msg"`
	}
	if err := client.Database("admin").RunCommand(ctx, bson.D{{"hello", 1}}).Decode(&hello); err != nil {
		return nil, fmt.Errorf("hello: %w", err)
	}
	out.Sharded = hello.Msg == "isdbgrid"
	dbs, err := client.ListDatabaseNames(ctx, bson.D{})
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	for _, db := range dbs {
		if db == "admin" || db == "config" || db == "local" {
			continue
		}
		if err := out.database(ctx, client.Database(db)); err != nil {
			return nil, err
		}
	}
	if err := out.accounts(ctx, client); err != nil {
		return nil, err
	}
	if out.Sharded {
		return out, out.shardKeys(ctx, client)
	}
	return out, nil
}

func (c *Cluster) database(ctx context.Context, db *mongo.Database) error {
	cur, err := db.ListCollections(ctx, bson.D{})
	if err != nil {
		return fmt.Errorf("list the collections of %s: %w", db.Name(), err)
	}
	defer func() { _ = cur.Close(ctx) }()
	for cur.Next(ctx) {
		name := cur.Current.Lookup("name").StringValue()
		if strings.HasPrefix(name, "system.") && name != stored {
			continue
		}
		options, _ := cur.Current.Lookup("options").DocumentOK()
		capped, _ := options.Lookup("capped").BooleanOK()
		coll := &Collection{Type: cur.Current.Lookup("type").StringValue(), Options: canonicalOptions(options), Capped: capped}
		c.Collections[db.Name()+"."+name] = coll
		if coll.Type != "collection" {
			continue
		}
		if err := coll.read(ctx, db.Collection(name)); err != nil {
			return fmt.Errorf("read %s.%s: %w", db.Name(), name, err)
		}
		if name == stored && len(coll.Docs) == 0 {
			delete(c.Collections, db.Name()+"."+name) // nobody asks for one without functions
		}
	}
	return cur.Err()
}

func (c *Collection) read(ctx context.Context, coll *mongo.Collection) error {
	c.Indexes = map[string]string{}
	ixs, err := coll.Indexes().List(ctx)
	if err != nil {
		return err
	}
	for ixs.Next(ctx) {
		c.Indexes[ixs.Current.Lookup("name").StringValue()] = canonicalIndex(ixs.Current)
	}
	if err := ixs.Err(); err != nil {
		return err
	}
	cur, err := coll.Find(ctx, bson.D{})
	if err != nil {
		return err
	}
	for cur.Next(ctx) {
		c.Docs = append(c.Docs, slices.Clone(cur.Current))
	}
	if err := cur.Err(); err != nil {
		return err
	}
	c.Counted, err = coll.CountDocuments(ctx, bson.D{})
	return err
}

// shardKeys reads how collections are sharded.
func (c *Cluster) shardKeys(ctx context.Context, client *mongo.Client) error {
	cur, err := client.Database("config").Collection("collections").Find(ctx, bson.D{{"unsplittable", bson.D{{"$ne", true}}}})
	if err != nil {
		return fmt.Errorf("read config.collections: %w", err)
	}
	for cur.Next(ctx) {
		coll := c.Collections[cur.Current.Lookup("_id").StringValue()]
		key, ok := cur.Current.Lookup("key").DocumentOK()
		if coll == nil || !ok {
			continue
		}
		unique, _ := cur.Current.Lookup("unique").BooleanOK()
		coll.ShardKey = fmt.Sprintf("%s, unique %v", canonical(key, false), unique)
	}
	return cur.Err()
}
