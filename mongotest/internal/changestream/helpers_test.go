package changestream_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/changestream"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/release"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

var version = release.Default

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	require.TestingT
	Helper()
}

// docs is a catalog of the current documents, by collection and documentKey.
type docs struct {
	shardKey bson.Raw
	current  map[string]bson.Raw
}

func (d docs) ShardKey(value.UUID) bson.Raw { return d.shardKey }

func (d docs) LookupDoc(uuid value.UUID, key bson.Raw) (bson.Raw, bool) {
	doc, ok := d.current[uuid.String()+string(key)]
	return doc, ok
}

func newLog() *oplog.Log { return oplog.NewLog(oplog.NewClock(), oplog.Options{}) }

// spec parses $changeStream options for the cluster.
func spec(t tester, opts ...any) changestream.Spec {
	t.Helper()
	s, err := changestream.ParseSpec(value.D("$changeStream", value.D(append(opts, "allChangesForCluster", true)...)), "admin", "")
	require.NoError(t, err)
	return s
}

// specOn parses $changeStream options for a database or collection.
func specOn(t tester, db, coll string, opts ...any) changestream.Spec {
	t.Helper()
	s, err := changestream.ParseSpec(value.D("$changeStream", value.D(opts...)), db, coll)
	require.NoError(t, err)
	return s
}

func open(t tester, log *oplog.Log, s changestream.Spec, stages ...bson.Raw) *changestream.Stream {
	t.Helper()
	stream, err := changestream.Open(log, docs{}, s, stages, version)
	require.NoError(t, err)
	return stream
}

// all reads a stream from the log's beginning to its end.
func all(t *testing.T, log *oplog.Log, s changestream.Spec) []bson.Raw {
	t.Helper()
	got, _ := rest(t, open(t, log, s.StartingAt(bson.Timestamp{T: 1})))
	return got
}

// rest reads what is there and returns the last postBatchResumeToken.
func rest(t *testing.T, s *changestream.Stream) ([]bson.Raw, bson.Raw) {
	t.Helper()
	events, pbrt, _, err := s.Next(t.Context(), 0, 0, 0)
	require.NoError(t, err)
	return events, pbrt
}

func str(doc bson.Raw, path ...string) string {
	s, _ := doc.Lookup(path...).StringValueOK()
	return s
}

func kinds(events []bson.Raw) []string {
	var out []string
	for _, e := range events {
		out = append(out, str(e, "operationType"))
	}
	return out
}

func id(e bson.Raw) bson.Raw { return e.Lookup("_id").Document() }

func ids(events []bson.Raw) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = id(e).String()
	}
	return out
}

// body returns an event without _id, clusterTime and wallTime.
func body(e bson.Raw) bson.Raw {
	var pairs []any
	for name, v := range value.Elements(e) {
		if name != "_id" && name != "clusterTime" && name != "wallTime" {
			pairs = append(pairs, name, v)
		}
	}
	return value.D(pairs...)
}

func equalDocs(a, b []bson.Raw) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func insertEntry(ns string, uuid value.UUID, doc bson.Raw) *oplog.Entry {
	return &oplog.Entry{Op: oplog.Insert, NS: ns, UUID: uuid, O: doc, O2: value.D("_id", doc.Lookup("_id"))}
}

func commandEntry(db string, uuid value.UUID, o bson.Raw) *oplog.Entry {
	return &oplog.Entry{Op: oplog.Command, NS: db + ".$cmd", UUID: uuid, O: o}
}

func lsid() bson.Raw {
	return value.D("id", value.UUID{1}, "uid", value.Binary(0, make([]byte, 32)))
}

func timestamp(e bson.Raw) bson.Timestamp {
	t, i := e.Lookup("clusterTime").Timestamp()
	return bson.Timestamp{T: t, I: i}
}

const second = time.Second
