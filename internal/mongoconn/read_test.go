package mongoconn_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
)

// Who has read enough is not held up by a server that does not answer any more,
// and learns of nothing but his own error.
func TestReadAfterDoesNotWaitForItsCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := mongotest.New(mongotest.Options{})
		require.NoError(t, err)
		ended := make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		go func() { ended <- c.Run(ctx) }()
		<-c.Ready()
		client, err := mongo.Connect(c.ClientOptions())
		require.NoError(t, err)
		_, err = client.Database("d").Collection("c").InsertMany(t.Context(), []any{bson.D{}, bson.D{}, bson.D{}})
		require.NoError(t, err)
		c.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) (f mongotest.Fault) {
			if c.Name == "killCursors" {
				f.Delay = time.Hour
			}
			return f
		}})
		began, enough := time.Now(), errors.New("enough")
		err = mongoconn.ReadAfter(t.Context(), client, shardferry.Namespace{DB: "d", Coll: "c"}, shardferry.ClusterTime{}, bson.D{},
			options.Find().SetBatchSize(2), func(bson.Raw) error { return enough })
		assert.Equal(t, enough, err)
		assert.LessOrEqual(t, time.Since(began), 5*time.Second)
		_ = mongoconn.Disconnect(t.Context(), client, 2*time.Second)
		stop()
		require.NoError(t, <-ended)
	})
}
