package chaos

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// A short run at a low rate; what fails here fails again with
// shardferry chaos --endurance 1m --rate 80 --seeds 1.
func TestEndurance(t *testing.T) {
	minutes := 0
	e := Endure(Endurance{Seed: 1, For: time.Minute, Rate: 80}, func(Endured) { minutes++ })
	p := Printer{W: os.Stderr}
	require.NoError(t, p.Endured(e, true))
	assert.True(t, e.Passed)
	assert.Equal(t, 1, minutes)
	assert.Greater(t, e.Writes, int64(1000))
	for name, n := range map[string]int{"moves": e.Moves, "elections": e.Elections, "schema changes": e.Schema} {
		assert.Positive(t, n, name)
	}
}

// Of the documents of an endurance run nobody keeps an account.
func TestThereIsNoProbeWithoutALedger(t *testing.T) {
	s := &scenario{crowd: &crowd{}, last: &state.Sync{State: shardferry.StateRunning, Leg: state.Leg{Phase: state.PhaseStreaming}}}
	s.probe(t.Context())
	assert.Zero(t, s.probes)
}

func TestGrowthIsToldFromFilling(t *testing.T) {
	fills := Endured{HeapMiB: []int{100, 200, 300, 400, 500, 500, 510, 490, 500, 500, 505, 500, 510, 500, 500}}
	leaks := Endured{HeapMiB: []int{100, 120, 140, 160, 180, 200, 220, 240, 260, 280, 300, 320, 340, 360, 380}}
	assert.False(t, fills.grows())
	assert.True(t, leaks.grows())
}
