package mongos

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/errlabel"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A cursor is an open cursor of this router.
type cursor struct {
	id      int64
	ns      string
	session string // the id of the session it belongs to, if any
	lsid    bson.RawValue
	feed    feed
	use     *rangeHold // keeps moved ranges readable, nil if it reads none

	// Guarded by the table's mutex.
	busy   bool
	killed bool
	cancel context.CancelCauseFunc // of the getMore under way
	used   time.Time
}

// A cursorTable holds the open cursors of a router.
type cursorTable struct {
	streams errlabel.Streams

	mu      sync.Mutex
	cursors map[int64]*cursor
}

func newCursorTable() *cursorTable { return &cursorTable{cursors: map[int64]*cursor{}} }

func (t *cursorTable) add(c *cursor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c.id == 0 || t.cursors[c.id] != nil {
		c.id = rand.Int64N(1 << 62)
	}
	c.used = time.Now()
	t.cursors[c.id] = c
	if _, ok := c.feed.(*streamFeed); ok {
		t.streams.Add(c.id)
	}
}

// pin takes a cursor for one getMore.
func (t *cursorTable) pin(ctx context.Context, id int64, session string) (*cursor, context.Context, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.cursors[id]
	switch {
	case c == nil:
		return nil, nil, mongoerr.New(mongoerr.CursorNotFound, "cursor id %d not found", id)
	case c.session != session:
		return nil, nil, mongoerr.New(50738, "Cannot run getMore on cursor %d, which was created in another session", id)
	case c.busy:
		return nil, nil, mongoerr.New(12051, "cursor id %d is already in use", id)
	}
	c.busy = true
	ctx, c.cancel = context.WithCancelCause(ctx)
	return c, ctx, nil
}

// unpin gives a cursor back and reports whether it is to be closed, because it
// is done or was killed meanwhile.
func (t *cursorTable) unpin(c *cursor, done bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.cancel(nil)
	c.busy, c.cancel, c.used = false, nil, time.Now()
	if done || c.killed {
		delete(t.cursors, c.id)
		return true
	}
	return false
}

// remove takes the cursors out that match, for closing. One in use is only
// marked: its getMore ends and closes it.
func (t *cursorTable) remove(match func(*cursor) bool) (idle []*cursor, ids []int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, c := range t.cursors {
		if !match(c) {
			continue
		}
		ids = append(ids, id)
		if c.busy {
			c.killed = true
			c.cancel(mongoerr.New(mongoerr.CursorKilled, "cursor id %d was killed", id))
			continue
		}
		delete(t.cursors, id)
		idle = append(idle, c)
	}
	return idle, ids
}

// start answers with the first batch of a feed and keeps the cursor if more
// may follow.
func (o *op) start(ctx context.Context, ns string, f feed, size int64, single bool, use *rangeHold) (bson.Raw, error) {
	c := &cursor{ns: ns, feed: f, use: use}
	if lsid := getDoc(o.req.Body, "lsid"); lsid != nil {
		c.lsid = value.Doc(lsid)
		c.session = sessionID(lsid)
	}
	b, err := f.batch(ctx, o, demand{size: size, waitMS: -1})
	if err != nil {
		o.closeCursor(ctx, c)
		return nil, err
	}
	if !o.at.IsZero() && o.txn == nil && !slices.ContainsFunc(b.extra, func(e bson.E) bool { return e.Key == "atClusterTime" }) {
		b.extra = append(b.extra, bson.E{Key: "atClusterTime", Value: o.at})
	}
	if b.done || single {
		o.closeCursor(ctx, c)
		return cursorReply(ns, 0, "firstBatch", b), nil
	}
	o.r.cursors.add(c)
	return cursorReply(ns, c.id, "firstBatch", b), nil
}

func (o *op) closeCursor(ctx context.Context, c *cursor) {
	ctx = context.WithoutCancel(ctx)
	c.feed.close(ctx, o)
	c.use.release()
}

