package main

import (
	wirebytes "encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// A disguise stands between shardferry and a cluster, and shows one collection
// as something else than it is: the simulator makes no such collections.
type disguise struct {
	collection string
	shown      bson.D // replaces these fields in the answers to listCollections

	mu    sync.Mutex
	asked map[uint32]bool // request ids of listCollections
}

// disguised returns the cluster's URI through a disguise.
func (c *cluster) disguised(t *testing.T, collection string, shown bson.D) string {
	t.Helper()
	_, rest, _ := strings.Cut(c.plain, "://")
	host, _, _ := strings.Cut(rest, "/")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() }) // nobody uses it any more
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", host)
			if err != nil {
				_ = client.Close() // the cluster is gone
				return
			}
			d := &disguise{collection: collection, shown: shown, asked: map[uint32]bool{}}
			go d.pass(client, server, d.note)
			go d.pass(server, client, d.change)
		}
	}()
	return "mongodb://" + l.Addr().String()
}

// pass copies messages until one side ends.
func (d *disguise) pass(from, to net.Conn, look func(head, body []byte) []byte) {
	defer func() { _, _ = from.Close(), to.Close() }() // the other direction ends too
	for {
		head := make([]byte, 16)
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		body := make([]byte, wirebytes.LittleEndian.Uint32(head)-16)
		if _, err := io.ReadFull(from, body); err != nil {
			return
		}
		if wirebytes.LittleEndian.Uint32(head[12:]) == opMsg && body[4] == 0 {
			body = look(head, body)
			wirebytes.LittleEndian.PutUint32(head, uint32(len(body)+16))
		}
		if _, err := to.Write(append(head, body...)); err != nil {
			return
		}
	}
}

func (d *disguise) note(head, body []byte) []byte {
	elems, err := firstDocument(body).Elements()
	if err == nil && elems[0].Key() == "listCollections" {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.asked[wirebytes.LittleEndian.Uint32(head[4:])] = true
	}
	return body
}

func (d *disguise) change(head, body []byte) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.asked[wirebytes.LittleEndian.Uint32(head[8:])] {
		return body
	}
	var reply struct {
		Cursor struct {
			ID    int64    `bson:"id"`
			NS    string   `bson:"ns"`
			First []bson.D `bson:"firstBatch"`
		} `bson:"cursor"`
		OK float64 `bson:"ok"`
	}
	if err := bson.Unmarshal(firstDocument(body), &reply); err != nil {
		return body
	}
	for _, c := range reply.Cursor.First {
		for i := range c {
			for _, s := range d.shown {
				if c[0].Value == d.collection && c[i].Key == s.Key {
					c[i] = s
				}
			}
		}
	}
	doc, err := bson.Marshal(reply)
	if err != nil {
		return body
	}
	return append([]byte{0, 0, 0, 0, 0}, doc...) // flags, kind of the section
}

func firstDocument(body []byte) bson.Raw {
	return bson.Raw(body[5 : 5+int(wirebytes.LittleEndian.Uint32(body[5:]))])
}
