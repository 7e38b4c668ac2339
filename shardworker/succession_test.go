package shardworker

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// A past is a source in which a collection has one UUID and one name, and what
// its change streams tell of it.
type past struct {
	t     *testing.T
	mu    sync.Mutex
	uuid  shardferry.UUID
	ns    shardferry.Namespace // empty: there is no collection
	now   shardferry.ClusterTime
	told  []shardferry.SchemaChange
	upTo  shardferry.ClusterTime
	err   error                  // of the stream, once,
	errAt shardferry.ClusterTime // when it has come so far
	reads int
	opens []shardferry.ClusterTime
}

func (p *past) find(_ context.Context, _ string, cmd bson.Raw, _ int) (cursor, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := cmd.LookupErr("listCollections"); err == nil {
		if cmd.Lookup("filter", "name").StringValue() != p.ns.Coll {
			return &page{now: p.now}, nil
		}
		return &page{now: p.now, docs: []bson.Raw{raw(p.t, bson.D{{"info", bson.D{{"uuid", p.uuid.Binary()}}}})}}, nil
	}
	p.reads++
	asked, _ := shardferry.ParseUUID(cmd.Lookup("collectionUUID"))
	switch {
	case asked == p.uuid && cmd.Lookup("find").StringValue() == p.ns.Coll:
		return &page{now: p.now, docs: []bson.Raw{raw(p.t, bson.D{{"_id", 1}})}}, nil
	case asked == p.uuid && p.ns.Coll != "":
		return nil, mismatch(p.t, p.ns.Coll)
	}
	return nil, mismatch(p.t, nil)
}

func mismatch(t *testing.T, actual any) error {
	return mongo.CommandError{Code: mongoconn.CodeCollectionUUIDMismatch, Name: "CollectionUUIDMismatch", Raw: raw(t, bson.D{{"actualCollection", actual}})}
}

// A page is a cursor of one batch.
type page struct {
	empty

	docs []bson.Raw
	now  shardferry.ClusterTime
}

func (p *page) batch(context.Context) ([]bson.Raw, error) { return p.docs, nil }
func (p *page) clock() shardferry.ClusterTime             { return p.now }

func (p *past) since(_ context.Context, t shardferry.ClusterTime) (chapter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opens = append(p.opens, t)
	return &pastChapter{past: p, at: t}, nil
}

// A pastChapter tells one change at a time.
type pastChapter struct {
	*past

	at shardferry.ClusterTime
}

func (c *pastChapter) next(context.Context) ([]shardferry.SchemaChange, shardferry.ClusterTime, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.err; err != nil && !c.at.Before(c.errAt) {
		c.err = nil
		return nil, c.at, err
	}
	for _, change := range c.told {
		if change.Time.After(c.at) {
			// As with a token: others of its time may follow.
			c.at = change.Time
			return []shardferry.SchemaChange{change}, shardferry.Pred(change.Time), nil
		}
	}
	c.at = shardferry.LaterOf(c.at, c.upTo)
	return nil, c.at, nil
}

func (c *pastChapter) close(context.Context) {}

// reread gives what reads from p, for a worker whose catalogue is as of at(5).
func (p *past) reread(c shardferry.Collection) reread {
	a := testAssignment(c)
	a.Catalogued = at(5)
	return reread{from: p, again: mongoconn.Retrier{GiveUpAfter: time.Minute}, ahead: newSuccession(p, p, newLedger("s0", a, nil))}
}

func ns(name string) shardferry.Namespace { return shardferry.Namespace{DB: "d", Coll: name} }

func renamed(sec uint32, id shardferry.UUID, from, to string) shardferry.SchemaChange {
	return shardferry.SchemaChange{Kind: "rename", Time: at(sec), UUID: id, NS: ns(from), To: ns(to)}
}

func resharded(t *testing.T, sec uint32, from, to shardferry.UUID, name string) shardferry.SchemaChange {
	t.Helper()
	return shardferry.SchemaChange{
		Kind: "reshardCollection", Time: at(sec), UUID: from, NS: ns(name),
		Event: raw(t, bson.D{{"operationDescription", bson.D{{"reshardUUID", to.Binary()}}}}),
	}
}

func gone(sec uint32, id shardferry.UUID, name string) shardferry.SchemaChange {
	return shardferry.SchemaChange{Kind: "drop", Time: at(sec), UUID: id, NS: ns(name)}
}

// Whatever changes a collection, and in whatever order, leads to what it is then.
func TestWhatBecomesOfACollection(t *testing.T) {
	one, two, three, other := shardferry.UUID{1}, shardferry.UUID{2}, shardferry.UUID{3}, shardferry.UUID{9}
	changed := func(changes ...shardferry.SchemaChange) []shardferry.SchemaChange { return changes }
	dropped := identity{gone: true}
	tests := []struct {
		name    string
		changes []shardferry.SchemaChange
		want    identity
	}{
		{"nothing", nil, identity{uuid: one, ns: ns("c")}},
		{"another's changes", changed(renamed(6, other, "x", "y"), resharded(t, 7, other, two, "y"), gone(8, two, "y")), identity{uuid: one, ns: ns("c")}},
		{"a rename", changed(renamed(6, one, "c", "e")), identity{uuid: one, ns: ns("e")}},
		{"a rename and a resharding", changed(renamed(6, one, "c", "e"), resharded(t, 7, one, two, "e")), identity{uuid: two, ns: ns("e")}},
		{"a chain", changed(resharded(t, 6, one, two, "c"), renamed(7, two, "c", "e"), resharded(t, 8, two, three, "e")), identity{uuid: three, ns: ns("e")}},
		{"a change met twice", changed(renamed(6, one, "c", "e"), renamed(6, one, "c", "e")), identity{uuid: one, ns: ns("e")}},
		{"a UUID that changed without a word", changed(renamed(6, two, "c", "e")), identity{uuid: two, ns: ns("e")}},
		{"a drop", changed(gone(6, one, "c")), dropped},
		{"a drop after a silent change", changed(gone(6, two, "c")), dropped},
		{"a drop, its name another's", changed(gone(6, one, "c"), renamed(7, other, "x", "c"), resharded(t, 8, other, two, "c")), dropped},
		{"another renamed over it", changed(renamed(6, other, "x", "c")), dropped},
		{"its database dropped", changed(shardferry.SchemaChange{Kind: "dropDatabase", Time: at(6), NS: shardferry.Namespace{DB: "d"}}), dropped},
		{"another database dropped", changed(shardferry.SchemaChange{Kind: "dropDatabase", Time: at(6), NS: shardferry.Namespace{DB: "e"}}), identity{uuid: one, ns: ns("c")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id := identity{uuid: one, ns: ns("c")}
			for _, c := range tt.changes {
				id = id.after(c)
			}
			if id.gone {
				id = identity{gone: true}
			}
			assert.Equal(t, tt.want, id)
		})
	}
}

