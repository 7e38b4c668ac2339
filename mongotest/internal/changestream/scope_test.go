package changestream_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/changestream"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestScopeDecidesWhichNamespacesAreSeen(t *testing.T) {
	namespaces := []string{
		"db.c", "db.d", "db.$x", "db.system.js", "db.system.buckets.ts", "db.system.profile", "other.c",
		"admin.c", "config.shards", "local.c", "db.c.system.x",
	}
	log := newLog()
	for _, ns := range namespaces {
		log.Append(insertEntry(ns, value.UUID{1}, value.D("_id", 1)))
	}
	tests := map[string]struct {
		spec changestream.Spec
		want []string
	}{
		"collection":    {specOn(t, "db", "c"), []string{"db.c"}},
		"database":      {specOn(t, "db", ""), []string{"db.c", "db.d", "db.c.system.x"}},
		"cluster":       {spec(t), []string{"db.c", "db.d", "other.c", "db.c.system.x"}},
		"system events": {specOn(t, "db", "", "showSystemEvents", true), []string{"db.c", "db.d", "db.system.js", "db.system.buckets.ts", "db.c.system.x"}},
		"config shards": {specOn(t, "config", "shards", "allowToRunOnConfigDB", true), []string{"config.shards"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, e := range all(t, log, tc.spec) {
				got = append(got, str(e, "ns", "db")+"."+str(e, "ns", "coll"))
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestWhatInvalidatesAStream(t *testing.T) {
	drop := func() *oplog.Entry { return commandEntry("db", value.UUID{1}, value.D("drop", "c")) }
	rename := func() *oplog.Entry {
		return commandEntry("db", value.UUID{1}, value.D("renameCollection", "db.c", "to", "db.d"))
	}
	renameOver := func() *oplog.Entry {
		return commandEntry("db", value.UUID{1}, value.D("renameCollection", "db.x", "to", "db.c"))
	}
	dropDatabase := func() *oplog.Entry { return commandEntry("db", value.UUID{}, value.D("dropDatabase", 1)) }
	tests := map[string]struct {
		spec  changestream.Spec
		entry *oplog.Entry
		want  []string
	}{
		"collection drop":        {specOn(t, "db", "c"), drop(), []string{"drop", "invalidate"}},
		"collection rename":      {specOn(t, "db", "c"), rename(), []string{"rename", "invalidate"}},
		"collection rename over": {specOn(t, "db", "c"), renameOver(), []string{"rename", "invalidate"}},
		"database drop":          {specOn(t, "db", ""), drop(), []string{"drop", "insert"}},
		"database rename":        {specOn(t, "db", ""), rename(), []string{"rename", "insert"}},
		"database dropDatabase":  {specOn(t, "db", ""), dropDatabase(), []string{"dropDatabase", "invalidate"}},
		"cluster dropDatabase":   {spec(t), dropDatabase(), []string{"dropDatabase", "insert"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			log := newLog()
			log.Append(tc.entry, insertEntry("db.c", value.UUID{2}, value.D("_id", 1)))
			s := open(t, log, tc.spec.StartingAt(bson.Timestamp{T: 1}))
			got, pbrt, closed, err := s.Next(t.Context(), 0, 0, second)
			require.NoError(t, err)
			assert.Equal(t, tc.want, kinds(got))
			assert.Equal(t, tc.want[1] == "invalidate", closed)
			assert.Equal(t, id(got[1]), pbrt)
			if !closed {
				return
			}
			assert.Empty(t, got[1].Lookup("ns"))
			tok, err := changestream.ParseToken(id(got[1]))
			require.NoError(t, err)
			assert.True(t, tok.FromInvalidate)
		})
	}
}

// After an invalidate event a stream can only be started after it; it then goes
// on in the same namespace.
func TestStartingAfterAnInvalidateEvent(t *testing.T) {
	log := newLog()
	log.Append(commandEntry("db", value.UUID{1}, value.D("drop", "c")), insertEntry("db.c", value.UUID{2}, value.D("_id", 1)))
	got := all(t, log, specOn(t, "db", "c"))
	require.Equal(t, []string{"drop", "invalidate"}, kinds(got))

	_, err := changestream.ParseSpec(value.D("$changeStream", value.D("resumeAfter", id(got[1]))), "db", "c")
	require.Error(t, err)

	after, _ := rest(t, open(t, log, specOn(t, "db", "c", "startAfter", id(got[1]))))
	assert.Equal(t, []string{"insert"}, kinds(after))

	again, _ := rest(t, open(t, log, specOn(t, "db", "c", "resumeAfter", id(got[0]))))
	assert.Equal(t, []string{"invalidate"}, kinds(again), "resuming after the drop meets the invalidate event")
}
