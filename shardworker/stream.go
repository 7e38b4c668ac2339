package shardworker

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

const (
	// awaitTime is how long the server waits for events before it answers with
	// an empty batch; the position of an idle shard moves as often.
	// A commit waits for that with writes blocked.
	awaitTime = 200 * time.Millisecond

	reopenPause     = 100 * time.Millisecond
	reopenPauseLong = 5 * time.Second
)

// A chunk is what one reply of the stream brings.
type chunk struct {
	events []event
	seen   shardferry.ClusterTime // every event at or before it has been returned
}

// eventOverhead is what an event takes beside its bytes.
const eventOverhead = 512

// hold claims memory for the events of a chunk, all at once: the first of them do
// not give theirs back before all have been handed on.
func (c *chunk) hold(ctx context.Context, a *account) error {
	var total int64
	for i := range c.events {
		total += int64(len(c.events[i].raw) + eventOverhead)
	}
	if total == 0 {
		return nil
	}
	left, err := a.acquire(ctx, total)
	for i := range c.events {
		c.events[i].held = min(left, int64(len(c.events[i].raw)+eventOverhead))
		left -= c.events[i].held
	}
	return err
}

// A reader tails the change stream of one shard from a cluster time, and opens
// it again after transient errors. No event is left out or given twice.
type reader struct {
	shard   shardferry.ShardID
	client  *mongo.Client
	sharded bool
	ledger  *ledger
	again   mongoconn.Retrier
	events  *account
	// pipeline is the same whenever the stream is opened: events are counted behind it.
	pipeline mongo.Pipeline

	seen  shardferry.ClusterTime // all at or before it has been passed on
	last  shardferry.ClusterTime // of the last event passed on
	count int                    // events passed on with that time

	opened  bool
	noSplit bool // the server does not know $changeStreamSplitLargeEvent
}

// errStreamClosed reports that the server ended the cursor without an error.
var errStreamClosed = fmt.Errorf("the server closed the change stream: %w", mongoconn.ErrPasses)

// run passes chunks to out until ctx ends or the stream cannot be continued. It
// returns shardferry.ErrOplogWindowExceeded if the position has left the oplog.
func (r *reader) run(ctx context.Context, out chan<- chunk) error {
	pause := reopenPause
	patience := mongoconn.Patience{Limit: r.again.GiveUpAfter}
	var waiting *mongoconn.Waiting
	defer func() { waiting.End() }()
	for {
		before := r.seen
		err := r.tail(ctx, out)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if mongoconn.IsCode(err, mongoconn.CodeChangeStreamHistoryLost, mongoconn.CodeCappedPositionLost) {
			return fmt.Errorf("change stream from %v: %w: %w", r.start(), shardferry.ErrOplogWindowExceeded, err)
		}
		if r.seen.After(before) {
			pause = reopenPause
			patience.Progress()
			waiting.End()
			waiting = nil
		}
		if enough := patience.Again(err); enough != nil {
			return fmt.Errorf("change stream from %v: %w", r.start(), enough)
		}
		if waiting == nil {
			waiting = r.again.Waits.Begin("read the change stream of the source")
		}
		waiting.Because(err)
		r.again.Log.LogAttrs(ctx, slog.LevelWarn, "change stream interrupted", slog.Any("error", err), slog.Duration("pause", pause))
		if err := mongoconn.Sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, reopenPauseLong)
	}
}

// start returns the first cluster time that has not been passed on completely.
func (r *reader) start() shardferry.ClusterTime {
	if r.count > 0 && r.last.After(r.seen) {
		return r.last
	}
	return shardferry.Succ(r.seen)
}

