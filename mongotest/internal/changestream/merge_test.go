package changestream_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/changestream"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// shardStream is a shard's part of a merged stream, read a few events at a time.
type shardStream struct {
	stream  *changestream.Stream
	maxDocs int
}

func (s shardStream) Next(ctx context.Context, wait time.Duration) ([]bson.Raw, bson.Raw, bool, error) {
	return s.stream.Next(ctx, s.maxDocs, 0, wait)
}

// merge opens a merged stream over the logs of several shards.
func merge(t tester, logs []*oplog.Log, s changestream.Spec, maxDocs int, stages ...bson.Raw) *changestream.Merge {
	t.Helper()
	remotes := make([]changestream.Remote, len(logs))
	part := s
	part.NeedsMerge = true
	for i, log := range logs {
		remotes[i] = shardStream{open(t, log, part), maxDocs}
	}
	m, err := changestream.NewMerge(remotes, s, stages, version)
	require.NoError(t, err)
	return m
}

// cluster returns the logs and clocks of n shards, each begun with a no-op.
func cluster(n int) ([]*oplog.Log, []*oplog.Clock) {
	logs, clocks := make([]*oplog.Log, n), make([]*oplog.Clock, n)
	for i := range logs {
		clocks[i] = oplog.NewClock()
		logs[i] = oplog.NewLog(clocks[i], oplog.Options{})
		logs[i].Noop(value.D("msg", "initiating set"))
	}
	return logs, clocks
}

// nudge writes a no-op on every shard after all that has happened anywhere.
func nudge(logs []*oplog.Log, clocks []*oplog.Clock) {
	for _, from := range clocks {
		for _, to := range clocks {
			to.Advance(from.Now())
		}
	}
	for _, log := range logs {
		log.Noop(value.D("msg", "periodic noop"))
	}
}

// drain reads a merged stream until it has nothing ready.
func drain(t *rapid.T, m *changestream.Merge, maxDocs int) (events []bson.Raw) {
	last := m.PBRT()
	for {
		batch, pbrt, closed, err := m.Next(t.Context(), maxDocs, 0, 0)
		require.NoError(t, err)
		require.False(t, closed)
		require.LessOrEqual(t, changestream.CompareTokens(last, pbrt), 0, "it never goes back")
		last = pbrt
		if len(batch) == 0 {
			return events
		}
		require.LessOrEqual(t, changestream.CompareTokens(id(batch[len(batch)-1]), pbrt), 0)
		events = append(events, batch...)
	}
}

// The merged stream is the shards' events in the order of their tokens, with
// nothing lost and nothing twice, however reading and writing interleave. It can
// be resumed after any of them.
func TestMergedOrderIsTokenOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logs, clocks := cluster(rapid.IntRange(1, 4).Draw(t, "shards"))
		maxDocs := rapid.IntRange(0, 3).Draw(t, "batch")
		from := spec(t, "showExpandedEvents", true).StartingAt(bson.Timestamp{T: 1})
		m := merge(t, logs, from, maxDocs)
		var got []bson.Raw
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			i := rapid.IntRange(0, len(logs)-1).Draw(t, "shard")
			drawHistory(t, logs[i], fmt.Sprint("shard ", i))
			if rapid.Bool().Draw(t, "gossip") {
				nudge(logs, clocks)
			}
			got = append(got, drain(t, m, maxDocs)...)
		}
		nudge(logs, clocks)
		got = append(got, drain(t, m, maxDocs)...)

		var want []bson.Raw
		for _, log := range logs {
			events, _ := read(t, open(t, log, from))
			want = append(want, events...)
		}
		slices.SortStableFunc(want, func(a, b bson.Raw) int { return changestream.CompareTokens(id(a), id(b)) })
		require.Equal(t, ids(want), ids(got))

		if len(got) == 0 {
			return
		}
		at := rapid.SampledFrom(got).Draw(t, "resume after")
		after := len(got)
		for after > 0 && str(id(got[after-1]), "_data") > str(id(at), "_data") {
			after--
		}
		resumed := drain(t, merge(t, logs, spec(t, "showExpandedEvents", true, "resumeAfter", id(at)), maxDocs), maxDocs)
		require.Equal(t, ids(got[after:]), ids(resumed), "after %s", at)
	})
}

// An idle shard holds up the events of the others until its log moves on.
func TestAnIdleShardHoldsUpTheMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs, clocks := cluster(2)
		nudge(logs, clocks)
		m := merge(t, logs, spec(t).StartingAt(logs[0].First()), 0)
		_, pbrt, _, err := m.Next(t.Context(), 0, 0, 0)
		require.NoError(t, err)
		assert.Equal(t, highWater(logs[1].Last()), pbrt)

		time.Sleep(5 * time.Second)
		logs[0].Append(insertEntry("db.c", value.UUID{}, value.D("_id", 1)))
		start := time.Now()
		events, after, _, err := m.Next(t.Context(), 0, 0, 3*time.Second)
		require.NoError(t, err)
		assert.Empty(t, events)
		assert.Equal(t, pbrt, after)
		assert.Equal(t, 3*time.Second, time.Since(start))

		go func() {
			time.Sleep(10 * time.Second)
			logs[1].Noop(value.D("msg", "periodic noop"))
		}()
		start = time.Now()
		events, _, _, err = m.Next(t.Context(), 0, 0, time.Hour)
		require.NoError(t, err)
		assert.Equal(t, []int32{1}, documentIDs(events))
		assert.LessOrEqual(t, time.Since(start), 11*time.Second, "an idle shard is asked once a second")
	})
}

