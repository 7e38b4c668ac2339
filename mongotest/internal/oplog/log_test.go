package oplog_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func insertOf(i int) *oplog.Entry {
	return &oplog.Entry{Op: oplog.Insert, NS: "db.c", O: value.D("_id", i)}
}

func newLog(n int, o oplog.Options) (*oplog.Log, []*oplog.Entry) {
	log := oplog.NewLog(oplog.NewClock(), o)
	var all []*oplog.Entry
	for i := range n {
		e := insertOf(i)
		log.Append(e)
		all = append(all, e)
	}
	return log, all
}

func TestReadReturnsEntriesAfterATime(t *testing.T) {
	const n = 10_000 // several segments
	log, all := newLog(n, oplog.Options{})
	require.Equal(t, n, log.Len())
	assert.Equal(t, all[0].TS, log.First())
	assert.Equal(t, all[n-1].TS, log.Last())
	for _, i := range []int{0, 1, 4095, 4096, 4097, 9998, 9999} {
		got, err := log.Read(all[i].TS, true, 2)
		require.NoError(t, err)
		assert.Equal(t, all[i:min(i+2, n)], got, "at %d", i)
		got, err = log.Read(all[i].TS, false, 2)
		require.NoError(t, err)
		assert.ElementsMatch(t, all[min(i+1, n):min(i+3, n)], got, "after %d", i)
		e, ok := log.At(all[i].TS)
		assert.True(t, ok)
		assert.Same(t, all[i], e)
	}
	_, ok := log.At(bson.Timestamp{T: 1, I: 1})
	assert.False(t, ok)
}

func TestRolloverDropsTheOldest(t *testing.T) {
	log, all := newLog(5000, oplog.Options{MaxEntries: 10})
	assert.Equal(t, 10, log.Len())
	assert.Equal(t, all[4990].TS, log.First())
	assert.Equal(t, all[4989].TS, log.Dropped())

	small, entries := newLog(100, oplog.Options{MaxBytes: 1000})
	assert.LessOrEqual(t, small.Bytes(), int64(1000))
	assert.Greater(t, small.Len(), 5)
	assert.Equal(t, entries[99].TS, small.Last())
}

func TestReadingWhatIsGoneFails(t *testing.T) {
	log, all := newLog(20, oplog.Options{})
	log.Truncate(all[10].TS)
	assert.Equal(t, all[10].TS, log.First())

	_, err := log.Read(all[5].TS, false, 5)
	require.ErrorIs(t, err, oplog.ErrTruncated)
	_, err = log.Read(all[9].TS, true, 5)
	require.ErrorIs(t, err, oplog.ErrTruncated, "the entry itself is gone")
	got, err := log.Read(all[9].TS, false, 5)
	require.NoError(t, err, "nothing after it is gone")
	assert.Equal(t, all[10:15], got)

	log.Truncate(bson.Timestamp{T: 1 << 31})
	assert.Equal(t, 1, log.Len(), "the last entry stays")
}

func TestWaitReturnsOnceTheLogGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, all := newLog(1, oplog.Options{})
		require.NoError(t, log.Wait(t.Context(), bson.Timestamp{}))

		start := time.Now()
		go func() {
			time.Sleep(time.Hour)
			log.Noop(value.D("msg", "periodic noop"))
		}()
		require.NoError(t, log.Wait(t.Context(), all[0].TS))
		assert.Equal(t, time.Hour, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, log.Wait(ctx, log.Last()), context.DeadlineExceeded)
	})
}

func TestEntriesOfATransactionAreChained(t *testing.T) {
	log, _ := newLog(0, oplog.Options{})
	txn := oplog.TxnInfo{LSID: value.D("id", value.NewUUID()), Number: 3, Multi: true}
	a := &oplog.Entry{Op: oplog.Command, NS: "admin.$cmd", O: value.D("applyOps", value.A(), "partialTxn", true), Txn: txn}
	b := &oplog.Entry{Op: oplog.Command, NS: "admin.$cmd", O: value.D("applyOps", value.A(), "count", int64(0)), Txn: txn}
	log.Append(a, b)
	assert.True(t, a.Txn.Prev.IsZero())
	assert.Equal(t, a.TS, b.Txn.Prev)
}

func TestAnyReadIsASliceOfTheHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 50).Draw(t, "max entries")
		log, all := newLog(rapid.IntRange(1, 200).Draw(t, "entries"), oplog.Options{MaxEntries: limit})
		i := rapid.IntRange(0, len(all)-1).Draw(t, "from")
		n := rapid.IntRange(1, 60).Draw(t, "limit")
		inclusive := rapid.Bool().Draw(t, "inclusive")
		from := i
		if !inclusive {
			from++
		}
		got, err := log.Read(all[i].TS, inclusive, n)
		if kept := len(all) - log.Len(); from < kept {
			require.ErrorIs(t, err, oplog.ErrTruncated)
			return
		}
		require.NoError(t, err)
		require.Len(t, got, min(n, len(all)-from))
		for k, e := range got {
			require.Same(t, all[from+k], e)
		}
	})
}
