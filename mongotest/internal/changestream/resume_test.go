package changestream_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/shardferry/shardferry/mongotest/internal/changestream"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/release"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// drawHistory appends a random history: CRUD in several collections, commands,
// transactions, grouped inserts, migrations and no-ops.
func drawHistory(t *rapid.T, log *oplog.Log, label string) {
	collections := []string{"db.c", "db.d", "other.c", "db.system.profile"}
	for range rapid.IntRange(1, 15).Draw(t, label+" entries") {
		ns := rapid.SampledFrom(collections).Draw(t, "ns")
		db, coll := oplog.SplitNS(ns)
		uuid := value.UUID{byte(len(ns)), ns[len(ns)-1]}
		doc := value.D("_id", drawID(t), "x", rapid.String().Draw(t, "x"))
		key := value.D("_id", doc.Lookup("_id"))
		inner := func() []bson.Raw {
			var ops []bson.Raw
			for i := range rapid.IntRange(1, 4).Draw(t, "operations") {
				in := rapid.SampledFrom(collections).Draw(t, "inner ns")
				ops = append(ops, value.D("op", "i", "ns", in, "ui", uuid, "o", value.D("_id", i), "o2", value.D("_id", i)))
			}
			return ops
		}
		txn := oplog.TxnInfo{LSID: lsid(), Number: 1, Multi: true}
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0, 1:
			log.Append(insertEntry(ns, uuid, doc))
		case 2:
			log.Append(&oplog.Entry{Op: oplog.Update, NS: ns, UUID: uuid, O: doc, O2: key})
		case 3:
			log.Append(&oplog.Entry{Op: oplog.Delete, NS: ns, UUID: uuid, O: key, FromMigrate: rapid.Bool().Draw(t, "migrate")})
		case 4:
			log.Append(commandEntry(db, uuid, value.D("create", coll)), commandEntry(db, uuid, value.D("drop", coll)))
		case 5:
			log.Append(commandEntry(db, value.UUID{}, value.D("dropDatabase", 1)))
		case 6:
			log.Append(applyOps(txn, "partialTxn", inner()...), applyOps(txn, "", inner()...))
		case 7:
			log.Append(applyOps(oplog.TxnInfo{}, "", inner()...))
		case 8:
			log.Noop(value.D("msg", "periodic noop"))
		case 9:
			log.Append(commandEntry(db, uuid, value.D("renameCollection", ns, "to", ns+"2")))
		}
	}
}

func drawSpec(t *rapid.T) []any {
	return []any{"showExpandedEvents", rapid.Bool().Draw(t, "expanded")}
}

// read drains a stream in batches of random size and checks its tokens.
func read(t *rapid.T, s *changestream.Stream) (events, pbrts []bson.Raw) {
	last := s.PBRT()
	for {
		batch, pbrt, closed, err := s.Next(t.Context(), rapid.IntRange(0, 3).Draw(t, "batch"), 0, 0)
		require.NoError(t, err)
		require.False(t, closed)
		require.LessOrEqual(t, changestream.CompareTokens(last, pbrt), 0, "it never goes back")
		if len(batch) == 0 {
			return events, append(pbrts, pbrt)
		}
		require.LessOrEqual(t, changestream.CompareTokens(id(batch[len(batch)-1]), pbrt), 0)
		events, last = append(events, batch...), pbrt
		pbrts = append(pbrts, pbrt)
	}
}

// Wherever a stream stops, resuming returns exactly the events that remain.
func TestResumingReturnsExactlyTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := newLog()
		drawHistory(t, log, "history")
		server := rapid.SampledFrom([]release.Version{{6, 0, 14}, {7, 0, 5}, {8, 0, 4}}).Draw(t, "server")
		opts := drawSpec(t)
		start := func(more ...any) []bson.Raw {
			s, err := changestream.Open(log, docs{}, spec(t, append(append([]any{}, opts...), more...)...), nil, server)
			require.NoError(t, err)
			events, _ := read(t, s)
			return events
		}
		s, err := changestream.Open(log, docs{}, spec(t, opts...).StartingAt(log.First()), nil, server)
		require.NoError(t, err)
		events, pbrts := read(t, s)

		for i, e := range events {
			require.Equal(t, ids(events[i+1:]), ids(start("resumeAfter", id(e))), "after %s", e)
			if i > 0 {
				require.Negative(t, changestream.CompareTokens(id(events[i-1]), id(e)), "tokens ascend")
			}
			tok, err := changestream.ParseToken(id(e))
			require.NoError(t, err)
			require.Equal(t, id(e), tok.BSON())
			from := 0
			for timestamp(events[from]).Before(timestamp(e)) {
				from++
			}
			require.Equal(t, ids(events[from:]), ids(start("startAtOperationTime", timestamp(e))))
			require.Len(t, start("resumeAfter", changestream.HighWater(timestamp(e), 1).BSON()), len(events)-from)
		}
		for _, p := range pbrts {
			after := 0
			for after < len(events) && changestream.CompareTokens(id(events[after]), p) <= 0 {
				after++
			}
			require.Equal(t, ids(events[after:]), ids(start("startAfter", p)))
		}
	})
}

