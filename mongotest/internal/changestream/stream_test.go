package changestream_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/changestream"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// highWater is the token of a time alone.
func highWater(ts bson.Timestamp) bson.Raw { return changestream.HighWater(ts, 2).BSON() }

// An open stream waits for events, and gives up when the time to wait is over.
func TestNextWaitsForTheFirstEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		log.Noop(value.D("msg", "initiating set"))
		s := open(t, log, specOn(t, "db", "c"))

		start := time.Now()
		events, pbrt, closed, err := s.Next(t.Context(), 0, 0, time.Minute)
		require.NoError(t, err)
		assert.Empty(t, events)
		assert.False(t, closed)
		assert.Equal(t, time.Minute, time.Since(start))
		assert.Equal(t, highWater(bson.Timestamp{T: log.Last().T, I: log.Last().I + 1}), pbrt, "it starts after the last entry")

		go func() {
			time.Sleep(10 * time.Second)
			log.Append(insertEntry("db.other", value.UUID{}, value.D("_id", 0)))
			time.Sleep(10 * time.Second)
			log.Append(insertEntry("db.c", value.UUID{}, value.D("_id", 1)))
		}()
		start = time.Now()
		events, pbrt, _, err = s.Next(t.Context(), 0, 0, time.Hour)
		require.NoError(t, err)
		assert.Equal(t, []int32{1}, documentIDs(events))
		assert.Equal(t, id(events[0]), pbrt)
		assert.Equal(t, 20*time.Second, time.Since(start), "entries it does not show do not end the wait")

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, _, err = s.Next(ctx, 0, 0, time.Hour)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, _, _, err = s.Next(ctx, 0, 0, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, _, _, err = s.Next(t.Context(), 0, 0, 0)
		require.NoError(t, err, "a reader that gave up may come back")
	})
}

func TestAStreamMayStartInTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		future := bson.Timestamp{T: uint32(time.Now().Unix()) + 60, I: 1}
		s := open(t, log, spec(t, "startAtOperationTime", future))
		go func() {
			log.Append(insertEntry("db.c", value.UUID{}, value.D("_id", 0)))
			time.Sleep(time.Minute)
			log.Append(insertEntry("db.c", value.UUID{}, value.D("_id", 1)))
		}()
		events, pbrt, _, err := s.Next(t.Context(), 0, 0, time.Second)
		require.NoError(t, err)
		assert.Empty(t, events)
		assert.Equal(t, highWater(future), pbrt)
		events, _, _, err = s.Next(t.Context(), 0, 0, time.Hour)
		require.NoError(t, err)
		assert.Equal(t, []int32{1}, documentIDs(events))
		assert.Equal(t, future, timestamp(events[0]), "the start is inclusive")
	})
}

// The postBatchResumeToken is the last event's token, and the time up to which
// the log was read once that is later.
func TestPostBatchResumeTokenAdvances(t *testing.T) {
	log := newLog()
	for i := range 3 {
		log.Append(insertEntry("db.c", value.UUID{}, value.D("_id", i)))
	}
	start := log.First()
	s := open(t, log, spec(t, "startAtOperationTime", start))
	assert.Equal(t, highWater(start), s.PBRT(), "before it is read")

	events, pbrt, _, err := s.Next(t.Context(), 2, 0, 0)
	require.NoError(t, err)
	assert.Equal(t, []int32{0, 1}, documentIDs(events))
	assert.Equal(t, id(events[1]), pbrt)

	events, pbrt = rest(t, s)
	assert.Equal(t, id(events[0]), pbrt, "the log ends with an event")

	log.Noop(value.D("msg", "periodic noop"))
	events, pbrt = rest(t, s)
	assert.Empty(t, events)
	assert.Equal(t, highWater(log.Last()), pbrt)
	assert.Equal(t, pbrt, s.PBRT())

	resumed, again := rest(t, open(t, log, spec(t, "resumeAfter", pbrt)))
	assert.Empty(t, resumed)
	assert.Equal(t, pbrt, again)
}

func TestBatchesAreBoundedInBytes(t *testing.T) {
	log := newLog()
	const n = 10
	for i := range n {
		log.Append(insertEntry("db.c", value.UUID{}, value.D("_id", i, "x", value.Binary(0, make([]byte, 1000)))))
	}
	s := open(t, log, spec(t).StartingAt(log.First()))
	var got []int32
	for range n {
		events, pbrt, _, err := s.Next(t.Context(), 0, 3000, 0)
		require.NoError(t, err)
		if len(events) == 0 {
			break
		}
		assert.LessOrEqual(t, len(events), 2)
		assert.Equal(t, id(events[len(events)-1]), pbrt)
		got = append(got, documentIDs(events)...)
	}
	assert.Equal(t, []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, got)
	one, _, _, err := open(t, log, spec(t).StartingAt(log.First())).Next(t.Context(), 0, 10, 0)
	require.NoError(t, err)
	assert.Len(t, one, 1, "a single event always fits")
}

