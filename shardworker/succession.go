package shardworker

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// An identity is under what a collection of the source is found.
type identity struct {
	uuid shardferry.UUID
	ns   shardferry.Namespace
	gone bool // it was dropped
}

// adopted is the kind of a change that no event tells of: what is under a name has
// another UUID.
const adopted = "adopt"

// after returns the identity once a schema change was made. The name counts beside
// the UUID, because movePrimary changes the UUID without a word; it is exact as long
// as no change is left out.
func (id identity) after(c shardferry.SchemaChange) identity {
	ours := c.UUID == id.uuid || c.NS == id.ns
	switch {
	case id.gone:
	case c.Kind == "dropDatabase":
		id.gone = c.NS.DB == id.ns.DB
	case !ours:
		id.gone = c.Kind == "rename" && c.To == id.ns
	case c.Kind == "drop":
		id.gone = true
	case c.Kind == "rename":
		id.uuid, id.ns = c.UUID, c.To
	case c.Kind == "reshardCollection":
		if to, ok := shardferry.ParseUUID(c.Event.Lookup("operationDescription", "reshardUUID")); ok {
			id.uuid = to
		}
	case c.Kind == adopted:
		id.uuid = c.UUID
	}
	return id
}

// A succession follows collections of a sharded source beyond the schema changes
// that the worker knows, to what they are now: the changes wait for the worker,
// and the worker has to read a collection that they have made another of. Every
// lane uses it.
type succession struct {
	from    finder
	history history
	ledger  *ledger

	turn chan struct{} // has room for the one who follows

	mu      sync.Mutex
	changes []shardferry.SchemaChange // in their order
	upTo    shardferry.ClusterTime    // changes are all that were made until then, and after those that the catalogue has
}

// A history opens the story of what changes collections, from a time on. It may be
// called by several goroutines.
type history interface {
	since(ctx context.Context, t shardferry.ClusterTime) (chapter, error)
}

// A chapter is a part of a history. It is used by one goroutine.
type chapter interface {
	// next waits a little for further changes, and returns a time up to which it has
	// told of all.
	next(ctx context.Context) ([]shardferry.SchemaChange, shardferry.ClusterTime, error)
	close(ctx context.Context)
}

func newSuccession(from finder, h history, l *ledger) *succession {
	return &succession{from: from, history: h, ledger: l, turn: make(chan struct{}, 1)}
}

// of returns what a collection is now, as far as it is known, and until when that
// is known.
func (s *succession) of(c *shardferry.Collection) (identity, shardferry.ClusterTime) {
	since := s.ledger.catalogued()
	s.mu.Lock()
	defer s.mu.Unlock()
	id := identity{uuid: c.UUID, ns: c.Source}
	for _, change := range s.changes {
		if !change.Time.Before(since) {
			id = id.after(change)
		}
	}
	return id, shardferry.LaterOf(since, s.upTo)
}

// find looks what became of a collection that was not found under an identity, if
// that is still the one that is known. That it is gone says only the event of a
// drop. While nothing tells, it returns an error that passes.
func (s *succession) find(ctx context.Context, c *shardferry.Collection, not identity) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if id, _ := s.of(c); id != not {
		return nil
	}
	named, now, err := s.named(ctx, not.ns)
	if err != nil {
		return err
	}
	if err := s.follow(ctx, now); err != nil {
		return err
	}
	id, upTo := s.of(c)
	switch {
	case id != not:
	case named.IsZero() || named == not.uuid:
		return fmt.Errorf("%s is not there, and nothing has told why: %w", not.ns, mongoconn.ErrPasses)
	default:
		// No change has touched the name until after it was looked up.
		s.add([]shardferry.SchemaChange{{Kind: adopted, Time: upTo, UUID: named, NS: not.ns}}, upTo)
	}
	return nil
}

