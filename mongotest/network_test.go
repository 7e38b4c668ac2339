package mongotest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// The dialer knows the cluster's names and no others.
func TestDialerRefusesUnknownHosts(t *testing.T) {
	bubble(t, mongotest.Options{Name: "east", Shards: 1}, func(t *testing.T, c *mongotest.Cluster) {
		assert.Equal(t, []string{"mongos0.east.sim:27017", "shard0-0.east.sim:27017", "config-0.east.sim:27017"}, c.Addrs())
		for _, addr := range c.Addrs() {
			conn, err := c.Dialer().DialContext(t.Context(), "tcp", addr)
			require.NoError(t, err)
			assert.Equal(t, addr, conn.RemoteAddr().String())
			require.NoError(t, conn.Close())
		}
		_, err := c.Dialer().DialContext(t.Context(), "tcp", "mongos0.west.sim:27017")
		require.Error(t, err)
	})
}

// Options that make no cluster are refused.
func TestNewRefusesBadOptions(t *testing.T) {
	for name, o := range map[string]mongotest.Options{
		"name":            {Name: "a.b"},
		"negative shards": {Shards: -1},
		"only routers":    {Mongos: 1},
		"listen, no port": {Listen: "localhost"},
		"listen, port 0":  {Listen: "localhost:0"},
		"nameless user":   {Users: []mongotest.User{{Password: "x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mongotest.New(o)
			require.Error(t, err)
		})
	}
}

// A paused process keeps its clients waiting, and answers when it goes on.
func TestPauseAndResume(t *testing.T) {
	bubble(t, mongotest.Options{}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		coll := cl.Database("d").Collection("c")
		_, err := coll.InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		c.Pause(c.Addrs()[0])
		go func() {
			time.Sleep(5 * time.Second)
			c.Resume(c.Addrs()[0])
		}()
		start := time.Now()
		_, err = coll.InsertOne(t.Context(), bson.D{{"_id", 2}})
		require.NoError(t, err)
		assert.Equal(t, 5*time.Second, time.Since(start))
	})
}

// A process that is cut off cannot be reached until it is healed.
func TestCutAndHeal(t *testing.T) {
	bubble(t, mongotest.Options{}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c, options.Client().SetServerSelectionTimeout(time.Second))
		defer done()
		require.NoError(t, cl.Ping(t.Context(), nil))
		c.Cut(c.Addrs()[0])
		require.Error(t, cl.Ping(t.Context(), nil))
		c.Heal(c.Addrs()[0])
		require.NoError(t, cl.Ping(t.Context(), nil))
	})
}

// The Dial hook can refuse connections.
func TestDialFault(t *testing.T) {
	bubble(t, mongotest.Options{}, func(t *testing.T, c *mongotest.Cluster) {
		refused := errors.New("refused")
		c.SetFaults(mongotest.Faults{Dial: func(context.Context, string) error { return refused }})
		_, err := c.Dialer().DialContext(t.Context(), "tcp", c.Addrs()[0])
		require.ErrorIs(t, err, refused)
	})
}

// Who dials before Run waits for it; who dials after it is told that the
// cluster has ended. Run may be called once.
func TestDialBeforeAndAfterRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := mongotest.New(mongotest.Options{})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() {
			time.Sleep(time.Minute)
			ran <- c.Run(ctx)
		}()
		start := time.Now()
		conn, err := c.Dialer().DialContext(t.Context(), "tcp", c.Addrs()[0])
		require.NoError(t, err)
		assert.Equal(t, time.Minute, time.Since(start))
		cancel()
		require.NoError(t, <-ran)
		_, err = conn.Read(make([]byte, 1))
		require.Error(t, err)
		_, err = c.Dialer().DialContext(t.Context(), "tcp", c.Addrs()[0])
		require.ErrorIs(t, err, mongotest.ErrNotRunning)
		require.Error(t, c.Run(t.Context()))
	})
}

// An idle cluster costs no time: a day passes in a moment, and the oplog has
// seen it.
func TestADayPasses(t *testing.T) {
	bubble(t, mongotest.Options{Shards: 2}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		require.NoError(t, cl.Ping(t.Context(), nil))
		before := c.ClusterTime()
		time.Sleep(time.Hour)
		assert.InDelta(t, 3600, c.ClusterTime().T-before.T, 10)
		require.NoError(t, cl.Ping(t.Context(), nil))
	})
}
