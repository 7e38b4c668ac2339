package mongotest_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry/mongotest"
)

// run starts the functions with a context that ends with the test, which waits
// for them.
func run(t testing.TB, fns ...func(context.Context) error) {
	t.Helper()
	// Not t.Context(), which ends before the cleanups do: a client that says
	// goodbye there would wait for a server that is gone.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	for _, fn := range fns {
		wg.Go(func() { assert.NoError(t, fn(ctx)) })
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

func listener(t testing.TB) net.Listener {
	t.Helper()
	var cfg net.ListenConfig
	ln, err := cfg.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return ln
}

// Over TCP a client of one router, on any port, sees the whole cluster.
func TestRouterOverTCP(t *testing.T) {
	c, err := mongotest.New(mongotest.Options{Shards: 2})
	require.NoError(t, err)
	ln := listener(t)
	run(t, c.Run, func(ctx context.Context) error { return c.Serve(ctx, ln, 0) })
	cl, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + ln.Addr().String()))
	require.NoError(t, err)
	shardHashed(t, cl, "shop.orders")
	crud(t, cl.Database("shop").Collection("orders"))
	require.NoError(t, cl.Disconnect(t.Context()))
}

// ListenAndServe makes every process reachable under the name it has inside
// the cluster.
func TestListenAndServe(t *testing.T) {
	addr := freePorts(t, 1)
	c, err := mongotest.New(mongotest.Options{Listen: addr})
	require.NoError(t, err)
	assert.Equal(t, []string{addr}, c.Addrs())
	run(t, c.Run, c.ListenAndServe)
	cl, err := mongo.Connect(options.Client().ApplyURI(c.URI()).SetCompressors([]string{"zstd"}))
	require.NoError(t, err)
	crud(t, cl.Database("shop").Collection("orders"))
	var hello bson.M
	require.NoError(t, cl.Database("admin").RunCommand(t.Context(), bson.D{{"hello", 1}}).Decode(&hello))
	assert.Equal(t, bson.A{addr}, hello["hosts"])
	require.NoError(t, cl.Disconnect(t.Context()))
}

// freePorts returns the first of n consecutive ports that nobody uses.
func freePorts(t testing.TB, n int) string {
	t.Helper()
	for range 50 {
		first := listener(t)
		addr := first.Addr().(*net.TCPAddr)
		held := []net.Listener{first}
		for len(held) < n {
			var cfg net.ListenConfig
			ln, err := cfg.Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(addr.Port+len(held))))
			if err != nil {
				break
			}
			held = append(held, ln)
		}
		for _, ln := range held {
			require.NoError(t, ln.Close())
		}
		if len(held) == n {
			return addr.String()
		}
	}
	require.FailNow(t, "no consecutive free ports")
	return ""
}

// Every process of a sharded cluster answers on TCP under the address that
// config.shards gives.
func TestShardedClusterOverTCP(t *testing.T) {
	c, err := mongotest.New(mongotest.Options{Shards: 2, Mongos: 2, Listen: freePorts(t, 5)})
	require.NoError(t, err)
	run(t, c.Run, c.ListenAndServe)
	cl, err := mongo.Connect(options.Client().ApplyURI(c.URI()))
	require.NoError(t, err)
	shardHashed(t, cl, "shop.orders")
	crud(t, cl.Database("shop").Collection("orders"))
	cur, err := cl.Database("config").Collection("shards").Find(t.Context(), bson.D{})
	require.NoError(t, err)
	var shards []struct {
		ID   string `bson:"_id"`
		Host string `bson:"host"`
	}
	require.NoError(t, cur.All(t.Context(), &shards))
	require.Len(t, shards, 2)
	total := int64(0)
	for _, s := range shards {
		set, host, _ := strings.Cut(s.Host, "/")
		direct, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + host + "/?replicaSet=" + set))
		require.NoError(t, err)
		n, err := direct.Database("shop").Collection("orders").CountDocuments(t.Context(), bson.D{})
		require.NoError(t, err)
		total += n
		require.NoError(t, direct.Disconnect(t.Context()))
	}
	assert.Equal(t, int64(226), total)
	require.NoError(t, cl.Disconnect(t.Context()))
}