// tail opens the stream once and reads until it fails.
func (r *reader) tail(ctx context.Context, out chan<- chunk) error {
	session, err := r.client.StartSession(options.Session().SetCausalConsistency(false))
	if err != nil {
		return fmt.Errorf("start a session: %w", err)
	}
	defer session.EndSession(context.WithoutCancel(ctx))

	from := r.start()
	stream, err := r.watch(mongo.NewSessionContext(ctx, session), from)
	if err != nil {
		return err
	}
	defer closeStream(ctx, stream)
	if !r.opened {
		// The shard answered, so that its clock is known: whatever a former epoch
		// read of this stream is not newer.
		r.ledger.setHorizon(sessionClock(session))
		r.opened = true
	}
	at := resumed{}
	if from.Equal(r.last) {
		at.skip = r.count
	}
	for {
		c, err := r.next(ctx, stream, &at)
		if err != nil {
			return err
		}
		if err := c.hold(ctx, r.events); err != nil {
			return err
		}
		select {
		case out <- c:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// watch opens the stream so that an event of any size comes through: larger ones
// than a reply can hold come in fragments. Servers before 6.0.9 cannot do that.
func (r *reader) watch(ctx context.Context, from shardferry.ClusterTime) (*mongo.ChangeStream, error) {
	if r.noSplit {
		return r.client.Watch(ctx, r.pipeline, r.options(from))
	}
	split := append(slices.Clone(r.pipeline), bson.D{{Key: "$changeStreamSplitLargeEvent", Value: bson.D{}}}) // a server takes it as the last stage only
	stream, err := r.client.Watch(ctx, split, r.options(from))
	if mongoconn.IsCode(err, mongoconn.CodeUnknownStage) {
		r.noSplit = true
		return r.watch(ctx, from)
	}
	return stream, err
}

func (r *reader) options(from shardferry.ClusterTime) *options.ChangeStreamOptionsBuilder {
	o := options.ChangeStream().SetShowExpandedEvents(true).SetStartAtOperationTime(&from).SetMaxAwaitTime(awaitTime)
	if r.sharded {
		o.SetCustom(bson.M{"$_passthroughToShard": bson.D{{"shard", string(r.shard)}}})
	}
	return o
}

func closeStream(ctx context.Context, stream *mongo.ChangeStream) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	// A cursor that cannot be closed times out on the server.
	_ = stream.Close(ctx)
}

// resumed is where a stream that was opened again stands.
type resumed struct {
	skip  int // its first events that were passed on before
	parts assembler
}

// next waits for one reply.
func (r *reader) next(ctx context.Context, stream *mongo.ChangeStream, at *resumed) (chunk, error) {
	var c chunk
	for ok := stream.TryNext(ctx); ok; ok = stream.RemainingBatchLength() > 0 && stream.TryNext(ctx) {
		if len(c.events) == 0 {
			shardferry.Reached(ctx, shardferry.StreamRead)
		}
		whole, err := at.parts.add(stream.Current)
		if err != nil {
			return chunk{}, err
		}
		if whole == nil {
			continue
		}
		ev, err := parseEvent(whole)
		if err != nil {
			return chunk{}, err
		}
		if at.skip > 0 && ev.time.Equal(r.last) {
			at.skip--
			continue
		}
		at.skip = 0
		if !ev.time.Equal(r.last) {
			r.last, r.count = ev.time, 0
		}
		ev.index = r.count
		r.count++
		c.events = append(c.events, ev)
	}
	if err := stream.Err(); err != nil {
		return chunk{}, err
	}
	if len(c.events) == 0 && stream.ID() == 0 {
		return chunk{}, errStreamClosed
	}
	token, err := tokenTime(stream.ResumeToken())
	if err != nil {
		return chunk{}, err
	}
	// Whatever stands in the token, further events of its own time may follow, and
	// further fragments of one.
	r.seen = shardferry.LaterOf(r.seen, shardferry.Pred(token))
	c.seen = r.seen
	if len(c.events) > 0 {
		shardferry.Reached(ctx, shardferry.StreamDecoded)
	}
	return c, nil
}

// tokenTime reads the cluster time in a resume token: after the type byte 0x82
// stand eight bytes, seconds first (server: pipeline/resume_token.cpp).
func tokenTime(token bson.Raw) (shardferry.ClusterTime, error) {
	data, ok := token.Lookup("_data").StringValueOK()
	if !ok || len(data) < 18 || !strings.HasPrefix(data, "82") {
		return shardferry.ClusterTime{}, fmt.Errorf("a resume token of unknown form: %v", token)
	}
	b, err := hex.DecodeString(data[2:18])
	if err != nil {
		return shardferry.ClusterTime{}, fmt.Errorf("a resume token of unknown form: %w", err)
	}
	var t shardferry.ClusterTime
	for i, c := range b {
		if i < 4 {
			t.T = t.T<<8 | uint32(c)
		} else {
			t.I = t.I<<8 | uint32(c)
		}
	}
	return t, nil
}
