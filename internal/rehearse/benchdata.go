package rehearse

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"
)

const benchDB = "bench"

// A benchTable is one collection of a benchmark: document i has the key of i.
type benchTable struct {
	coll   string
	share  float64 // of all documents and events
	shard  bson.D  // shard key, nil: unsharded
	splits []bson.D
	key    func(i int) bson.D // its documentKey
}

const benchGroups = 1000 // values of the first field of a compound shard key

func benchTables() []benchTable {
	group := func(i int) int32 { return int32(uint32(i) * 2654435761 % benchGroups) }
	return []benchTable{
		{coll: "hashed", share: 0.4, shard: bson.D{{"_id", "hashed"}}, key: func(i int) bson.D { return bson.D{{"_id", int64(i)}} }},
		{
			coll: "ranged", share: 0.4, shard: bson.D{{"group", 1}, {"_id", 1}},
			splits: []bson.D{{{"group", benchGroups / 3}, {"_id", bson.MinKey{}}}, {{"group", 2 * benchGroups / 3}, {"_id", bson.MinKey{}}}},
			key:    func(i int) bson.D { return bson.D{{"group", group(i)}, {"_id", "k" + strconv.Itoa(i)}} },
		},
		{coll: "plain", share: 0.2, key: func(i int) bson.D { return bson.D{{"_id", int64(i)}} }},
	}
}

// A benchWriter writes documents and changes to the source, reproducibly.
type benchWriter struct {
	client *mongo.Client
	shards []string
	text   string // what documents are filled with
	size   int    // of a document on average
	seed   uint64
}

func newBenchWriter(client *mongo.Client, shards []string, p BenchParameters) *benchWriter {
	r := rand.New(rand.NewPCG(p.Seed, 1))
	raw := make([]byte, 3*p.DocBytes)
	for i := range raw {
		raw[i] = byte(r.Uint32())
	}
	return &benchWriter{client: client, shards: shards, text: base64.StdEncoding.EncodeToString(raw), size: p.DocBytes, seed: p.Seed}
}

// benchFields is about how large a document is without its text.
const benchFields = 230

// document makes document i. Half of its size is the same for all, so that a
// collection holds documents of a third to five thirds of the average.
func (w *benchWriter) document(r *rand.Rand, t benchTable, i int) bson.D {
	size := max(0, w.size-benchFields)
	size = size/3 + r.IntN(4*size/3+1)
	from := r.IntN(len(w.text) - size)
	doc := t.key(i)
	return append(doc,
		bson.E{Key: "version", Value: int32(0)},
		bson.E{Key: "status", Value: "new"},
		bson.E{Key: "placed", Value: bson.DateTime(1_700_000_000_000 + int64(i)*1000)},
		bson.E{Key: "amount", Value: r.Float64() * 1000},
		bson.E{Key: "owner", Value: bson.D{{"name", fmt.Sprintf("customer %d", r.IntN(1_000_000))}, {"country", countries[r.IntN(len(countries))]}}},
		bson.E{Key: "tags", Value: bson.A{"a", int32(r.IntN(10)), nil, true}},
		bson.E{Key: "items", Value: bson.A{bson.D{{"sku", r.IntN(5000)}, {"qty", int32(1 + r.IntN(9))}}, bson.D{{"sku", r.IntN(5000)}, {"qty", int32(1)}}}},
		bson.E{Key: "text", Value: w.text[from : from+size]},
	)
}

// load creates the collections, and fills them with docs documents in all.
func (w *benchWriter) load(ctx context.Context, docs int) (BenchWork, error) {
	var done BenchWork
	for n, t := range benchTables() {
		if err := w.create(ctx, t); err != nil {
			return done, err
		}
		count := t.count(docs)
		sizes, err := w.fill(ctx, t, count, w.seed+uint64(n))
		if err != nil {
			return done, err
		}
		done.Documents += int64(count)
		done.Bytes += sizes
	}
	return done, nil
}

func (t benchTable) count(all int) int { return max(int(float64(all)*t.share), 1) }

func (w *benchWriter) create(ctx context.Context, t benchTable) error {
	as := table{db: benchDB, coll: t.coll, key: t.shard, splits: t.splits}
	if t.shard != nil {
		return as.shard(ctx, w.client, w.shards)
	}
	if err := w.client.Database(benchDB).CreateCollection(ctx, t.coll); err != nil {
		return fmt.Errorf("create %s: %w", t.coll, err)
	}
	return nil
}

func (w *benchWriter) fill(ctx context.Context, t benchTable, count int, seed uint64) (int64, error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	sizes := make([]int64, count/loadBatch+1)
	for from := 0; from < count; from += loadBatch {
		g.Go(func() error {
			r := rand.New(rand.NewPCG(seed, uint64(from)))
			batch := make(bson.A, 0, loadBatch)
			for i := from; i < min(from+loadBatch, count); i++ {
				doc, err := bson.Marshal(w.document(r, t, i))
				if err != nil {
					return fmt.Errorf("encode a document of %s: %w", t.coll, err)
				}
				sizes[from/loadBatch] += int64(len(doc))
				batch = append(batch, bson.Raw(doc))
			}
			_, err := w.command(ctx, bson.D{{"insert", t.coll}, {"ordered", false}, {"documents", batch}})
			return err
		})
	}
	err := g.Wait()
	total := int64(0)
	for _, n := range sizes {
		total += n
	}
	return total, err
}

// command sends a write and returns how many documents it changed.
func (w *benchWriter) command(ctx context.Context, cmd bson.D) (int64, error) {
	reply, err := w.client.Database(benchDB).RunCommand(ctx, cmd).Raw()
	if err != nil {
		return 0, fmt.Errorf("%s %v: %w", cmd[0].Key, cmd[0].Value, err)
	}
	n, _ := reply.Lookup("n").AsInt64OK()
	if changed, ok := reply.Lookup("nModified").AsInt64OK(); ok {
		n = changed
	}
	return n, nil
}
