package rehearse

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"
)

// The namespaces of the data set.
const (
	shop    = "shop"
	metrics = "metrics"
	crm     = "crm"
)

// A table is one collection of the data set.
type table struct {
	db, coll string
	share    float64  // of all documents
	key      bson.D   // shard key, nil: unsharded
	splits   []bson.D // chunk bounds, placed round robin
	make     func(r *rand.Rand, i int) bson.D
}

func tables() []table {
	return []table{
		{db: shop, coll: "orders", share: 0.40, key: bson.D{{"customer", 1}, {"_id", 1}}, make: order, splits: []bson.D{
			{{"customer", 2500}, {"_id", bson.MinKey{}}}, {{"customer", 5000}, {"_id", bson.MinKey{}}}, {{"customer", 7500}, {"_id", bson.MinKey{}}},
		}},
		{db: metrics, coll: "readings", share: 0.35, key: bson.D{{"_id", "hashed"}}, make: reading},
		{db: crm, coll: "customers", share: 0.20, make: customer},
		{db: crm, coll: "sessions", share: 0.05, make: session},
	}
}

var countries = []string{"de", "fr", "it", "jp", "us", "br", "in", "ke"}

func order(r *rand.Rand, i int) bson.D {
	items := bson.A{}
	for range 1 + r.IntN(5) {
		items = append(items, bson.D{{"sku", fmt.Sprintf("sku-%05d", r.IntN(5000))}, {"qty", int32(1 + r.IntN(9))}, {"price", r.Float64() * 100}})
	}
	return bson.D{
		{"_id", int64(i)},
		{"customer", int32(r.IntN(10000))},
		{"status", "new"},
		{"items", items},
		{"address", bson.D{{"country", countries[r.IntN(len(countries))]}, {"zip", fmt.Sprintf("%05d", r.IntN(99999))}}},
		{"placed", bson.DateTime(1_700_000_000_000 + int64(i)*1000)},
		{"version", int32(0)},
	}
}

func reading(r *rand.Rand, i int) bson.D {
	values := bson.A{}
	for range 4 + r.IntN(12) {
		values = append(values, r.NormFloat64())
	}
	return bson.D{
		{"_id", fmt.Sprintf("sensor-%04d/%08d", r.IntN(1000), i)},
		{"values", values},
		{"unit", "°C"},
		{"at", bson.Timestamp{T: uint32(1_700_000_000 + i), I: 1}},
		{"flags", bson.Binary{Data: []byte{byte(r.IntN(256)), byte(i)}}},
		{"version", int32(0)},
	}
}

func customer(r *rand.Rand, i int) bson.D {
	amount := bson.NewDecimal128(0x3040000000000000-uint64(2)<<49, uint64(r.IntN(1_000_000)))
	return bson.D{
		{"_id", bson.D{{"region", countries[i%len(countries)]}, {"no", int32(i)}}},
		{"email", fmt.Sprintf("user%07d@example.org", i)},
		{"name", fmt.Sprintf("Kundin %d Ünal", i)},
		{"balance", amount},
		{"tags", bson.A{"a", int32(r.IntN(3)), nil, true}},
		{"version", int32(0)},
	}
}

func session(r *rand.Rand, i int) bson.D {
	return bson.D{
		{"_id", bson.Binary{Subtype: 4, Data: []byte(fmt.Sprintf("%016d", i))}},
		{"user", int32(r.IntN(10000))},
		// Far enough in the future that nothing expires while it is rehearsed.
		{"lastSeen", bson.NewDateTimeFromTime(time.Now().Add(time.Duration(r.IntN(3600)) * time.Second))},
		{"version", int32(0)},
	}
}

// Load fills a source cluster with about docs documents of mixed shapes, in
// sharded, hashed and unsharded collections with indexes of several kinds, a
// view and a capped collection. It returns how many it wrote.
func Load(ctx context.Context, client *mongo.Client, shards []string, docs int, seed uint64) (int, error) {
	total := 0
	sharded := len(shards) > 1
	for n, t := range tables() {
		if sharded && t.key != nil {
			if err := t.shard(ctx, client, shards); err != nil {
				return total, err
			}
		}
		count := max(int(float64(docs)*t.share), 1)
		if err := t.fill(ctx, client, count, seed+uint64(n)); err != nil {
			return total, err
		}
		total += count
	}
	if err := furnish(ctx, client); err != nil {
		return total, err
	}
	return total, nil
}

