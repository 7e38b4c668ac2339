package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

// A burst writes to every collection of the data set in batches, which costs
// less than one operation at a time. It stops when writes are refused.
type burst struct {
	client *mongo.Client
	rate   int
	r      *rand.Rand
	seq    int64

	changed int64 // documents that were really changed
	began   time.Time
	ended   time.Time
}

// burst writes rate documents a second until the source is write-blocked or the
// returned function is called.
func (m *move) burst(t *testing.T, rate int) (stop func() (changed int64, took time.Duration)) {
	t.Helper()
	b := &burst{client: m.src.app, rate: rate, r: rand.New(rand.NewPCG(3, 3)), began: time.Now()}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.run(ctx) }()
	return func() (int64, time.Duration) {
		cancel()
		require.NoError(t, <-done)
		return b.changed, b.ended.Sub(b.began)
	}
}

func (b *burst) run(ctx context.Context) error {
	defer func() { b.ended = time.Now() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		due := int64(time.Since(b.began).Seconds() * float64(b.rate))
		for b.changed < due {
			err := b.round(ctx)
			if ctx.Err() != nil || mongoconn.IsCode(err, mongoconn.CodeUserWritesBlocked) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
}

// round changes about a hundred documents: it inserts, updates and replaces,
// and deletes some of those that an earlier round inserted.
func (b *burst) round(ctx context.Context) error {
	insert := map[string][]mongo.WriteModel{}
	add := func(ns string, m mongo.WriteModel) { insert[ns] = append(insert[ns], m) }
	set := func() bson.D {
		return bson.D{{"$inc", bson.D{{"version", 1}}}, {"$set", bson.D{{"z", b.r.Int64()}, {"b", b.r.IntN(9)}}}}
	}
	for range 10 {
		b.seq++
		id, old := 1<<45+b.seq, 1<<45+1+b.r.Int64N(b.seq)
		add("shop.orders", mongo.NewInsertOneModel().SetDocument(bson.D{{"_id", id}, {"customer", int32(id % 10000)}, {"version", 0}, {"status", "burst"}}))
		add("metrics.readings", mongo.NewInsertOneModel().SetDocument(bson.D{{"_id", fmt.Sprint("burst", id)}, {"values", bson.A{b.r.Float64()}}, {"version", 0}}))
		for range 2 {
			old = 1<<45 + 1 + b.r.Int64N(b.seq)
			add("shop.orders", mongo.NewUpdateOneModel().SetFilter(bson.D{{"customer", int32(old % 10000)}, {"_id", old}}).SetUpdate(set()))
			add("metrics.readings", mongo.NewUpdateOneModel().SetFilter(bson.D{{"_id", fmt.Sprint("burst", old)}}).SetUpdate(set()))
		}
		if b.seq%3 == 0 {
			add("shop.orders", mongo.NewDeleteOneModel().SetFilter(bson.D{{"customer", int32(old % 10000)}, {"_id", old}}))
		}
		no := int32(b.r.IntN(4000))
		region := []string{"de", "fr", "it", "jp", "us", "br", "in", "ke"}[no%8]
		add("crm.customers", mongo.NewUpdateOneModel().SetFilter(bson.D{{"_id", bson.D{{"region", region}, {"no", no}}}}).SetUpdate(set()))
		add("crm.sessions", mongo.NewReplaceOneModel().SetUpsert(true).SetFilter(bson.D{{"_id", b.r.IntN(500)}}).
			SetReplacement(bson.D{{"user", b.r.IntN(100)}, {"seq", b.seq}}))
		add("crm.accounts", mongo.NewUpdateOneModel().SetUpsert(true).SetFilter(bson.D{{"_id", b.r.IntN(50)}}).SetUpdate(set()))
		add("metrics.recent", mongo.NewInsertOneModel().SetDocument(bson.D{{"_id", id}, {"text", "burst"}}))
	}
	for _, ns := range [][2]string{{"shop", "orders"}, {"metrics", "readings"}, {"crm", "customers"}, {"crm", "sessions"}, {"crm", "accounts"}, {"metrics", "recent"}} {
		res, err := b.client.Database(ns[0]).Collection(ns[1]).BulkWrite(ctx, insert[ns[0]+"."+ns[1]], options.BulkWrite().SetOrdered(false))
		if res != nil {
			b.changed += res.InsertedCount + res.ModifiedCount + res.DeletedCount + res.UpsertedCount
		}
		if err != nil {
			return err
		}
	}
	return nil
}