func getMore(ctx context.Context, o *op) (bson.Raw, error) {
	id := getInt(o.req.Body, "getMore", 0)
	size := getInt(o.req.Body, "batchSize", -1)
	if size == 0 {
		size = -1
	}
	session := ""
	if v := getDoc(o.req.Body, "lsid"); v != nil {
		session = sessionID(v)
	}
	c, ctx, err := o.r.cursors.pin(ctx, id, session)
	if err != nil {
		return nil, err
	}
	if want := o.req.DB + "." + getString(o.req.Body, "collection"); want != c.ns {
		o.r.cursors.unpin(c, false)
		return nil, mongoerr.New(mongoerr.Unauthorized, "Requested getMore on namespace '%s', but cursor belongs to a different namespace %s", want, c.ns)
	}
	var b batch
	if err = o.r.points.CheckGetMore(o.req); err == nil {
		b, err = c.feed.batch(ctx, o, demand{size: size, waitMS: getInt(o.req.Body, "maxTimeMS", -1)})
	}
	if err != nil && ctx.Err() != nil {
		err = interrupted(ctx, err)
	}
	if o.r.cursors.unpin(c, err != nil || b.done) {
		o.closeCursor(ctx, c)
		id = 0
	}
	if err != nil {
		return nil, err
	}
	return cursorReply(c.ns, id, "nextBatch", b), nil
}

func killCursors(ctx context.Context, o *op) (bson.Raw, error) {
	v, _ := value.Get(o.req.Body, "cursors")
	arr, ok := v.ArrayOK()
	if !ok {
		return nil, mongoerr.New(mongoerr.FailedToParse, "killCursors needs an array of cursor ids")
	}
	var want []int64
	for _, e := range value.Elements(bson.Raw(arr)) {
		id, ok := e.AsInt64OK()
		if !ok {
			return nil, mongoerr.New(mongoerr.TypeMismatch, "BSON field 'killCursors.cursors' has an element of type '%s', expected 'long'", e.Type)
		}
		want = append(want, id)
	}
	idle, killed := o.r.cursors.remove(func(c *cursor) bool { return slices.Contains(want, c.id) })
	for _, c := range idle {
		o.closeCursor(ctx, c)
	}
	missing := slices.DeleteFunc(slices.Clone(want), func(id int64) bool { return slices.Contains(killed, id) })
	return rawDoc(bson.D{
		{"cursorsKilled", ints(killed)},
		{"cursorsNotFound", ints(missing)},
		{"cursorsAlive", bson.A{}},
		{"cursorsUnknown", bson.A{}},
	}), nil
}

// ints is never nil, so that it is rendered as an array.
func ints(ids []int64) []int64 { return append([]int64{}, ids...) }

func cursorReply(ns string, id int64, name string, b batch) bson.Raw {
	n := 256
	for _, d := range b.docs {
		n += len(d) + 10
	}
	outer, dst := bsoncore.AppendDocumentStart(make([]byte, 0, n))
	inCursor, dst := bsoncore.AppendDocumentElementStart(dst, "cursor")
	dst = value.Append(dst, name, arrayOf(b.docs))
	dst = bsoncore.AppendInt64Element(dst, "id", id)
	dst = bsoncore.AppendStringElement(dst, "ns", ns)
	if len(b.extra) > 0 {
		dst = append(dst, inner(rawDoc(b.extra))...)
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, inCursor) // both were started above
	dst, _ = bsoncore.AppendDocumentEnd(dst, outer)
	return dst
}

// emptyCursor answers for what does not exist.
func emptyCursor(ns string) bson.Raw { return cursorReply(ns, 0, "firstBatch", batch{}) }

// expire closes the cursors that no client used since before.
func (r *Router) expire(ctx context.Context, before time.Time) {
	idle, _ := r.cursors.remove(func(c *cursor) bool { return !c.busy && c.used.Before(before) })
	r.closeIdle(ctx, idle)
}

// closeIdle closes cursors on the router's own behalf.
func (r *Router) closeIdle(ctx context.Context, idle []*cursor) {
	for _, c := range idle {
		body := bson.D{{"killCursors", int32(1)}}
		if c.lsid.Type != 0 {
			body = append(body, bson.E{Key: "lsid", Value: c.lsid})
		}
		o := &op{r: r, req: &command.Request{Name: "killCursors", DB: "admin", Body: rawDoc(body), Client: internalClient()}}
		o.closeCursor(ctx, c)
	}
}