func (t table) shard(ctx context.Context, client *mongo.Client, shards []string) error {
	admin := client.Database("admin")
	ns := t.db + "." + t.coll
	if err := admin.RunCommand(ctx, bson.D{{"shardCollection", ns}, {"key", t.key}}).Err(); err != nil {
		return fmt.Errorf("shard %s: %w", ns, err)
	}
	for _, at := range t.splits {
		if err := admin.RunCommand(ctx, bson.D{{"split", ns}, {"middle", at}}).Err(); err != nil {
			return fmt.Errorf("split %s: %w", ns, err)
		}
	}
	// A shard takes no range back for a while, so each chunk moves but once.
	for i, at := range t.splits {
		if err := admin.RunCommand(ctx, bson.D{{"moveChunk", ns}, {"find", at}, {"to", shards[(i+1)%len(shards)]}}).Err(); err != nil {
			return fmt.Errorf("move a chunk of %s: %w", ns, err)
		}
	}
	return nil
}

const loadBatch = 1000

func (t table) fill(ctx context.Context, client *mongo.Client, count int, seed uint64) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for from := 0; from < count; from += loadBatch {
		g.Go(func() error {
			r := rand.New(rand.NewPCG(seed, uint64(from)))
			batch := make(bson.A, 0, loadBatch)
			for i := from; i < min(from+loadBatch, count); i++ {
				batch = append(batch, t.make(r, i))
			}
			// One prebuilt command: the driver's InsertMany encodes each document twice.
			err := client.Database(t.db).RunCommand(ctx, bson.D{{"insert", t.coll}, {"ordered", false}, {"documents", batch}}).Err()
			if err != nil {
				return fmt.Errorf("fill %s.%s: %w", t.db, t.coll, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// furnish adds what is not documents: indexes, a view, a capped collection.
func furnish(ctx context.Context, client *mongo.Client) error {
	indexes := []struct {
		db, coll string
		model    mongo.IndexModel
	}{
		{shop, "orders", mongo.IndexModel{Keys: bson.D{{"status", 1}, {"placed", -1}}}},
		{shop, "orders", mongo.IndexModel{Keys: bson.D{{"items.sku", 1}}}},
		{crm, "customers", mongo.IndexModel{Keys: bson.D{{"email", 1}}, Options: options.Index().SetUnique(true)}},
		{crm, "customers", mongo.IndexModel{Keys: bson.D{{"name", 1}}, Options: options.Index().SetHidden(true)}},
		{crm, "sessions", mongo.IndexModel{Keys: bson.D{{"lastSeen", 1}}, Options: options.Index().SetExpireAfterSeconds(3600)}},
	}
	for _, ix := range indexes {
		if _, err := client.Database(ix.db).Collection(ix.coll).Indexes().CreateOne(ctx, ix.model); err != nil {
			return fmt.Errorf("index %s.%s: %w", ix.db, ix.coll, err)
		}
	}
	view := bson.D{{"create", "open_orders"}, {"viewOn", "orders"}, {"pipeline", bson.A{bson.D{{"$match", bson.D{{"status", "new"}}}}}}}
	if err := client.Database(shop).RunCommand(ctx, view).Err(); err != nil {
		return fmt.Errorf("create a view: %w", err)
	}
	if err := client.Database(crm).CreateCollection(ctx, "accounts"); err != nil {
		return fmt.Errorf("create a collection: %w", err)
	}
	capped := options.CreateCollection().SetCapped(true).SetSizeInBytes(1 << 20).SetMaxDocuments(500)
	if err := client.Database(metrics).CreateCollection(ctx, "recent", capped); err != nil {
		return fmt.Errorf("create a capped collection: %w", err)
	}
	return nil
}

func withUser(uri, user string) string {
	const scheme = "mongodb://"
	return scheme + user + ":" + Password + "@" + uri[len(scheme):]
}
