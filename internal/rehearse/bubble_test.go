package rehearse

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// bubble runs a story on a stage in virtual time, with an application's client
// of each cluster.
func bubble(t *testing.T, sourceShards, destinationShards int, story func(t *testing.T, s *Stage, from, to *mongo.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := NewStage(StageOptions{SourceShards: sourceShards, DestinationShards: destinationShards})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		defer func() {
			cancel()
			assert.NoError(t, <-ended)
		}()
		require.NoError(t, s.WaitReady(ctx))
		from, err := App(s.Source)
		require.NoError(t, err)
		defer disconnect(ctx, from)
		to, err := App(s.Destination)
		require.NoError(t, err)
		defer disconnect(ctx, to)
		story(t, s, from, to)
	})
}

func command(t *testing.T, c *mongo.Client, db string, cmd bson.D) {
	t.Helper()
	require.NoError(t, c.Database(db).RunCommand(t.Context(), cmd).Err(), "%v", cmd)
}
