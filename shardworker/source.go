package shardworker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// readTimeout limits one command that reads documents.
const readTimeout = 60 * time.Second

// A finder opens find cursors on a cluster. It may be called from several
// goroutines.
type finder interface {
	find(ctx context.Context, db string, cmd bson.Raw, batchDocs int) (cursor, error)
}

// A cursor gives the documents of a find. It is used by one goroutine.
type cursor interface {
	// batch returns the next documents, none at the end. They stay valid.
	batch(ctx context.Context) ([]bson.Raw, error)
	// exhausted reports whether batch has nothing more to give.
	exhausted() bool
	// clock returns a cluster time that is not before what was read so far.
	clock() shardferry.ClusterTime
	// close ends the cursor on the server too. It is called once.
	close(ctx context.Context)
}

// A clientFinder reads through the driver, each cursor in a session of its own.
type clientFinder struct{ client *mongo.Client }

func (f clientFinder) find(ctx context.Context, db string, cmd bson.Raw, batchDocs int) (cursor, error) {
	s, err := f.client.StartSession(options.Session().SetCausalConsistency(false))
	if err != nil {
		return nil, fmt.Errorf("start a session: %w", err)
	}
	cur, err := f.client.Database(db).RunCommandCursor(mongo.NewSessionContext(ctx, s), cmd)
	if err != nil {
		s.EndSession(ctx)
		return nil, err
	}
	cur.SetBatchSize(int32(batchDocs))
	return &clientCursor{cur: cur, session: s}, nil
}

type clientCursor struct {
	cur     *mongo.Cursor
	session *mongo.Session
}

func (c *clientCursor) batch(ctx context.Context) ([]bson.Raw, error) {
	if !c.cur.Next(mongo.NewSessionContext(ctx, c.session)) {
		return nil, c.cur.Err()
	}
	docs := make([]bson.Raw, 0, c.cur.RemainingBatchLength()+1)
	docs = append(docs, c.cur.Current)
	for c.cur.RemainingBatchLength() > 0 && c.cur.Next(ctx) {
		docs = append(docs, c.cur.Current)
	}
	return docs, c.cur.Err()
}

func (c *clientCursor) exhausted() bool { return c.cur.ID() == 0 && c.cur.RemainingBatchLength() == 0 }

func (c *clientCursor) clock() shardferry.ClusterTime { return sessionClock(c.session) }

func (c *clientCursor) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	// A cursor that cannot be closed times out on the server.
	_ = c.cur.Close(mongo.NewSessionContext(ctx, c.session))
	c.session.EndSession(ctx)
}

// sessionClock returns the cluster time that a session has seen.
func sessionClock(s *mongo.Session) shardferry.ClusterTime {
	var t shardferry.ClusterTime
	if inner, ok := s.ClusterTime().Lookup("$clusterTime").DocumentOK(); ok {
		t.T, t.I, _ = inner.Lookup("clusterTime").TimestampOK()
	}
	if op := s.OperationTime(); op != nil {
		t = shardferry.LaterOf(t, *op)
	}
	return t
}

// A reread reads single documents from the source as they are at a cluster time
// or later, through the routers, so that no orphans are seen.
type reread struct {
	from  finder
	again mongoconn.Retrier
	ahead *succession // nil: of a replica set, where a collection keeps its UUID

	filters filters // what does not match is not there
}

// A query is a find on a source collection.
type query struct {
	coll   *shardferry.Collection
	filter bson.Raw
	at     shardferry.ClusterTime
	limit  int
	// It compares by a collation, or where loose is set by the collection's own,
	// else bytes.
	collation bson.Raw
	loose     bool
}

