package mongotest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/mongotest"
)

// BenchmarkInsert inserts documents of about 1 KB, 1,000 at a time, through the
// official driver in memory; an operation is one document.
func BenchmarkInsert(b *testing.B) {
	for name, shards := range map[string]int{"replica set": 0, "sharded": 2} {
		b.Run(name, func(b *testing.B) {
			c, err := mongotest.New(mongotest.Options{Shards: shards, OplogEntries: 100_000})
			require.NoError(b, err)
			ctx, cancel := context.WithCancel(b.Context())
			ran := make(chan error, 1)
			go func() { ran <- c.Run(ctx) }()
			cl, err := mongo.Connect(c.ClientOptions())
			require.NoError(b, err)
			if shards > 0 {
				require.NoError(b, cl.Database("admin").RunCommand(ctx, bson.D{
					{"shardCollection", "d.c"}, {"key", bson.D{{"_id", "hashed"}}},
				}).Err())
			}
			pad := make([]byte, 950)
			b.SetBytes(1000)
			b.ReportAllocs()
			for i := 0; i < b.N; {
				var docs bson.A
				for ; len(docs) < 1000; i++ {
					docs = append(docs, bson.D{{"_id", bson.NewObjectID()}, {"n", i}, {"pad", pad}})
				}
				cmd, err := bson.Marshal(bson.D{{"insert", "c"}, {"documents", docs}})
				require.NoError(b, err)
				require.NoError(b, cl.Database("d").RunCommand(ctx, bson.Raw(cmd)).Err())
			}
			require.NoError(b, cl.Disconnect(ctx))
			cancel()
			require.NoError(b, <-ran)
		})
	}
}
