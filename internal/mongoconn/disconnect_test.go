package mongoconn_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
)

// Who says goodbye while a command of his is still out is not held up by it.
func TestDisconnectDoesNotWaitForWhatIsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := mongotest.New(mongotest.Options{})
		require.NoError(t, err)
		ended := make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		go func() { ended <- c.Run(ctx) }()
		<-c.Ready()
		c.SetFaults(mongotest.Faults{Command: func(c mongotest.Command) (f mongotest.Fault) {
			if c.Name == "find" {
				f.Delay = time.Hour
			}
			return f
		}})
		client, err := mongo.Connect(c.ClientOptions())
		require.NoError(t, err)
		answer := make(chan error, 1)
		go func() { answer <- client.Database("d").Collection("c").FindOne(t.Context(), bson.D{}).Err() }()
		time.Sleep(time.Second)
		began := time.Now()
		_ = mongoconn.Disconnect(t.Context(), client, 2*time.Second)
		assert.LessOrEqual(t, time.Since(began), 2*time.Second)
		require.Error(t, <-answer)
		stop()
		require.NoError(t, <-ended)
	})
}