func TestUpdatesCarryTheDocumentOnRequest(t *testing.T) {
	log := newLog()
	uuid := value.UUID{1}
	key, pre, post, now := value.D("_id", 1), value.D("_id", 1, "a", 1), value.D("_id", 1, "a", 2), value.D("_id", 1, "a", 3)
	plain := &oplog.Entry{Op: oplog.Update, NS: "db.c", UUID: uuid, O: value.D("$v", 2, "diff", value.D("u", value.D("a", 2))), O2: key}
	withImages := *plain
	withImages.Pre, withImages.Post = pre, post
	log.Append(plain, &withImages)
	lookup := docs{current: map[string]bson.Raw{uuid.String() + string(key): now}}

	read := func(cat docs, opts ...any) ([]bson.Raw, error) {
		s, err := changestream.Open(log, cat, spec(t, opts...).StartingAt(log.First()), nil, version)
		require.NoError(t, err)
		events, _, _, err := s.Next(t.Context(), 0, 0, 0)
		return events, err
	}
	check := func(field string, cat docs, want1, want2 any, opts ...any) {
		t.Helper()
		events, err := read(cat, opts...)
		require.NoError(t, err)
		require.Len(t, events, 2)
		for i, want := range []any{want1, want2} {
			if want == "absent" {
				assert.Empty(t, events[i].Lookup(field))
				continue
			}
			assert.Equal(t, value.Of(want).String(), events[i].Lookup(field).String())
		}
	}
	check("fullDocument", lookup, "absent", "absent")
	check("fullDocument", lookup, now, now, "fullDocument", "updateLookup")
	check("fullDocument", docs{}, nil, nil, "fullDocument", "updateLookup")
	check("fullDocument", lookup, nil, post, "fullDocument", "whenAvailable")
	check("fullDocumentBeforeChange", lookup, "absent", "absent", "fullDocumentBeforeChange", "off")
	check("fullDocumentBeforeChange", lookup, nil, pre, "fullDocumentBeforeChange", "whenAvailable")

	for _, option := range []string{"fullDocument", "fullDocumentBeforeChange"} {
		_, err := read(lookup, option, "required")
		assert.True(t, mongoerr.Is(err, mongoerr.NoMatchingDocument), "%v", err)
	}
}

func TestTooLargeEventsEndTheStreamAfterThoseBefore(t *testing.T) {
	log := newLog()
	big := value.D("_id", 2, "x", value.Binary(0, make([]byte, 16<<20)), "y", value.Binary(0, make([]byte, 20<<10)))
	log.Append(insertEntry("db.c", value.UUID{}, value.D("_id", 1)), insertEntry("db.c", value.UUID{}, big))
	s := open(t, log, spec(t).StartingAt(log.First()))
	events, _ := rest(t, s)
	assert.Equal(t, []int32{1}, documentIDs(events))
	for range 2 {
		_, _, _, err := s.Next(t.Context(), 0, 0, second)
		require.Error(t, err)
		assert.Equal(t, mongoerr.BSONObjectTooLarge, mongoerr.From(err).Code)
		assert.Empty(t, mongoerr.From(err).Labels)
	}
}

func TestLargeEventsAreSplitOnRequest(t *testing.T) {
	log := newLog()
	mb := value.Binary(0, make([]byte, 9<<20))
	log.Append(&oplog.Entry{
		Op: oplog.Update, NS: "db.c", O2: value.D("_id", 1),
		O: value.D("$v", 2, "diff", value.D("u", value.D("a", 1))), Pre: value.D("_id", 1, "x", mb), Post: value.D("_id", 1, "y", mb),
	}, insertEntry("db.c", value.UUID{}, value.D("_id", 2)))
	opts := []any{"fullDocument", "required", "fullDocumentBeforeChange", "required"}
	split := value.D("$changeStreamSplitLargeEvent", value.D())
	s := open(t, log, spec(t, opts...).StartingAt(log.First()), split)
	var events []bson.Raw
	for range 2 {
		batch, _, _, err := s.Next(t.Context(), 0, 0, 0)
		require.NoError(t, err)
		events = append(events, batch...)
	}
	require.Len(t, events, 3)
	assert.Equal(t, value.D("fragment", 1, "of", 2).String(), events[0].Lookup("splitEvent").Document().String())
	assert.Equal(t, value.D("fragment", 2, "of", 2).String(), events[1].Lookup("splitEvent").Document().String())
	assert.Equal(t, "update", str(events[0], "operationType"), "small fields come first")
	assert.NotEmpty(t, events[0].Lookup("fullDocument"))
	assert.NotEmpty(t, events[1].Lookup("fullDocumentBeforeChange"))
	assert.Empty(t, events[2].Lookup("splitEvent"))
	assert.Negative(t, changestream.CompareTokens(id(events[0]), id(events[1])))

	resumed, _ := rest(t, open(t, log, spec(t, append(opts, "resumeAfter", id(events[0]))...), split))
	assert.True(t, equalDocs(events[1:], resumed))
	_, _, _, err := open(t, log, spec(t, append(opts, "resumeAfter", id(events[0]))...)).Next(t.Context(), 0, 0, 0)
	assert.True(t, mongoerr.Is(err, mongoerr.ChangeStreamFatalError), "without the stage the part cannot be found: %v", err)
}

func TestUserStagesFilterAndReshapeEvents(t *testing.T) {
	log := newLog()
	for i := range 4 {
		log.Append(insertEntry("db.c", value.UUID{}, value.D("_id", i)))
	}
	from := spec(t).StartingAt(log.First())
	match := value.D("$match", value.D("documentKey._id", value.D("$gte", 2)))
	project := value.D("$project", value.D("documentKey", 1))
	got, pbrt := rest(t, open(t, log, from, match, project))
	assert.Equal(t, []int32{2, 3}, documentIDs(got))
	assert.Empty(t, got[0].Lookup("operationType"))
	assert.Equal(t, id(got[1]), pbrt)

	everything, _ := rest(t, open(t, log, from))
	resumed, _ := rest(t, open(t, log, spec(t, "resumeAfter", id(everything[0])), match))
	assert.Equal(t, []int32{2, 3}, documentIDs(resumed), "the event resumed after need not match")

	_, _, _, err := open(t, log, from, value.D("$project", value.D("_id", 0))).Next(t.Context(), 0, 0, 0)
	require.Error(t, err)
	assert.Equal(t, mongoerr.ChangeStreamFatalError, mongoerr.From(err).Code)
	assert.Equal(t, []string{"NonResumableChangeStreamError"}, mongoerr.From(err).Labels)
}
