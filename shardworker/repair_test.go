package shardworker

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
)

// oneDocument is a source that holds one document, and notes what it is asked.
type oneDocument struct {
	doc   bson.Raw
	now   shardferry.ClusterTime
	asked []bson.Raw
}

func (s *oneDocument) find(_ context.Context, _ string, cmd bson.Raw, _ int) (cursor, error) {
	s.asked = append(s.asked, cmd)
	return &oneBatch{docs: []bson.Raw{s.doc}, now: s.now}, nil
}

type oneBatch struct {
	docs []bson.Raw
	now  shardferry.ClusterTime
}

func (c *oneBatch) batch(context.Context) ([]bson.Raw, error) { return c.docs, nil }
func (c *oneBatch) exhausted() bool                           { return true }
func (c *oneBatch) clock() shardferry.ClusterTime             { return c.now }
func (c *oneBatch) close(context.Context)                     {}

// accepts is a destination that acknowledges everything it is sent.
type accepts struct{ got []bson.Raw }

func (d *accepts) run(_ context.Context, _ string, cmd bson.Raw) (bson.Raw, error) {
	d.got = append(d.got, cmd)
	reply, err := bson.Marshal(bson.D{{"ok", 1}, {"n", 1}})
	return reply, err
}

// A repair reads the source at or after every event its lane has applied: an
// older image would undo one that does not come again.
func TestOvertakingRepairsReadAfterTheirLane(t *testing.T) {
	coll := testCollection()
	source := &oneDocument{doc: raw(t, bson.D{{"_id", 2}, {"v", 1}}), now: at(60)}
	dest := &accepts{}
	lease := newLease(time.Hour)
	lease.extend(time.Now())
	a := &applier{
		writer: &writer{to: dest, lease: lease, timeout: time.Minute, again: mongoconn.Retrier{GiveUpAfter: time.Hour}, number: FirstNumber},
		reread: reread{from: source}, dest: source, last: at(5), memory: newRereadMemory(newAccount(rereadBytes)),
	}
	first := &job{coll: &coll, ev: deleteEvent(t, 40, bson.D{{"_id", 1}}), hash: 1}
	copied := &job{coll: &coll, ev: putEvent(t, 10, "", bson.D{{"_id", 2}}, bson.D{{"_id", 2}}), hash: 2, done: func() {}}
	require.NoError(t, a.batch(t.Context(), []*job{first}))
	require.NoError(t, a.batch(t.Context(), []*job{copied}))

	require.Len(t, source.asked, 1)
	sec, _, ok := source.asked[0].Lookup("readConcern", "afterClusterTime").TimestampOK()
	require.True(t, ok)
	assert.Equal(t, uint32(40), sec)
	assert.True(t, a.images.contain(&coll, raw(t, bson.D{{"_id", 2}}), at(40)))
	require.Len(t, dest.got, 2)
	for i, cmd := range dest.got {
		assert.Equal(t, int64(FirstNumber+1+i), cmd.Lookup("txnNumber").Int64(), "each write has a number of its own")
	}
}

// A worker whose reports are not taken writes nothing.
func TestNothingIsWrittenWithoutALease(t *testing.T) {
	dest := &accepts{}
	w := &writer{to: dest, lease: newLease(time.Hour), timeout: time.Minute}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	coll := testCollection()
	cmd, start := command{coll: &coll, kind: deletes}.build()
	_, err := w.write(ctx, "d", cmd, start)
	require.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, dest.got)
}

// One read asks for as many documents as their keys leave room for.
func TestReadsOfRepairsAreBounded(t *testing.T) {
	coll := testCollection()
	var repairs []repair
	for i := range 10 {
		repairs = append(repairs, repair{coll: &coll, key: raw(t, bson.D{{"_id", strings.Repeat(strconv.Itoa(i), repairKeys/4)}})})
	}
	var sizes []int
	for _, g := range grouped(append(repairs, repair{coll: &coll, key: raw(t, bson.D{{"_id", 1}})}), keyer{}) {
		sizes = append(sizes, len(g))
	}
	assert.Equal(t, []int{3, 3, 3, 2}, sizes)
}
