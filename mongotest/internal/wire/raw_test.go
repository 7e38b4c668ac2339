package wire_test

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/shardferry/shardferry/mongotest/internal/wire"
)

func unacknowledged() *writeconcern.WriteConcern { return writeconcern.Unacknowledged() }

// opMsgOf returns an OP_MSG with one body.
func opMsgOf(t *testing.T, cmd bson.D, flags uint32) []byte {
	t.Helper()
	doc, err := bson.Marshal(cmd)
	require.NoError(t, err)
	msg := make([]byte, 21, 21+len(doc))
	binary.LittleEndian.PutUint32(msg, uint32(21+len(doc)))
	binary.LittleEndian.PutUint32(msg[4:], 42)
	binary.LittleEndian.PutUint32(msg[12:], 2013)
	binary.LittleEndian.PutUint32(msg[16:], flags)
	return append(msg, doc...)
}

// exchange writes a message and reads the reply's header and document.
func exchange(t *testing.T, nc net.Conn, msg []byte, prefix int) (responseTo uint32, doc bson.Raw) {
	t.Helper()
	_, err := nc.Write(msg)
	require.NoError(t, err)
	var head [16]byte
	_, err = io.ReadFull(nc, head[:])
	require.NoError(t, err)
	rest := make([]byte, binary.LittleEndian.Uint32(head[:])-16)
	_, err = io.ReadFull(nc, rest)
	require.NoError(t, err)
	return binary.LittleEndian.Uint32(head[8:]), bson.Raw(rest[prefix:])
}

// The handshake over OP_QUERY, as old clients open it, gets an OP_REPLY; any
// other command over it is refused.
func TestOpQueryIsForTheHandshakeOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wire.Config{Handler: newToy()})
		nc, err := p.DialContext(t.Context(), "", "")
		require.NoError(t, err)
		for _, tc := range []struct {
			cmd bson.D
			ok  float64
		}{
			{bson.D{{"isMaster", 1}, {"helloOk", true}, {"compression", bson.A{"lzma", "zstd"}}}, 1},
			{bson.D{{"ping", 1}}, 0},
		} {
			doc, err := bson.Marshal(tc.cmd)
			require.NoError(t, err)
			msg := make([]byte, 16, 100)
			binary.LittleEndian.PutUint32(msg[4:], 5)
			binary.LittleEndian.PutUint32(msg[12:], 2004)
			msg = append(msg, 0, 0, 0, 0)
			msg = append(msg, "admin.$cmd\x00"...)
			msg = append(msg, 0, 0, 0, 0, 1, 0, 0, 0)
			msg = append(msg, doc...)
			binary.LittleEndian.PutUint32(msg, uint32(len(msg)))
			to, answer := exchange(t, nc, msg, 20)
			assert.Equal(t, uint32(5), to)
			assert.InDelta(t, tc.ok, answer.Lookup("ok").Double(), 0)
			if tc.ok == 1 {
				assert.True(t, answer.Lookup("helloOk").Boolean())
				assert.Equal(t, "zstd", answer.Lookup("compression", "0").StringValue())
				assert.Equal(t, int32(1), answer.Lookup("connectionId").Int32())
			} else {
				assert.Equal(t, int32(352), answer.Lookup("code").Int32())
			}
		}
		require.NoError(t, nc.Close())
		p.wg.Wait()
		assert.Empty(t, p.errs, "leaving between messages is no error")
	})
}

// Bytes that are no message close the connection.
func TestGarbageClosesTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wire.Config{Handler: newToy()})
		for _, msg := range [][]byte{
			[]byte("GET / HTTP/1.1\r\n\r\n"),
			make([]byte, 16),
			opMsgOf(t, bson.D{{"ping", 1}}, 1<<7),
		} {
			nc, err := p.DialContext(t.Context(), "", "")
			require.NoError(t, err)
			_, _ = nc.Write(msg) // may fail half way, when the other side has hung up
			_, err = nc.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
			require.Error(t, <-p.errs)
		}
		p.wg.Wait()
	})
}

// logout is about the connection.
func TestLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, wire.Config{Handler: newToy()})
		nc, err := p.DialContext(t.Context(), "", "")
		require.NoError(t, err)
		_, doc := exchange(t, nc, opMsgOf(t, bson.D{{"logout", 1}, {"$db", "admin"}}, 0), 5)
		assert.InDelta(t, 1, doc.Lookup("ok").Double(), 0)
		require.NoError(t, nc.Close())
		p.wg.Wait()
	})
}
