package model

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Each set of guards is enough in its world, and none of its guards is idle.
func TestGuardsOfATakeover(t *testing.T) {
	lease := []Guard{CheckLease, LeaseFromSending, AwaitLease}
	tests := []struct {
		name   string
		guards []Guard
		world  World
	}{
		{"wait for the lease and the limit of commands", append(lease, LimitCommands, AwaitLimit), World{}},
		{"wait for the lease and end the sessions", append(lease, EndSessions), World{}},
		{"close the sessions", []Guard{EndSessions, CloseSessions}, World{Pauses: true, Delays: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			states, stale := ExploreTakeover(With(tt.guards...), tt.world)
			t.Logf("%d states", states)
			assert.False(t, stale)
			for _, g := range tt.guards {
				_, stale := ExploreTakeover(With(tt.guards...).Without(g), tt.world)
				assert.True(t, stale, "it is enough without guard %d", g)
			}
		})
	}
}

// Waiting alone, for however long, is no answer to a process that stands still
// between its look at the lease and its write, nor to a message that is late.
func TestWaitingIsNotEnoughForPauses(t *testing.T) {
	all := With(CheckLease, LeaseFromSending, AwaitLease, LimitCommands, AwaitLimit, EndSessions)
	for _, w := range []World{{Pauses: true}, {Delays: true}} {
		_, stale := ExploreTakeover(all, w)
		assert.True(t, stale, "%+v", w)
	}
}
