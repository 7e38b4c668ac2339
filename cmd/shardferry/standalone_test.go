package main

import (
	wirebytes "encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// Operation codes of the wire protocol (server: OP_MSG, legacy opcodes).
const (
	opReply = 1
	opQuery = 2004
	opMsg   = 2013
)

// standalone answers as a mongod without a replica set does and returns its
// URI. It knows hello, ping and buildInfo; anything else is unknown to it and
// fails the test, for a standalone is to be refused before.
func standalone(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() }) // nobody uses it any more
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }() // the client has gone
				for answerOne(t, conn) == nil {
				}
			}()
		}
	}()
	return "mongodb://" + l.Addr().String()
}

func answerOne(t *testing.T, conn net.Conn) error {
	head := make([]byte, 16)
	if _, err := io.ReadFull(conn, head); err != nil {
		return err
	}
	body := make([]byte, wirebytes.LittleEndian.Uint32(head)-16)
	if _, err := io.ReadFull(conn, body); err != nil {
		return err
	}
	code := wirebytes.LittleEndian.Uint32(head[12:])
	at := 5 // OP_MSG: flags, kind of the section
	if code == opQuery {
		at = 4
		for body[at] != 0 {
			at++
		}
		at += 9 // the name's end, skip and limit
	}
	cmd := bson.Raw(body[at : at+int(wirebytes.LittleEndian.Uint32(body[at:]))])
	elems, err := cmd.Elements()
	if err != nil {
		return err
	}
	reply, err := bson.Marshal(standaloneReply(t, elems[0].Key()))
	if err != nil {
		return err
	}
	out, prefix := uint32(opMsg), make([]byte, 5)
	if code == opQuery {
		out, prefix = opReply, make([]byte, 20)
		prefix[16] = 1 // one document
	}
	msg := wirebytes.LittleEndian.AppendUint32(nil, uint32(16+len(prefix)+len(reply)))
	msg = wirebytes.LittleEndian.AppendUint32(msg, 1)
	msg = append(msg, head[4:8]...) // in answer to
	msg = wirebytes.LittleEndian.AppendUint32(msg, out)
	_, err = conn.Write(append(append(msg, prefix...), reply...))
	return err
}

func standaloneReply(t *testing.T, command string) bson.D {
	switch command {
	case "hello", "isMaster", "ismaster":
		return bson.D{
			{"helloOk", true},
			{"isWritablePrimary", true},
			{"ismaster", true},
			{"maxBsonObjectSize", 16 << 20},
			{"maxMessageSizeBytes", 48000000},
			{"maxWriteBatchSize", 100000},
			{"logicalSessionTimeoutMinutes", 30},
			{"minWireVersion", 0},
			{"maxWireVersion", 25},
			{"readOnly", false},
			{"ok", 1.0},
		}
	case "buildInfo":
		return bson.D{{"version", "8.0.4"}, {"versionArray", bson.A{8, 0, 4, 0}}, {"ok", 1.0}}
	case "ping", "endSessions":
		return bson.D{{"ok", 1.0}}
	}
	assert.Fail(t, "the standalone was sent "+command)
	return bson.D{{"ok", 0.0}, {"code", 59}, {"errmsg", "no such command"}}
}
