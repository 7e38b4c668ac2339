//go:build unix

package mongotest_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// BenchmarkDiskInsert is BenchmarkInsert with a directory: every batch is synced.
func BenchmarkDiskInsert(b *testing.B) {
	cl := served(b, mongotest.Options{OplogEntries: 100_000, DBPath: b.TempDir()})
	b.SetBytes(1024)
	b.ReportAllocs()
	measured(b, func() { load(b, cl, 1024) })
}

// BenchmarkDiskMemory is BenchmarkMemory with a directory, and how long a start
// takes with what has been loaded; an operation is a document.
func BenchmarkDiskMemory(b *testing.B) {
	o := mongotest.Options{OplogEntries: 1000, DBPath: b.TempDir()}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start(b, o, func(cl *mongo.Client) {
		b.ResetTimer()
		load(b, cl, 100)
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "B/doc")
	})
	began := b.Elapsed()
	b.StartTimer()
	start(b, o, func(cl *mongo.Client) {
		b.StopTimer()
		b.ReportMetric((b.Elapsed() - began).Seconds(), "s-restart")
		n, err := cl.Database("d").Collection("c").EstimatedDocumentCount(b.Context())
		require.NoError(b, err)
		require.EqualValues(b, b.N, n)
	})
}

// start runs f with a client of a cluster that answers, and ends the cluster.
func start(b *testing.B, o mongotest.Options, f func(*mongo.Client)) {
	b.Helper()
	c, err := mongotest.New(o)
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	cl, err := mongo.Connect(c.ClientOptions(), options.Client().SetMaxPoolSize(8))
	require.NoError(b, err)
	require.NoError(b, cl.Ping(ctx, nil))
	f(cl)
	require.NoError(b, cl.Disconnect(ctx))
	cancel()
	require.NoError(b, <-ran)
}
