package mongotest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// bubble runs story with a running cluster in virtual time, and fails if the
// cluster leaves a goroutine behind.
func bubble(t *testing.T, o mongotest.Options, story func(t *testing.T, c *mongotest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, err := mongotest.New(o)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- c.Run(ctx) }()
		defer func() {
			cancel()
			assert.NoError(t, <-ran)
		}()
		<-c.Ready()
		story(t, c)
	})
}

// connect returns a client of the cluster that is disconnected before the
// story's cluster ends if the story defers the second result.
func connect(t *testing.T, c *mongotest.Cluster, more ...*options.ClientOptions) (*mongo.Client, func()) {
	t.Helper()
	cl, err := mongo.Connect(append([]*options.ClientOptions{c.ClientOptions()}, more...)...)
	require.NoError(t, err)
	return cl, func() { assert.NoError(t, cl.Disconnect(t.Context())) }
}

// pass lets virtual time pass, and everything that has become due end. Only
// one goroutine of a bubble may call it.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// rest lets virtual time pass for one goroutine among others.
func rest(d time.Duration) { time.Sleep(d) }