// A collection with another name and UUID is found by its events, also when these
// are interrupted, and once for all reads. What the catalogue has already is not
// followed again.
func TestACollectionIsFoundOnce(t *testing.T) {
	coll, two := testCollection(), shardferry.UUID{2}
	p := &past{
		t: t, uuid: two, ns: ns("e"), now: at(10), upTo: at(11), err: errStreamClosed, errAt: at(6),
		told: []shardferry.SchemaChange{renamed(4, testUUID, "c", "x"), renamed(6, testUUID, "c", "e"), resharded(t, 7, testUUID, two, "e")},
	}
	synctest.Test(t, func(t *testing.T) {
		r := p.reread(coll)
		g, ctx := errgroup.WithContext(t.Context())
		g.SetLimit(1)
		for range 100 {
			g.Go(func() error {
				docs, _, err := r.all(ctx, query{coll: &coll, filter: raw(t, bson.D{})})
				assert.Len(t, docs, 1)
				return err
			})
		}
		require.NoError(t, g.Wait())
	})
	assert.Equal(t, []shardferry.ClusterTime{shardferry.Pred(at(5)), shardferry.Pred(at(6))}, p.opens)
	assert.Equal(t, 102, p.reads)
}

// What the catalogue has by now is not followed any more: under a name that a
// collection has left there may be another one.
func TestWhatTheCatalogueHasIsNotFollowed(t *testing.T) {
	coll, two := testCollection(), shardferry.UUID{2}
	p := &past{t: t, uuid: two, ns: ns("e"), now: at(10), upTo: at(11), told: []shardferry.SchemaChange{renamed(6, testUUID, "c", "e"), resharded(t, 7, testUUID, two, "e")}}
	r := p.reread(coll)
	_, _, err := r.all(t.Context(), query{coll: &coll, filter: raw(t, bson.D{})})
	require.NoError(t, err)
	other := coll
	other.UUID = shardferry.UUID{9}
	a := testAssignment(other)
	a.Catalogued = at(8)
	r.ahead.ledger.assign(a)
	id, _ := r.ahead.of(&other)
	assert.Equal(t, identity{uuid: other.UUID, ns: ns("c")}, id)
}

// A collection that is not there is gone only when an event says so.
func TestACollectionIsGoneWhenAnEventSaysSo(t *testing.T) {
	coll := testCollection()
	synctest.Test(t, func(t *testing.T) {
		p := &past{t: t, now: at(10), upTo: at(11)}
		r, q := p.reread(coll), query{coll: &coll, filter: raw(t, bson.D{})}
		read := make(chan error, 1)
		go func() {
			docs, _, err := r.all(t.Context(), q)
			assert.Empty(t, docs)
			read <- err
		}()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		assert.Empty(t, read, "nothing has told that it was dropped")
		p.mu.Lock()
		p.told, p.now, p.upTo = []shardferry.SchemaChange{gone(12, testUUID, "c")}, at(13), at(14)
		p.mu.Unlock()
		require.NoError(t, <-read)
	})
}

// What is under the name of a collection whose UUID nobody knows any more is that
// collection, unless a change has touched it by the time it was looked up.
func TestASilentChangeOfTheUUID(t *testing.T) {
	coll, two := testCollection(), shardferry.UUID{2}
	synctest.Test(t, func(t *testing.T) {
		p := &past{t: t, uuid: two, ns: ns("c"), now: at(10), upTo: at(11)}
		docs, _, err := p.reread(coll).all(t.Context(), query{coll: &coll, filter: raw(t, bson.D{})})
		require.NoError(t, err)
		assert.Len(t, docs, 1)

		p.told = []shardferry.SchemaChange{gone(10, testUUID, "c")} // and created anew
		docs, _, err = p.reread(coll).all(t.Context(), query{coll: &coll, filter: raw(t, bson.D{})})
		require.NoError(t, err)
		assert.Empty(t, docs, "those of another collection were taken for its own")
	})
}

// If the events that would tell are gone from the oplog, the worker ends as one
// that has lost its own.
func TestWhatBecameOfACollectionIsGoneFromTheOplog(t *testing.T) {
	coll := testCollection()
	p := &past{t: t, now: at(10), err: mongo.CommandError{Code: mongoconn.CodeChangeStreamHistoryLost}}
	_, _, err := p.reread(coll).all(t.Context(), query{coll: &coll, filter: raw(t, bson.D{})})
	require.ErrorIs(t, err, shardferry.ErrOplogWindowExceeded)
}