func TestOneShardAloneIsWaitedForAsLongAsTheClientWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs, _ := cluster(1)
		m := merge(t, logs, spec(t).StartingAt(logs[0].First()), 0)
		go func() {
			time.Sleep(time.Minute)
			logs[0].Append(insertEntry("db.c", value.UUID{}, value.D("_id", 1)))
		}()
		start := time.Now()
		events, _, _, err := m.Next(t.Context(), 0, 0, time.Hour)
		require.NoError(t, err)
		assert.Equal(t, []int32{1}, documentIDs(events))
		assert.Equal(t, time.Minute, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, _, err = m.Next(ctx, 0, 0, time.Hour)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestAMergeWithoutShardsOnlyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := merge(t, nil, spec(t).StartingAt(bson.Timestamp{T: 5}), 0)
		start := time.Now()
		events, pbrt, closed, err := m.Next(t.Context(), 0, 0, time.Minute)
		require.NoError(t, err)
		assert.Empty(t, events)
		assert.False(t, closed)
		assert.Equal(t, highWater(bson.Timestamp{T: 5}), pbrt)
		assert.Equal(t, time.Minute, time.Since(start))
	})
}

// Which shard has the event of the resume token does not matter, but one must.
func TestTheMergeDecidesWhetherTheTokenWasFound(t *testing.T) {
	logs, clocks := cluster(2)
	logs[0].Append(insertEntry("db.c", value.UUID{1}, value.D("_id", 1)))
	nudge(logs, clocks)
	logs[1].Append(insertEntry("db.c", value.UUID{1}, value.D("_id", 2)))
	nudge(logs, clocks)
	token := id(all(t, logs[0], spec(t))[0])

	events, _, _, err := merge(t, logs, spec(t, "resumeAfter", token), 0).Next(t.Context(), 0, 0, 0)
	require.NoError(t, err)
	assert.Equal(t, []int32{2}, documentIDs(events))

	m := merge(t, logs, specOn(t, "db", "", "resumeAfter", token), 0, value.D("$changeStreamSplitLargeEvent", value.D()))
	events, _, _, err = m.Next(t.Context(), 0, 0, 0)
	require.NoError(t, err)
	assert.Equal(t, []int32{2}, documentIDs(events))

	_, _, _, err = merge(t, logs[1:], spec(t, "resumeAfter", token), 0).Next(t.Context(), 0, 0, 0)
	require.Error(t, err)
	assert.Equal(t, mongoerr.ChangeStreamFatalError, mongoerr.From(err).Code)
}

// A drop on the primary shard ends the merged stream of the collection, after
// everything that the other shards did before it.
func TestInvalidationEndsTheMerge(t *testing.T) {
	logs, clocks := cluster(2)
	logs[1].Append(insertEntry("db.c", value.UUID{1}, value.D("_id", 1)))
	nudge(logs, clocks)
	logs[0].Append(commandEntry("db", value.UUID{1}, value.D("drop", "c")))
	nudge(logs, clocks)
	logs[1].Append(insertEntry("db.c", value.UUID{2}, value.D("_id", 2)))
	nudge(logs, clocks)

	m := merge(t, logs, specOn(t, "db", "c").StartingAt(logs[0].First()), 0)
	var events []bson.Raw
	closed := false
	for !closed {
		batch, pbrt, last, err := m.Next(t.Context(), 0, 0, 0)
		require.NoError(t, err)
		require.NotEmpty(t, batch)
		events = append(events, batch...)
		closed = last
		assert.Equal(t, closed, string(id(events[len(events)-1])) == string(pbrt) && len(events) == 3)
	}
	assert.Equal(t, []string{"insert", "drop", "invalidate"}, kinds(events))

	after, _, _, err := merge(t, logs, specOn(t, "db", "c", "startAfter", id(events[2])), 0).Next(t.Context(), 0, 0, 0)
	require.NoError(t, err)
	assert.Equal(t, []int32{2}, documentIDs(after))
}

// failing is a remote whose cursor is lost.
type failing struct{ err error }

func (f failing) Next(context.Context, time.Duration) ([]bson.Raw, bson.Raw, bool, error) {
	return nil, nil, false, f.err
}

func TestTheErrorOfAnyShardEndsTheMerge(t *testing.T) {
	logs, _ := cluster(1)
	m := merge(t, logs, spec(t).StartingAt(logs[0].First()), 0)
	_, _, _, err := m.Next(t.Context(), 0, 0, 0)
	require.NoError(t, err)
	lost := errors.New("cursor lost")
	m.Add(failing{lost})
	for range 2 {
		_, _, _, err = m.Next(t.Context(), 0, 0, time.Hour)
		require.ErrorIs(t, err, lost)
	}
}

// A shard that joins later holds the merge back from what it may still send.
func TestAShardMayJoin(t *testing.T) {
	logs, clocks := cluster(2)
	nudge(logs, clocks)
	m := merge(t, logs[:1], spec(t).StartingAt(logs[0].First()), 0)
	_, pbrt, _, err := m.Next(t.Context(), 0, 0, 0)
	require.NoError(t, err)

	part := spec(t).StartingAt(logs[0].Last())
	part.NeedsMerge = true
	m.Add(shardStream{open(t, logs[1], part), 0})
	logs[1].Append(insertEntry("db.c", value.UUID{1}, value.D("_id", 1)))
	nudge(logs, clocks)
	logs[0].Append(insertEntry("db.c", value.UUID{1}, value.D("_id", 2)))
	nudge(logs, clocks)
	var got []int32
	for range 2 {
		events, next, _, err := m.Next(t.Context(), 0, 0, 0)
		require.NoError(t, err)
		assert.Positive(t, changestream.CompareTokens(next, pbrt))
		got = append(got, documentIDs(events)...)
	}
	assert.Equal(t, []int32{1, 2}, got)
}
