package wire_test

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

	"github.com/shardferry/shardferry/mongotest/internal/access"
	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/wire"
)

// The driver connects, writes and hears errors with everything they carry.
func TestDriverPingInsertAndError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newToy()
		p := newPipe(t, wire.Config{Handler: h})
		cl := p.connect(t)
		require.NoError(t, cl.Ping(t.Context(), nil))
		docs := make([]any, 1000)
		for i := range docs {
			docs[i] = bson.D{{"_id", i}, {"x", "y"}}
		}
		_, err := cl.Database("d").Collection("c").InsertMany(t.Context(), docs)
		require.NoError(t, err)
		assert.Equal(t, 1000, h.inserted)

		err = cl.Database("d").RunCommand(t.Context(), bson.D{{"nonsense", 1}}).Err()
		var ce mongo.CommandError
		require.ErrorAs(t, err, &ce)
		assert.Equal(t, int32(mongoerr.CommandNotFound), ce.Code)
		assert.Equal(t, "CommandNotFound", ce.Name)
		assert.True(t, ce.HasErrorLabel("SomeLabel"))
		assert.Equal(t, int64(1), ce.Raw.Lookup("extra", "a").AsInt64())
		assert.NotZero(t, ce.Raw.Lookup("operationTime"))
		hash := ce.Raw.Lookup("$clusterTime", "signature", "hash")
		_, data := hash.Binary()
		assert.Equal(t, make([]byte, 20), data)

		require.NoError(t, cl.Disconnect(t.Context()))
		p.wg.Wait()
	})
}

// A monitor that streams hears of a change at once, and otherwise once per
// maxAwaitTimeMS on the one request it sent.
func TestExhaustHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newToy()
		p := newPipe(t, wire.Config{Handler: h})
		cl := p.connect(t, options.Client().SetServerMonitoringMode("stream").SetHeartbeatInterval(10*time.Second))
		require.NoError(t, cl.Ping(t.Context(), nil))
		time.Sleep(time.Second)
		synctest.Wait()
		before := h.count("hello") + h.count("isMaster")
		time.Sleep(100 * time.Second)
		synctest.Wait()
		idle := h.count("hello") + h.count("isMaster") - before
		assert.InDelta(t, 20, idle, 3, "ten streamed replies and ten round-trip probes")
		h.change()
		synctest.Wait()
		assert.Greater(t, h.count("hello")+h.count("isMaster")-before, idle)
		require.NoError(t, cl.Disconnect(t.Context()))
		p.wg.Wait()
	})
}

// A command in progress ends when its client hangs up.
func TestCommandEndsWithItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wire.Config{Handler: newToy()})
		cl := p.connect(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Error(t, cl.Database("d").RunCommand(ctx, bson.D{{"hang", 1}}).Err())
		require.NoError(t, cl.Disconnect(t.Context()))
		p.wg.Wait() // would be a deadlock if the handler still hung
	})
}

// A command that panics is answered, and the connection goes on.
func TestPanicIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wire.Config{Handler: newToy()})
		cl := p.connect(t)
		var ce mongo.CommandError
		require.ErrorAs(t, cl.Database("d").RunCommand(t.Context(), bson.D{{"panic", 1}}).Err(), &ce)
		assert.Equal(t, int32(mongoerr.InternalError), ce.Code)
		require.NoError(t, cl.Ping(t.Context(), nil))
		require.NoError(t, cl.Disconnect(t.Context()))
		p.wg.Wait()
	})
}

// An unacknowledged insert is carried out, without a reply.
func TestUnacknowledgedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newToy()
		p := newPipe(t, wire.Config{Handler: h})
		cl := p.connect(t)
		coll := cl.Database("d").Collection("c", options.Collection().SetWriteConcern(unacknowledged()))
		_, err := coll.InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		require.NoError(t, cl.Ping(t.Context(), nil))
		synctest.Wait()
		assert.Equal(t, 1, h.inserted)
		require.NoError(t, cl.Disconnect(t.Context()))
		p.wg.Wait()
	})
}

// Commands survive each compressor. Outside a bubble: the driver pools zstd
// coders, with channels in them, for the whole process.
func TestCompression(t *testing.T) {
	for _, name := range []string{"snappy", "zlib", "zstd"} {
		t.Run(name, func(t *testing.T) {
			h := newToy()
			p := newPipe(t, wire.Config{Handler: h})
			cl := p.connect(t, options.Client().SetCompressors([]string{name}))
			docs := make([]any, 100)
			for i := range docs {
				docs[i] = bson.D{{"_id", i}, {"x", "the same string in every document"}}
			}
			_, err := cl.Database("d").Collection("c").InsertMany(t.Context(), docs)
			require.NoError(t, err)
			assert.Equal(t, 100, h.inserted)
			require.NoError(t, cl.Disconnect(t.Context()))
			p.wg.Wait()
		})
	}
}

