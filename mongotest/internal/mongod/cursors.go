package mongod

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/errlabel"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// cursorTable holds the open cursors.
type cursorTable struct {
	streams errlabel.Streams

	mu  sync.Mutex
	all map[int64]*cursor
}

// A cursor is an open cursor between batches. What it is made of is set before
// it is put into the table; feed belongs to the operation that has it pinned.
type cursor struct {
	id        int64
	ns        string // as the reply says it
	session   string // key of its session, "" without
	number    int64  // transaction it belongs to, noNumber without
	user      string
	feed      feed
	isStream  bool
	await     bool // tailable with awaitData, or a change stream: a getMore waits
	noTimeout bool
	at        bson.Timestamp // of a snapshot read, zero for others

	mu      sync.Mutex
	lastUse time.Time
	pinned  *running // the getMore that uses it
	killed  bool
}

// A feed makes the batches of a cursor.
type feed interface {
	// fill adds documents to b until it is full or there are none for now. If
	// there are none at all it may wait up to b.wait. done means that nothing
	// will ever follow.
	fill(ctx context.Context, b *batch) (done bool, err error)
}

func newCursorTable() *cursorTable { return &cursorTable{all: map[int64]*cursor{}} }

// add gives c an id and opens it.
func (t *cursorTable) add(c *cursor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c.id == 0 || t.all[c.id] != nil {
		c.id = rand.Int64()
	}
	c.lastUse = time.Now()
	t.all[c.id] = c
	if c.isStream {
		t.streams.Add(c.id)
	}
}

func (t *cursorTable) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

func (t *cursorTable) list() []*cursor {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*cursor, 0, len(t.all))
	for _, c := range t.all {
		out = append(out, c)
	}
	return out
}

// pin finds a cursor and reserves it for op. unpin must follow.
func (t *cursorTable) pin(id int64, op *operation) (*cursor, error) {
	t.mu.Lock()
	c := t.all[id]
	t.mu.Unlock()
	if c == nil {
		return nil, cursorNotFound(id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.killed:
		return nil, cursorNotFound(id)
	case c.pinned != nil:
		return nil, mongoerr.New(12051, "cursor id %d is already in use", id)
	}
	c.pinned = op.running
	return c, nil
}

func cursorNotFound(id int64) error {
	return mongoerr.New(mongoerr.CursorNotFound, "cursor id %d not found", id)
}

// unpin returns a cursor to the table, or removes it if it is at its end.
func (t *cursorTable) unpin(c *cursor, done bool) {
	c.mu.Lock()
	c.pinned = nil
	c.lastUse = time.Now()
	done = done || c.killed
	c.killed = done
	c.mu.Unlock()
	if done {
		t.remove(c)
	}
}

func (t *cursorTable) remove(c *cursor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, c.id)
}

// kill ends a cursor, and the getMore that runs on it.
func (t *cursorTable) kill(c *cursor) {
	c.mu.Lock()
	c.killed = true
	pinned := c.pinned
	c.mu.Unlock()
	if pinned != nil {
		pinned.cancel(mongoerr.New(mongoerr.CursorKilled, "cursor killed"))
		return // its getMore removes it
	}
	t.remove(c)
}

// killWhere ends the chosen cursors.
func (t *cursorTable) killWhere(choose func(*cursor) bool) {
	for _, c := range t.list() {
		if choose(c) {
			t.kill(c)
		}
	}
}

func (t *cursorTable) find(id int64) *cursor {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[id]
}

// idleBefore reports whether c has not been used since then and may time out.
func (c *cursor) idleBefore(then time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pinned == nil && !c.noTimeout && c.number == noNumber && c.lastUse.Before(then)
}
