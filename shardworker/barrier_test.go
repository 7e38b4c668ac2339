package shardworker

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func ptr[T any](v T) *T { return &v }

// Behind a barrier nothing is handed to a lane and no batch begins, and the
// worker is ready only when everything before has landed.
func TestBarrierStandsStill(t *testing.T) {
	a := testAssignment(testCollection())
	l := newLedger("s0", a, nil)
	inLane, wait := l.admit(deleteEvent(t, 10, bson.D{{"_id", 1}}))
	require.Nil(t, wait)
	batch, _, wait := l.startBatch(testTask)
	require.Nil(t, wait)

	a.Barrier = &shardferry.Barrier{ID: 7, Time: at(20)}
	l.assign(a)
	require.Zero(t, l.report().Ready, "an event is in a lane, a batch is active")
	<-l.urgent

	_, _, wait = l.startBatch(testTask)
	require.NotNil(t, wait, "no batch begins at a barrier")
	j, wait := l.admit(deleteEvent(t, 20, bson.D{{"_id", 2}}))
	require.Nil(t, wait, "an event at the barrier's time goes before it")
	_, later := l.admit(deleteEvent(t, 21, bson.D{{"_id", 3}}))
	require.NotNil(t, later, "an event after the barrier waits")

	l.finish([]uint64{inLane.ticket, j.ticket}, 0)
	require.Zero(t, l.report().Ready, "a batch is active")
	l.release(batch)
	assert.Len(t, l.urgent, 1, "it is reported at once")
	assert.Equal(t, int64(7), l.report().Ready)

	a.Barrier = nil
	l.assign(a)
	assert.True(t, isClosed(later), "who waited is woken")
	j, wait = l.admit(deleteEvent(t, 21, bson.D{{"_id", 3}}))
	assert.Nil(t, wait)
	assert.NotNil(t, j)
	assert.Zero(t, l.report().Ready)
}

func TestBarrierReadiness(t *testing.T) {
	unknown := deleteEvent(t, 30, bson.D{{"_id", 1}})
	unknown.uuid = shardferry.UUID{9}
	tests := []struct {
		name    string
		barrier uint32
		next    *event // what the stream stands at
		pass    uint32
		want    int64
	}{
		{name: "an idle stream before it", barrier: 20, pass: 15},
		{name: "an idle stream at it", barrier: 20, pass: 20, want: 7},
		{name: "its own schema change", barrier: 20, next: ptr(schemaEvent(20, 0)), want: 7},
		{name: "a later schema change", barrier: 20, next: ptr(schemaEvent(30, 0)), want: 7},
		{name: "an earlier schema change", barrier: 20, next: ptr(schemaEvent(10, 0))},
		{name: "an unknown collection after it", barrier: 20, next: &unknown, want: 7},
		{name: "an unknown collection before it", barrier: 40, next: &unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := testAssignment(testCollection())
			a.Barrier = &shardferry.Barrier{ID: 7, Time: at(tt.barrier)}
			l := newLedger("s0", a, nil)
			if tt.next != nil {
				_, wait := l.admit(*tt.next)
				require.NotNil(t, wait)
			} else {
				l.pass(at(tt.pass))
			}
			assert.Equal(t, tt.want, l.report().Ready)
		})
	}
}

// A change resolved at the time of the next barrier does not count as standing
// still at it: further events of that time may follow.
func TestBarrierIsNotReachedByWhatStoodBefore(t *testing.T) {
	a := testAssignment(testCollection())
	l := newLedger("s0", a, nil)
	_, wait := l.admit(schemaEvent(20, 0))
	require.NotNil(t, wait)
	a.Resolved = shardferry.SchemaPoint{Time: at(20)}
	a.Barrier = &shardferry.Barrier{ID: 8, Time: at(20)}
	l.assign(a)
	require.Zero(t, l.report().Ready)
	l.pass(at(20))
	assert.Equal(t, int64(8), l.report().Ready)
}

// A schema change stops the stream until it is resolved, and is reported.
func TestSchemaChangeStopsTheStream(t *testing.T) {
	a := testAssignment(testCollection())
	l := newLedger("s0", a, nil)
	_, wait := l.admit(schemaEvent(10, 2))
	require.NotNil(t, wait)
	rep := l.report()
	require.NotNil(t, rep.Schema)
	assert.Equal(t, "rename", rep.Schema.Kind)
	assert.Equal(t, before(10), rep.Applied)

	a.Resolved = shardferry.SchemaPoint{Time: at(10), Index: 1}
	l.assign(a)
	require.True(t, isClosed(wait))
	_, wait = l.admit(schemaEvent(10, 2))
	require.NotNil(t, wait, "another change of the same time is resolved, not this one")

	a.Resolved.Index = 2
	l.assign(a)
	j, wait := l.admit(schemaEvent(10, 2))
	assert.Nil(t, wait)
	assert.Nil(t, j)
	assert.Nil(t, l.report().Schema)
}

// An event of an unknown collection waits, one of a dropped one needs nothing.
func TestEventsOfUnknownAndDroppedCollections(t *testing.T) {
	a := testAssignment(testCollection())
	l := newLedger("s0", a, nil)
	ev := deleteEvent(t, 10, bson.D{{"_id", 1}})
	ev.uuid = shardferry.UUID{9}
	_, wait := l.admit(ev)
	require.NotNil(t, wait)

	a.Collections = map[shardferry.UUID]shardferry.Collection{ev.uuid: {UUID: ev.uuid, Dropped: true}}
	l.assign(a)
	j, wait := l.admit(ev)
	assert.Nil(t, wait)
	assert.Nil(t, j)
	l.pass(at(11))
	assert.Equal(t, at(11), l.report().Applied)
}
