package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// The collections that the ledger knows: one sharded by range, one hashed, one
// unsharded. They are in databases of their own, because these have different
// primary shards.
const (
	ranged = "fleet.ranged"
	hashed = "fleet.hashed"
	plain  = "harbour.plain"
)

var collections = []string{ranged, hashed, plain}

const keySpan = 1000 // shard keys of the ranged collection are below it

func collection(c *mongo.Client, name string) *mongo.Collection {
	switch name {
	case plain:
		return c.Database("harbour").Collection("plain")
	case hashed:
		return c.Database("fleet").Collection("hashed")
	}
	return c.Database("fleet").Collection("ranged")
}

// A document is one that an application owns: nobody else writes it.
type document struct {
	key
	k       int32 // the shard key where the collection is ranged
	there   bool  // exists, as far as is known
	doubt   bool  // the outcome of the last write is not known
	retired bool  // is not written any more
}

// id returns the document's _id. Those of different documents have different
// types.
func (d *document) id() any {
	switch d.n % 4 {
	case 0:
		return fmt.Sprintf("no-%06d", d.n)
	case 1:
		return bson.D{{"no", d.n}, {"x", "y"}}
	}
	return d.n
}

// filter finds the document by its whole key.
func (d *document) filter() bson.D { return bson.D{{"_id", d.id()}, {"k", d.k}} }

// body returns a whole new document with the given version. Fields come in
// random order, because their order is part of what must survive.
func (d *document) body(r *rand.Rand, version int64) bson.D {
	more := bson.D{
		{"v", version},
		{"items", bson.A{int32(r.IntN(9)), bson.D{{"a", r.IntN(9)}}, "three"}},
		{"deep", bson.D{{"x", bson.D{{"y", r.Float64()}}}, {"list", bson.A{int64(1), int64(2)}}}},
		{"when", bson.DateTime(r.Int64N(1 << 40))},
		{"text", fmt.Sprintf("%0*d", 1+r.IntN(200), version)},
	}
	r.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
	return append(bson.D{{"_id", d.id()}, {"n", d.n}, {"k", d.k}}, more...)
}

// prepare makes the collections of a source that is a sharded cluster, and their
// indexes. Unique and expiring ones differ between the clusters until a commit.
func prepare(ctx context.Context, c *mongo.Client, shards []string, sharded, commits bool) error {
	admin := c.Database("admin")
	if sharded {
		for _, cmd := range []bson.D{
			{{"shardCollection", ranged}, {"key", bson.D{{"k", 1}}}},
			{{"shardCollection", hashed}, {"key", bson.D{{"_id", "hashed"}}}},
		} {
			if err := admin.RunCommand(ctx, cmd).Err(); err != nil {
				return fmt.Errorf("shard a collection: %w", err)
			}
		}
		bound := func(i int) bson.D { return bson.D{{"k", int32(i * keySpan / (2 * len(shards)))}} }
		for i := 1; i < 2*len(shards); i++ {
			if err := admin.RunCommand(ctx, bson.D{{"split", ranged}, {"middle", bound(i)}}).Err(); err != nil {
				return fmt.Errorf("split: %w", err)
			}
		}
		for i := 1; i < 2*len(shards) && len(shards) > 1; i++ {
			if err := admin.RunCommand(ctx, bson.D{{"moveChunk", ranged}, {"find", bound(i)}, {"to", shards[i%len(shards)]}}).Err(); err != nil {
				return fmt.Errorf("move a chunk: %w", err)
			}
		}
	}
	indexes := []mongo.IndexModel{{Keys: bson.D{{"v", -1}}}, {Keys: bson.D{{"items", 1}}}}
	if commits {
		indexes = append(indexes,
			mongo.IndexModel{Keys: bson.D{{"n", 1}, {"k", 1}}, Options: options.Index().SetUnique(true)},
			mongo.IndexModel{Keys: bson.D{{"expires", 1}}, Options: options.Index().SetExpireAfterSeconds(60)})
	}
	for _, name := range []string{plain, hashed} {
		ixs := indexes
		if name == hashed {
			ixs = indexes[:2]
		}
		if _, err := collection(c, name).Indexes().CreateMany(ctx, ixs); err != nil {
			return fmt.Errorf("make indexes: %w", err)
		}
	}
	return nil
}

// load inserts documents and notes them in the ledger. They are dealt out to the
// applications.
func load(ctx context.Context, c *mongo.Client, l *ledger, r *rand.Rand, docs int) ([]*document, error) {
	batch := map[string][]any{}
	all := make([]*document, 0, docs)
	for i := range docs {
		d := &document{key: key{collections[r.IntN(len(collections))], int64(i)}, k: int32(r.IntN(keySpan)), there: true}
		v := l.version()
		l.try(d.key, attempt{version: v})
		l.acknowledge(d.key, Source, bson.Timestamp{})
		batch[d.coll] = append(batch[d.coll], d.body(r, v))
		all = append(all, d)
	}
	for _, name := range collections {
		if len(batch[name]) == 0 {
			continue
		}
		if _, err := collection(c, name).InsertMany(ctx, batch[name]); err != nil {
			return nil, fmt.Errorf("load %s: %w", name, err)
		}
	}
	return all, nil
}

// readAll reads the versions of all documents of a cluster.
func readAll(ctx context.Context, c *mongo.Client) (found, error) {
	docs := found{}
	for _, name := range collections {
		cur, err := collection(c, name).Find(ctx, bson.D{}, options.Find().SetBatchSize(5000).SetProjection(bson.D{{"n", 1}, {"v", 1}}))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		for cur.Next(ctx) {
			k := key{name, cur.Current.Lookup("n").AsInt64()}
			docs[k] = append(docs[k], cur.Current.Lookup("v").AsInt64())
		}
		if err := cur.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return docs, nil
}
