package state_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// Only what others wrote pauses a sync; the last intrusions are kept.
func TestOnlyWritesOfOthersPause(t *testing.T) {
	s := stations(t)["streaming"]
	for range 30 {
		apply(t, s, state.Intruded{Leg: 1})
	}
	assert.Equal(t, shardferry.StateRunning, s.State)
	assert.Len(t, s.Intrusions, 10)
	apply(t, s, state.Intruded{Leg: 1, Intrusion: state.Intrusion{Writes: []state.ForeignWrite{{ID: "7", Op: "insert"}}}})
	assert.Equal(t, shardferry.StatePaused, s.State)
	assert.Contains(t, s.Hold, "7")
}