// named returns the UUID of what has a name, zero if nothing has, and a cluster
// time that this is not newer than.
func (s *succession) named(ctx context.Context, ns shardferry.Namespace) (id shardferry.UUID, at shardferry.ClusterTime, err error) {
	cur, err := s.from.find(ctx, ns.DB, build(func(dst []byte) []byte {
		dst = bsoncore.AppendInt32Element(dst, "listCollections", 1)
		return bsoncore.AppendDocumentElement(dst, "filter", build(func(dst []byte) []byte {
			return bsoncore.AppendStringElement(dst, "name", ns.Coll)
		}))
	}), 0)
	if err != nil {
		return id, at, fmt.Errorf("look %s up: %w", ns, err)
	}
	defer cur.close(ctx)
	docs, err := cur.batch(ctx)
	if err != nil {
		return id, at, fmt.Errorf("look %s up: %w", ns, err)
	}
	if len(docs) > 0 {
		id, _ = shardferry.ParseUUID(docs[0].Lookup("info", "uuid"))
	}
	return id, cur.clock(), nil
}

// follow reads on until all changes at or before a time are known. What it has read
// stays when it is interrupted.
func (s *succession) follow(ctx context.Context, until shardferry.ClusterTime) error {
	from := s.begin()
	if !from.Before(until) {
		return nil
	}
	ch, err := s.history.since(ctx, from)
	if err == nil {
		defer ch.close(ctx)
	}
	for err == nil && from.Before(until) {
		var changes []shardferry.SchemaChange
		if changes, from, err = ch.next(ctx); err == nil {
			s.add(changes, from)
		}
	}
	if mongoconn.IsCode(err, mongoconn.CodeChangeStreamHistoryLost, mongoconn.CodeCappedPositionLost) {
		return fmt.Errorf("what became of a collection: %w: %w", shardferry.ErrOplogWindowExceeded, err)
	}
	return err
}

// begin forgets what the catalogue has by now, and returns after which time to read
// on. A change may be met twice: the second time it changes nothing.
func (s *succession) begin() shardferry.ClusterTime {
	since := s.ledger.catalogued()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = slices.DeleteFunc(s.changes, func(c shardferry.SchemaChange) bool { return c.Time.Before(since) })
	if s.upTo.Before(since) {
		return shardferry.Pred(since) // of several shards' changes at that time one may be left
	}
	return s.upTo
}

func (s *succession) add(changes []shardferry.SchemaChange, upTo shardferry.ClusterTime) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, changes...)
	s.upTo = shardferry.LaterOf(s.upTo, upTo)
}

// catalogued returns the time of the catalogue that the worker has.
func (l *ledger) catalogued() shardferry.ClusterTime {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.plan.Catalogued
}

// A clientHistory reads a change stream of the whole cluster.
type clientHistory struct{ client *mongo.Client }

func (h clientHistory) since(ctx context.Context, t shardferry.ClusterTime) (chapter, error) {
	next := shardferry.Succ(t)
	kinds := bson.A{"rename", "reshardCollection", "drop", "dropDatabase"}
	stream, err := h.client.Watch(ctx, mongo.Pipeline{{{Key: "$match", Value: bson.D{{Key: "operationType", Value: bson.D{{Key: "$in", Value: kinds}}}}}}},
		options.ChangeStream().SetShowExpandedEvents(true).SetStartAtOperationTime(&next).SetMaxAwaitTime(awaitTime))
	if err != nil {
		return nil, fmt.Errorf("follow the collections of the source: %w", err)
	}
	return &clientChapter{stream: stream, seen: t}, nil
}

type clientChapter struct {
	stream *mongo.ChangeStream
	seen   shardferry.ClusterTime
}

func (c *clientChapter) next(ctx context.Context) (changes []shardferry.SchemaChange, upTo shardferry.ClusterTime, err error) {
	for ok := c.stream.TryNext(ctx); ok; ok = c.stream.RemainingBatchLength() > 0 && c.stream.TryNext(ctx) {
		ev, err := parseEvent(slices.Clone(c.stream.Current))
		if err != nil {
			return nil, c.seen, err
		}
		changes = append(changes, ev.schemaChange(""))
	}
	if err := c.stream.Err(); err != nil {
		return nil, c.seen, fmt.Errorf("follow the collections of the source: %w", err)
	}
	if len(changes) == 0 && c.stream.ID() == 0 {
		return nil, c.seen, errStreamClosed
	}
	token, err := tokenTime(c.stream.ResumeToken())
	if err != nil {
		return nil, c.seen, err
	}
	c.seen = shardferry.LaterOf(c.seen, shardferry.Pred(token)) // further changes of its own time may follow
	return changes, c.seen, nil
}

func (c *clientChapter) close(ctx context.Context) { closeStream(ctx, c.stream) }
