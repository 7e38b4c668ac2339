package mongotest_test

import (
	"encoding/binary"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// plain sends a command as it is, without a driver that adds a session, and
// returns the reply, which must be ok.
func plain(t *testing.T, c *mongotest.Cluster, db string, cmd bson.D) bson.Raw {
	t.Helper()
	reply := answer(t, c, db, cmd)
	require.True(t, value.Truthy(reply.Lookup("ok")), "%s", reply)
	return reply
}

// answer is plain for a command that may fail.
func answer(t *testing.T, c *mongotest.Cluster, db string, cmd bson.D) bson.Raw {
	t.Helper()
	conn, err := c.Dialer().DialContext(t.Context(), "tcp", c.Addrs()[0])
	require.NoError(t, err)
	defer func() { assert.NoError(t, conn.Close()) }()
	body, err := bson.Marshal(append(append(bson.D{}, cmd...), bson.E{Key: "$db", Value: db}))
	require.NoError(t, err)
	const head, opMsg = 16 + 4 + 1, 2013
	msg := make([]byte, head, head+len(body))
	binary.LittleEndian.PutUint32(msg, uint32(head+len(body)))
	binary.LittleEndian.PutUint32(msg[12:], opMsg)
	_, err = conn.Write(append(msg, body...))
	require.NoError(t, err)
	reply := make([]byte, head)
	_, err = io.ReadFull(conn, reply)
	require.NoError(t, err)
	reply = make([]byte, binary.LittleEndian.Uint32(reply)-head)
	_, err = io.ReadFull(conn, reply)
	require.NoError(t, err)
	return reply
}
