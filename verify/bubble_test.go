package verify_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/mongotest"
)

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