// Both SCRAM mechanisms let the right password in and nobody else, and the
// handler sees the user.
func TestLogin(t *testing.T) {
	ops, err := access.NewUser("admin", "ops", "s3cret", []command.Role{{Role: "root", DB: "admin"}})
	require.NoError(t, err)
	app, err := access.NewUser("app", "app", "pw", []command.Role{{Role: "readWrite", DB: "app"}})
	require.NoError(t, err)
	tests := map[string]struct {
		cred   options.Credential
		user   string
		bypass bool
		fails  bool
	}{
		"negotiated":     {cred: options.Credential{Username: "ops", Password: "s3cret"}, user: "admin.ops", bypass: true},
		"SHA-1":          {cred: options.Credential{AuthMechanism: "SCRAM-SHA-1", Username: "ops", Password: "s3cret"}, user: "admin.ops", bypass: true},
		"SHA-256":        {cred: options.Credential{AuthMechanism: "SCRAM-SHA-256", Username: "ops", Password: "s3cret"}, user: "admin.ops", bypass: true},
		"other database": {cred: options.Credential{AuthSource: "app", Username: "app", Password: "pw"}, user: "app.app"},
		"wrong password": {cred: options.Credential{Username: "ops", Password: "guess"}, fails: true},
		"unknown user":   {cred: options.Credential{Username: "eve", Password: "s3cret"}, fails: true},
		"wrong database": {cred: options.Credential{AuthSource: "app", Username: "ops", Password: "s3cret"}, fails: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newToy()
				p := newPipe(t, wire.Config{Handler: h, RequireAuth: true, Users: userList{ops, app}})
				cl := p.connect(t, options.Client().SetAuth(tc.cred))
				err := cl.Ping(t.Context(), nil)
				if tc.fails {
					require.Error(t, err)
				} else {
					require.NoError(t, err)
					assert.Equal(t, tc.user, h.users[0])
					assert.Equal(t, tc.bypass, h.bypass)
				}
				require.NoError(t, cl.Disconnect(t.Context()))
				p.wg.Wait()
			})
		})
	}
}

// Before a login a server with authentication answers the handshake and little
// else.
func TestRequireAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newToy()
		p := newPipe(t, wire.Config{Handler: h, RequireAuth: true})
		cl := p.connect(t)
		require.NoError(t, cl.Ping(t.Context(), nil))
		_, err := cl.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
		var ce mongo.CommandError
		require.ErrorAs(t, err, &ce)
		assert.Equal(t, int32(mongoerr.Unauthorized), ce.Code)
		assert.Zero(t, h.inserted)
		require.NoError(t, cl.Disconnect(t.Context()))
		p.wg.Wait()
	})
}

// A dropped reply is a network error after the fact: the driver's retry
// reaches the handler a second time.
func TestDroppedReplyIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newToy()
		dropped := false
		p := newPipe(t, wire.Config{Handler: h, Fault: func(r *command.Request) *wire.Fault {
			if r.Name != "insert" || dropped {
				return nil
			}
			dropped = true
			return &wire.Fault{DropReply: true, Delay: time.Second}
		}})
		cl := p.connect(t)
		_, err := cl.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		assert.Equal(t, 2, h.inserted)
		require.NoError(t, cl.Disconnect(t.Context()))
		p.wg.Wait()
	})
}

// failCommand fails the commands it names as often as it was told.
func TestFailCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newToy()
		p := newPipe(t, wire.Config{Handler: h})
		cl := p.connect(t, options.Client().SetRetryWrites(false))
		admin := cl.Database("admin")
		require.NoError(t, admin.RunCommand(t.Context(), bson.D{
			{"configureFailPoint", "failCommand"},
			{"mode", bson.D{{"times", 2}}},
			{"data", bson.D{{"failCommands", bson.A{"insert"}}, {"errorCode", 91}}},
		}).Err())
		for range 2 {
			_, err := cl.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
			var ce mongo.CommandError
			require.ErrorAs(t, err, &ce)
			assert.Equal(t, int32(91), ce.Code)
		}
		_, err := cl.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}})
		require.NoError(t, err)
		require.Error(t, admin.RunCommand(t.Context(), bson.D{{"configureFailPoint", "other"}, {"mode", "off"}}).Err())
		require.NoError(t, cl.Disconnect(t.Context()))
		p.wg.Wait()
	})
}

// The server leaves when its context ends, whatever a command is doing.
func TestServeEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wire.Config{Handler: newToy()})
		ctx, cancel := context.WithCancelCause(t.Context())
		p.ctx = ctx
		nc, err := p.DialContext(t.Context(), "", "")
		require.NoError(t, err)
		_, err = nc.Write(opMsgOf(t, bson.D{{"hang", 1}, {"$db", "d"}}, 0))
		require.NoError(t, err)
		stop := errors.New("stop")
		cancel(stop)
		p.wg.Wait()
		require.ErrorIs(t, <-p.errs, stop)
	})
}
