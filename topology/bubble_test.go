package topology_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/mongotest"
	"github.com/shardferry/shardferry/topology"
)

var quiet = slog.New(slog.DiscardHandler)

func ns(coll string) shardferry.Namespace { return shardferry.Namespace{DB: "d", Coll: coll} }

// bubble runs a story with clusters in virtual time; each comes with a client.
func bubble(t *testing.T, opts []mongotest.Options, story func(t *testing.T, cl []*mongo.Client)) {
	t.Helper()
	disturbed(t, opts, func(t *testing.T, cl []*mongo.Client, _ []*mongotest.Cluster) { story(t, cl) })
}

// disturbed is bubble for stories that disturb the clusters.
func disturbed(t *testing.T, opts []mongotest.Options, story func(t *testing.T, cl []*mongo.Client, clusters []*mongotest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var clients []*mongo.Client
		var clusters []*mongotest.Cluster
		var ended []chan error
		for _, o := range opts {
			c, err := mongotest.New(o)
			require.NoError(t, err)
			end := make(chan error, 1)
			go func() { end <- c.Run(ctx) }()
			ended = append(ended, end)
			<-c.Ready()
			client, err := mongo.Connect(c.ClientOptions())
			require.NoError(t, err)
			clients, clusters = append(clients, client), append(clusters, c)
		}
		defer func() {
			for _, c := range clients {
				require.NoError(t, c.Disconnect(t.Context()))
			}
			cancel()
			for _, end := range ended {
				assert.NoError(t, <-end)
			}
		}()
		story(t, clients, clusters)
	})
}

func one(shards int) []mongotest.Options { return []mongotest.Options{{Shards: shards}} }

func two(from, to int) []mongotest.Options {
	return []mongotest.Options{{Name: "east", Shards: from}, {Name: "west", Shards: to}}
}

func admin(t *testing.T, cl *mongo.Client, cmd bson.D) {
	t.Helper()
	require.NoError(t, cl.Database("admin").RunCommand(t.Context(), cmd).Err(), "%v", cmd)
}

func command(t *testing.T, cl *mongo.Client, cmd bson.D) {
	t.Helper()
	require.NoError(t, cl.Database("d").RunCommand(t.Context(), cmd).Err(), "%v", cmd)
}

func insert(t *testing.T, cl *mongo.Client, ns shardferry.Namespace, docs ...any) {
	t.Helper()
	_, err := cl.Database(ns.DB).Collection(ns.Coll).InsertMany(t.Context(), docs)
	require.NoError(t, err)
}

func discover(t *testing.T, cl *mongo.Client) *topology.Cluster {
	t.Helper()
	c, err := topology.Discover(t.Context(), cl)
	require.NoError(t, err)
	return c
}

func find(t *testing.T, c *topology.Cluster, ns shardferry.Namespace) *topology.Collection {
	t.Helper()
	for i := range c.Collections {
		if c.Collections[i].NS == ns {
			return &c.Collections[i]
		}
	}
	require.Failf(t, "not found", "%s", ns)
	return nil
}

func raw(t *testing.T, d bson.D) bson.Raw {
	t.Helper()
	b, err := bson.Marshal(d)
	require.NoError(t, err)
	return b
}

// index returns an index of a collection, nil if there is none.
func index(c *topology.Collection, name string) bson.Raw {
	for _, spec := range c.Indexes {
		if topology.IndexName(spec) == name {
			return spec
		}
	}
	return nil
}
