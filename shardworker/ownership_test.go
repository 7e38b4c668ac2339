package shardworker

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// Where documents may change shards, no event is handed on before it is known who
// owned its document.
func TestEventsWaitForTheirOwner(t *testing.T) {
	a := testAssignment(testCollection())
	a.Ownership = &shardferry.Ownership{Known: at(10)}
	l := newLedger("s0", a, nil)
	j, wait := l.admit(deleteEvent(t, 10, bson.D{{"_id", 1}}))
	require.Nil(t, wait)
	assert.True(t, j.past.IsZero(), "nothing moved")
	_, wait = l.admit(deleteEvent(t, 11, bson.D{{"_id", 1}}))
	require.NotNil(t, wait)
	a.Ownership = &shardferry.Ownership{Known: at(11)}
	l.assign(a)
	require.True(t, isClosed(wait))
	_, wait = l.admit(deleteEvent(t, 11, bson.D{{"_id", 1}}))
	require.Nil(t, wait)
}

// In a stretch with a move the documents of what moved are read, no older than
// its end; nothing is copied; and the rest goes on as ever.
func TestWhatMovedIsRead(t *testing.T) {
	a := testAssignment(testCollection())
	other := testCollection()
	other.UUID = shardferry.UUID{9}
	a.Collections[other.UUID] = other
	moved := shardferry.Moved{Until: at(20), Collections: []shardferry.UUID{testUUID}}
	a.Ownership = &shardferry.Ownership{Known: at(20), Moving: &moved}
	l := newLedger("s0", a, nil)
	j, _ := l.admit(deleteEvent(t, 12, bson.D{{"_id", 1}}))
	assert.Equal(t, at(20), j.past)
	ev := deleteEvent(t, 13, bson.D{{"_id", 1}})
	ev.uuid = other.UUID
	j, _ = l.admit(ev)
	assert.True(t, j.past.IsZero())
	_, _, wait := l.startBatch(testTask)
	require.NotNil(t, wait, "its documents may be another shard's")

	moved.Until = at(30)
	a.Ownership = &shardferry.Ownership{Known: at(40), Settled: moved}
	l.assign(a)
	assert.True(t, l.mustReread(event{kind: kindUpdate, time: at(30), uuid: testUUID}), "another worker may have put a newer image")
	assert.False(t, l.mustReread(event{kind: kindUpdate, time: at(31), uuid: testUUID}))
	assert.False(t, l.mustReread(event{kind: kindUpdate, time: at(30), uuid: other.UUID}))
	a.Ownership = &shardferry.Ownership{Known: at(40), Settled: shardferry.Moved{Until: at(35), All: true}}
	l.assign(a)
	assert.True(t, l.mustReread(event{kind: kindUpdate, time: at(35), uuid: other.UUID}))
}

// A task that another shard has taken over ends without a word.
func TestATaskThatIsTakenAwayEnds(t *testing.T) {
	a := testAssignment(testCollection())
	l := newLedger("s0", a, nil)
	b, _, _ := l.startBatch(testTask)
	require.NotNil(t, b)
	a.Tasks = []shardferry.CopyTask{{ID: 2, UUID: testUUID}}
	l.assign(a)
	b, _, wait := l.startBatch(testTask)
	assert.Nil(t, b)
	assert.Nil(t, wait)
}
