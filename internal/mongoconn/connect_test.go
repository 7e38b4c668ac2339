package mongoconn_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

func TestPasswordNeverShows(t *testing.T) {
	for _, uri := range []string{
		"mongodb://u:c4n4ry@h:27017/?x=y",
		"mongodb://u:c4n4ry@h:port",
		"mongodb://u:c4n4ry@",
		"mongodb://u:c4n4ry@h1,h2:99999/",
		"mongodb://u:p@c4n4ry@h/",
		"mongodb://u:c4n4ry%@h/",
		"mongodb+srv://u:c4n4ry@h:1/",
		"postgres://u:c4n4ry@h/db",
		"u:c4n4ry@h",
		"mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:c4n4ry",
	} {
		t.Run(uri, func(t *testing.T) {
			assert.NotContains(t, mongoconn.Redact(uri), "c4n4ry")
			_, err := mongoconn.Connect(mongoconn.Config{URI: uri})
			if err != nil {
				assert.NotContains(t, err.Error(), "c4n4ry")
			}
		})
	}
}

func TestWrongURIIsRefused(t *testing.T) {
	for _, uri := range []string{"", "localhost:27017", "http://h", "mongodb://", "mongodb://h:0", "mongodb://h/?w=-4"} {
		require.Error(t, mongoconn.CheckURI(uri), uri)
	}
	require.NoError(t, mongoconn.CheckURI("mongodb://a:b@h1:1,h2:2/?authSource=admin"))
}

// A client that has missed a server's news hears of it soon, for it asks again.
func TestServersAreAskedOften(t *testing.T) {
	for params, want := range map[string]int32{"": 5, "&heartbeatFrequencyMS=60000": 1} {
		synctest.Test(t, func(t *testing.T) {
			var d deadEnd
			client, err := mongoconn.Connect(mongoconn.Config{URI: "mongodb://h:1/?replicaSet=r" + params, Dialer: &d})
			require.NoError(t, err)
			time.Sleep(9 * time.Second)
			assert.Equal(t, want, d.asked.Load(), params)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.NoError(t, client.Disconnect(ctx))
		})
	}
}

// deadEnd is a network without anybody on it.
type deadEnd struct{ asked atomic.Int32 }

func (d *deadEnd) DialContext(context.Context, string, string) (net.Conn, error) {
	d.asked.Add(1)
	return nil, errors.New("nobody is there")
}
