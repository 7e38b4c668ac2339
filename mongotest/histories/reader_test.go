package histories_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// A scope is what a stream watches, and where: empty fields leave out the
// database, the collection, the shard.
type scope struct {
	db, coll string
	expanded bool
	shard    string
	direct   bool // the shard is asked itself, not through a router
}

func (s scope) String() string {
	return fmt.Sprintf("stream of %q %q, expanded %v, shard %q, direct %v", s.db, s.coll, s.expanded, s.shard, s.direct)
}

// A start is the option of $changeStream that says where a stream starts.
type start struct {
	option string
	value  any
}

// A stream is a cursor, used without the driver's own resuming.
type stream struct {
	w      *world
	scope  scope
	client *mongo.Client
	ctx    context.Context // with the session of the cursor
	id     int64
	pbrt   bson.Raw
	events []bson.Raw
	marks  []mark
}

// A mark is a postBatchResumeToken that came when so many events had come.
type mark struct {
	token bson.Raw
	after int
}

func (w *world) open(s scope, from start) (*stream, error) {
	r := &stream{w: w, scope: s, client: w.cl, ctx: w.ctx}
	if s.direct {
		r.client = w.readers[s.shard]
	}
	sess, err := r.client.StartSession()
	if err != nil {
		return nil, err
	}
	r.ctx = mongo.NewSessionContext(w.ctx, sess)
	opts := bson.D{{from.option, from.value}}
	if s.expanded {
		opts = append(opts, bson.E{Key: "showExpandedEvents", Value: true})
	}
	var target any = int32(1)
	switch {
	case s.db == "":
		opts = append(opts, bson.E{Key: "allChangesForCluster", Value: true})
	case s.coll != "":
		target = s.coll
	}
	cmd := bson.D{{"aggregate", target}, {"pipeline", bson.A{bson.D{{"$changeStream", opts}}}}, {"cursor", bson.D{{"batchSize", one(w.rnd, []int32{0, 1, 3, 1000})}}}}
	if s.shard != "" && !s.direct {
		cmd = append(cmd, bson.E{Key: "$_passthroughToShard", Value: bson.D{{"shard", s.shard}}})
	}
	return r, r.run(cmd, "firstBatch")
}

func (r *stream) run(cmd bson.D, batch string) error {
	db := r.scope.db
	if db == "" {
		db = "admin"
	}
	reply, err := r.client.Database(db).RunCommand(r.ctx, cmd).Raw()
	if err != nil {
		return err
	}
	cursor := reply.Lookup("cursor").Document()
	r.id = cursor.Lookup("id").Int64()
	events, err := cursor.Lookup(batch).Array().Values()
	if err != nil {
		return err
	}
	for _, v := range events {
		r.events = append(r.events, slices.Clone(v.Document()))
	}
	r.pbrt = slices.Clone(cursor.Lookup("postBatchResumeToken").Document())
	r.marks = append(r.marks, mark{r.pbrt, len(r.events)})
	return nil
}

// more asks for the next batch.
func (r *stream) more() error {
	coll := r.scope.coll
	if coll == "" {
		coll = "$cmd.aggregate"
	}
	cmd := bson.D{{"getMore", r.id}, {"collection", coll}, {"maxTimeMS", 1}}
	if n := one(r.w.rnd, []int32{0, 1, 2, 5, 1000}); n > 0 {
		cmd = append(cmd, bson.E{Key: "batchSize", Value: n})
	}
	return r.run(cmd, "nextBatch")
}

// readTo reads until the stream is past a time, or has ended: at least once.
func (r *stream) readTo(end bson.Timestamp) error {
	for r.id != 0 {
		if err := r.more(); err != nil {
			return err
		}
		if parseToken(r.pbrt).timestamp().After(end) {
			return nil
		}
	}
	return nil
}

func (r *stream) close() {
	if r.id != 0 {
		coll := r.scope.coll
		if coll == "" {
			coll = "$cmd.aggregate"
		}
		db := r.scope.db
		if db == "" {
			db = "admin"
		}
		_ = r.client.Database(db).RunCommand(r.ctx, bson.D{{"killCursors", coll}, {"cursors", bson.A{r.id}}}).Err() // a lost cursor is closed too
	}
	mongo.SessionFromContext(r.ctx).EndSession(r.ctx)
}

// all reads a stream from one time to another, and goes on after what
// invalidates it.
func (w *world) all(s scope, from, end bson.Timestamp) ([]bson.Raw, []mark, error) {
	var events []bson.Raw
	var marks []mark
	next := start{"startAtOperationTime", from}
	for {
		r, err := w.open(s, next)
		if err == nil {
			err = r.readTo(end)
		}
		if err != nil {
			return nil, nil, err
		}
		r.close()
		for _, m := range r.marks {
			marks = append(marks, mark{m.token, len(events) + m.after})
		}
		events = append(events, r.events...)
		if r.id != 0 {
			return events, marks, nil
		}
		last := r.events[len(r.events)-1]
		if str(last, "operationType") != "invalidate" {
			return nil, nil, fmt.Errorf("%v ends with %s", s, last)
		}
		next = start{"startAfter", id(last)}
	}
}

// A follower reads a stream of the cluster as the history goes on, and resumes it
// as drivers do.
type follower struct {
	*stream
	from bson.Timestamp
}

// follow lets the follower read what there is, or lose its cursor.
func (w *world) follow() {
	if w.chance(10) {
		require.NoError(w.t, w.follower.resume(w))
	}
	require.NoError(w.t, w.follower.poll(w))
}

func (f *follower) resume(w *world) error {
	from := start{"startAtOperationTime", f.from}
	old := f.stream
	if old != nil {
		old.close()
		from = start{"resumeAfter", old.pbrt}
	}
	for {
		r, err := w.open(scope{expanded: true}, from)
		if err == nil {
			if old != nil {
				r.events = append(old.events, r.events...)
			}
			f.stream = r
			return nil
		}
		if !resumable(err) {
			return err
		}
		rest(pause)
	}
}

// poll reads what there is.
func (f *follower) poll(w *world) error {
	err := f.more()
	if err != nil && resumable(err) {
		return f.resume(w)
	}
	return err
}

func resumable(err error) bool {
	var e mongo.CommandError
	if !errors.As(err, &e) {
		return mongo.IsNetworkError(err) || strings.Contains(err.Error(), "server selection")
	}
	return e.HasErrorLabel("ResumableChangeStreamError") || e.Code == 43 || mongo.IsNetworkError(err)
}