// all returns every document that q finds, and a cluster time that none of them
// is newer than. It follows the collection when it was renamed, or got another
// UUID. Of one that was dropped it finds nothing: the drop will arrive.
func (r reread) all(ctx context.Context, q query) (docs []bson.Raw, upTo shardferry.ClusterTime, err error) {
	err = r.again.Do(ctx, "read "+q.coll.Source.String()+" again", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		id, known := r.identity(q)
		now := id
		for {
			if now.gone {
				docs, upTo = nil, known
				return nil
			}
			docs, upTo, err = r.once(ctx, q, now.ns, &now.uuid)
			if mongoconn.IsCode(err, mongoconn.CodeQueryPlanKilled, mongoconn.CodeCursorNotFound) {
				continue // renamed or dropped between two batches: the next find tells
			}
			if !mongoconn.IsCode(err, mongoconn.CodeCollectionUUIDMismatch) {
				return err
			}
			// It has another name by now, and may have yet another one when it is
			// read by that.
			if name := actualCollection(err); name != "" && name != now.ns.Coll {
				now.ns.Coll = name
				continue
			}
			if r.ahead == nil {
				now.gone = true
				continue
			}
			if err := r.ahead.find(ctx, q.coll, id); err != nil {
				return err
			}
			id, known = r.identity(q)
			now = id
		}
	})
	return docs, upTo, err
}

// identity returns under what the collection of q is looked for, and until when
// that is known.
func (r reread) identity(q query) (identity, shardferry.ClusterTime) {
	if r.ahead == nil {
		return identity{uuid: q.coll.UUID, ns: q.coll.Source}, q.at
	}
	id, known := r.ahead.of(q.coll)
	return id, shardferry.LaterOf(known, q.at)
}

// byName reads by name alone, again and again until an answer comes through.
func (r reread) byName(ctx context.Context, what string, q query, ns shardferry.Namespace) (docs []bson.Raw, err error) {
	err = r.again.Do(ctx, what, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		docs, _, err = r.once(ctx, q, ns, nil)
		return err
	})
	return docs, err
}

// once reads by name, and by UUID if there is one.
func (r reread) once(ctx context.Context, q query, ns shardferry.Namespace, uuid *shardferry.UUID) ([]bson.Raw, shardferry.ClusterTime, error) {
	cmd := build(func(dst []byte) []byte {
		dst = bsoncore.AppendStringElement(dst, "find", ns.Coll)
		dst = bsoncore.AppendDocumentElement(dst, "filter", both(q.filter, r.filters.of(q.coll)))
		if q.limit > 0 {
			dst = bsoncore.AppendInt64Element(dst, "limit", int64(q.limit))
		}
		switch {
		case len(q.collation) > 0:
			dst = bsoncore.AppendDocumentElement(dst, "collation", q.collation)
		case q.coll.Collated && !q.loose:
			dst = appendSimpleCollation(dst)
		}
		if uuid != nil {
			dst = bsoncore.AppendBinaryElement(dst, "collectionUUID", 4, uuid[:])
		}
		return appendReadConcern(dst, q.at)
	})
	cur, err := r.from.find(ctx, ns.DB, cmd, 0)
	if err != nil {
		return nil, shardferry.ClusterTime{}, err
	}
	defer cur.close(ctx)
	var docs []bson.Raw
	for {
		more, err := cur.batch(ctx)
		if err != nil {
			return nil, shardferry.ClusterTime{}, err
		}
		docs = append(docs, more...)
		if len(more) == 0 || cur.exhausted() {
			return docs, cur.clock(), nil
		}
	}
}

func actualCollection(err error) string {
	var se mongo.CommandError
	if !errors.As(err, &se) {
		return ""
	}
	name, _ := se.Raw.Lookup("actualCollection").StringValueOK()
	return name
}

// appendReadConcern asks for what a majority holds at t or later.
func appendReadConcern(dst []byte, t shardferry.ClusterTime) []byte {
	i, dst := bsoncore.AppendDocumentElementStart(dst, "readConcern")
	dst = bsoncore.AppendStringElement(dst, "level", "majority")
	if !t.IsZero() {
		dst = bsoncore.AppendTimestampElement(dst, "afterClusterTime", t.T, t.I)
	}
	return closeDocument(dst, i)
}

func appendSimpleCollation(dst []byte) []byte {
	return bsoncore.AppendDocumentElement(dst, "collation", build(func(dst []byte) []byte {
		return bsoncore.AppendStringElement(dst, "locale", "simple")
	}))
}
