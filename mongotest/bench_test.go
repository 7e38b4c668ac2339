//go:build unix

package mongotest_test

import (
	"context"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry/mongotest"
)

// The benchmarks go through the official driver over TCP, in one process with
// the simulated cluster; an operation is one document or event.

// served runs a cluster on TCP until the benchmark ends.
func served(b *testing.B, opt mongotest.Options) *mongo.Client {
	b.Helper()
	opt.Listen = freePorts(b, opt.Shards+2)
	c, err := mongotest.New(opt)
	require.NoError(b, err)
	run(b, c.Run, c.ListenAndServe)
	cl, err := mongo.Connect(options.Client().ApplyURI(c.URI()))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, cl.Disconnect(context.WithoutCancel(b.Context()))) })
	return cl
}

// batch is an insert command of documents with about size bytes each.
func batch(b *testing.B, docs, size int) bson.Raw {
	b.Helper()
	pad := make([]byte, max(0, size-50))
	list := make(bson.A, docs)
	for i := range list {
		list[i] = bson.D{{"_id", bson.NewObjectID()}, {"n", i}, {"pad", pad}}
	}
	cmd, err := bson.Marshal(bson.D{{"insert", "c"}, {"ordered", false}, {"documents", list}})
	require.NoError(b, err)
	return cmd
}

// load inserts b.N documents, made beforehand so that only their way is measured.
func load(b *testing.B, cl *mongo.Client, size int) {
	b.Helper()
	const at = 1000
	var g errgroup.Group
	for w := range 2 {
		g.Go(func() error {
			for n := w * at; n < b.N; n += 2 * at {
				if err := cl.Database("d").RunCommand(b.Context(), batch(b, min(at, b.N-n), size)).Err(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(b, g.Wait())
}

// measured times f, and tells the CPU seconds of client and cluster together
// for a million operations.
func measured(b *testing.B, f func()) {
	b.Helper()
	before := cpu(b)
	b.ResetTimer()
	f()
	b.StopTimer()
	b.ReportMetric((cpu(b)-before).Seconds()*1e6/float64(b.N), "cpu-s/M")
}

// cpu is the time that this process has had of all cores, user and system.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkInsert(b *testing.B) {
	for name, shards := range map[string]int{"replica set": 0, "sharded": 3} {
		b.Run(name, func(b *testing.B) {
			cl := served(b, mongotest.Options{Shards: shards, OplogEntries: 100_000})
			if shards > 0 {
				require.NoError(b, cl.Database("admin").RunCommand(b.Context(), bson.D{
					{"shardCollection", "d.c"}, {"key", bson.D{{"_id", "hashed"}}},
				}).Err())
			}
			b.SetBytes(1024)
			b.ReportAllocs()
			measured(b, func() { load(b, cl, 1024) })
		})
	}
}

func BenchmarkScan(b *testing.B) {
	cl := served(b, mongotest.Options{OplogEntries: 1000})
	load(b, cl, 1024)
	b.SetBytes(1024)
	measured(b, func() {
		cur, err := cl.Database("d").Collection("c").Find(b.Context(), bson.D{}, options.Find().SetBatchSize(5000))
		require.NoError(b, err)
		n := 0
		for cur.Next(b.Context()) {
			n++
		}
		require.NoError(b, cur.Err())
		require.Equal(b, b.N, n)
	})
}

func BenchmarkChangeStream(b *testing.B) {
	for name, shards := range map[string]int{"replica set": 0, "merged from 3 shards": 3} {
		b.Run(name, func(b *testing.B) {
			cl := served(b, mongotest.Options{Shards: shards})
			if shards > 0 {
				require.NoError(b, cl.Database("admin").RunCommand(b.Context(), bson.D{
					{"shardCollection", "d.c"}, {"key", bson.D{{"_id", "hashed"}}},
				}).Err())
			}
			cs, err := cl.Watch(b.Context(), mongo.Pipeline{}, options.ChangeStream().SetBatchSize(5000))
			require.NoError(b, err)
			token := cs.ResumeToken()
			require.NoError(b, cs.Close(b.Context()))
			load(b, cl, 1024)
			// Every shard moves past the last event; otherwise a merged stream waits for
			// the next periodic no-op.
			require.NoError(b, cl.Database("admin").RunCommand(b.Context(), bson.D{
				{"appendOplogNote", 1}, {"data", bson.D{{"bench", "loaded"}}},
			}).Err())
			b.SetBytes(1024)
			measured(b, func() {
				cs, err = cl.Watch(b.Context(), mongo.Pipeline{}, options.ChangeStream().SetBatchSize(5000).SetResumeAfter(token))
				require.NoError(b, err)
				for range b.N {
					require.True(b, cs.Next(b.Context()))
				}
				require.NoError(b, cs.Close(b.Context()))
			})
		})
	}
}

// BenchmarkMemory reports what a small document takes, with its place in the
// index of _id; -benchtime 10000000x is the size that the page tells of.
func BenchmarkMemory(b *testing.B) {
	cl := served(b, mongotest.Options{OplogEntries: 1000})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	measured(b, func() { load(b, cl, 100) })
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "B/doc")
	b.ReportMetric(float64(after.Sys)/(1<<30), "GiB-process")
}

// BenchmarkStart starts a cluster of three shards until it answers.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		c, err := mongotest.New(mongotest.Options{Shards: 3})
		require.NoError(b, err)
		ctx, cancel := context.WithCancel(b.Context())
		ran := make(chan error, 1)
		go func() { ran <- c.Run(ctx) }()
		cl, err := mongo.Connect(c.ClientOptions())
		require.NoError(b, err)
		require.NoError(b, cl.Ping(ctx, nil))
		b.StopTimer()
		require.NoError(b, cl.Disconnect(ctx))
		cancel()
		require.NoError(b, <-ran)
		b.StartTimer()
	}
}