// A server goes on with a token of the other format, up to the operation the
// token belongs to.
func TestResumingWithATokenOfAnotherVersion(t *testing.T) {
	log := newLog()
	log.Append(applyOps(oplog.TxnInfo{}, "", innerInsert("db.c", 0), innerInsert("db.c", 1)), insertEntry("db.c", value.UUID{1}, value.D("_id", 2)))
	read := func(server release.Version, opts ...any) []bson.Raw {
		s, err := changestream.Open(log, docs{}, spec(t, opts...).StartingAt(log.First()), nil, server)
		require.NoError(t, err)
		events, _ := rest(t, s)
		return events
	}
	for _, servers := range [][2]release.Version{{{6, 0, 14}, {8, 0, 4}}, {{8, 0, 4}, {6, 0, 14}}} {
		first := read(servers[0])
		require.Len(t, first, 3)
		for i, e := range first {
			assert.Equal(t, documentIDs(first[i+1:]), documentIDs(read(servers[1], "resumeAfter", id(e))))
		}
	}
}

// A stream without showExpandedEvents shows none of these events, but it resumes
// after one: the server looks for the token first. So does a merged stream.
func TestResumingAfterAnExpandedEventWithoutThem(t *testing.T) {
	log := newLog()
	log.Append(
		commandEntry("db", value.UUID{1}, value.D("create", "c")), insertEntry("db.c", value.UUID{1}, value.D("_id", 1)),
		commandEntry("db", value.UUID{1}, value.D("collMod", "c")), insertEntry("db.c", value.UUID{1}, value.D("_id", 2)))
	events := all(t, log, spec(t, "showExpandedEvents", true))
	require.Equal(t, []string{"create", "insert", "modify", "insert"}, kinds(events))

	got, _ := rest(t, open(t, log, spec(t, "resumeAfter", id(events[0]))))
	assert.Equal(t, []string{"insert", "insert"}, kinds(got))
	after := spec(t, "resumeAfter", id(events[2]))
	got, _, _, err := merge(t, []*oplog.Log{log}, after, 0).Next(t.Context(), 0, 0, 0)
	require.NoError(t, err)
	assert.Equal(t, []string{"insert"}, kinds(got))
}

func TestResumingAfterAnEventThatIsNotThereFails(t *testing.T) {
	log := newLog()
	log.Append(insertEntry("db.c", value.UUID{1}, value.D("_id", 1)), insertEntry("db.d", value.UUID{2}, value.D("_id", 2)))
	events := all(t, log, spec(t))

	s := open(t, log, specOn(t, "db", "d", "resumeAfter", id(events[0])))
	_, _, _, err := s.Next(t.Context(), 0, 0, 0)
	require.Error(t, err)
	assert.Equal(t, mongoerr.ChangeStreamFatalError, mongoerr.From(err).Code)
	assert.Equal(t, []string{"NonResumableChangeStreamError"}, mongoerr.From(err).Labels)
	_, _, _, again := s.Next(t.Context(), 0, 0, 0)
	assert.Equal(t, err, again)

	// Nothing later has happened in db.c: the stream waits.
	got, _ := rest(t, open(t, log, specOn(t, "db", "c", "resumeAfter", id(events[1]))))
	assert.Empty(t, got)
}

func TestResumingFromLostHistoryFails(t *testing.T) {
	log := newLog()
	for i := range 10 {
		log.Append(insertEntry("db.c", value.UUID{1}, value.D("_id", i)))
	}
	events := all(t, log, spec(t))
	open5 := open(t, log, spec(t, "resumeAfter", id(events[1])))
	got, _, _, err := open5.Next(t.Context(), 1, 0, 0)
	require.NoError(t, err)
	require.Len(t, got, 1)
	log.Truncate(timestamp(events[5]))

	for _, opts := range [][]any{
		{"resumeAfter", id(events[4])}, {"startAtOperationTime", timestamp(events[4])}, {"resumeAfter", highWater(timestamp(events[4]))},
	} {
		s := open(t, log, spec(t, opts...))
		_, _, _, err := s.Next(t.Context(), 0, 0, 0)
		require.Error(t, err)
		assert.Equal(t, mongoerr.ChangeStreamHistoryLost, mongoerr.From(err).Code)
		assert.Equal(t, []string{"NonResumableChangeStreamError"}, mongoerr.From(err).Labels)
	}
	got, _ = rest(t, open(t, log, spec(t, "resumeAfter", id(events[5]))))
	assert.True(t, equalDocs(events[6:], got))
}

// A reader that the log overtakes is told so, not given a gap.
func TestAReaderTheLogOvertakesFails(t *testing.T) {
	log := newLog()
	log.Append(insertEntry("db.c", value.UUID{1}, value.D("_id", 0)))
	s := open(t, log, spec(t).StartingAt(log.First()))
	rest(t, s)
	for i := range 5 {
		log.Append(insertEntry("db.c", value.UUID{1}, value.D("_id", i)))
	}
	log.Truncate(log.Last())
	_, _, _, err := s.Next(t.Context(), 0, 0, 0)
	assert.True(t, mongoerr.Is(err, mongoerr.CappedPositionLost), "%v", err)
}
