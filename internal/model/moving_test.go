package model

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exploreMoves plays every history of up to longest events with one move at
// every place, and with two moves every history that is one shorter.
func exploreMoves(rules MoveRules, longest, crashes int) (states, finals int, bad string) {
	play := func(init Doc, h []Event) bool {
		got := ExploreMoves(init, h, rules, crashes)
		states += got.States
		finals += got.Finals
		if got.Bad {
			bad = fmt.Sprintf("from %q by %q: got %q, want %q", init, h, got.Got, got.Want)
		}
		return got.Bad
	}
	for _, init := range starts {
		for n := range longest + 1 {
			for _, h := range Histories(init, n, 0) {
				for first := range n + 1 {
					if play(init, WithMoves(h, first)) {
						return states, finals, bad
					}
					for second := first; second <= n && n < longest; second++ {
						if play(init, WithMoves(h, first, second)) {
							return states, finals, bad
						}
					}
				}
			}
		}
	}
	return states, finals, ""
}

// With every rule the destination equals the source at the end of every
// history, whenever the document changes shards and wherever a worker dies.
func TestMoveRulesAreEnough(t *testing.T) {
	states, finals, bad := exploreMoves(AllMoveRules(), moves, 0)
	require.Empty(t, bad)
	crashed, more, bad := exploreMoves(AllMoveRules(), 1, 1)
	require.Empty(t, bad)
	assert.Positive(t, finals)
	t.Logf("%d states, %d of them with a crash, %d final", states+crashed, crashed, finals+more)
}

// Without any one of them some history ends wrong.
func TestMoveRulesAreNeeded(t *testing.T) {
	insert, remove := Event{'I', 'a', '1'}, Event{'D', 0, '2'}
	update := Event{'U', 'a', '2'}
	again := []Event{Move, {'X', 'a', '1'}, {'U', 'a', '2'}, {'U', 'b', '3'}}
	tests := []struct {
		name    string
		rule    MoveRule
		init    Doc
		history []Event
	}{
		{"events wait for the placement", AwaitPlacement, Absent, []Event{Move, insert}},
		{"a move may be as late as the end of the reading", BoundAfterRead, Absent, []Event{Move, insert, Move, update}},
		{"what came before is applied first", EarlierApplied, Absent, []Event{Move, insert}},
		{"documents are read instead", ReadInstead, Absent, []Event{Move, insert, Move, update}},
		{"past the end of the stretch", ReadPastEnd, Absent, []Event{Move, insert, Move, update}},
		{"what comes later waits", LaterWaits, Absent, []Event{Move, insert, Move}},
		{"deltas go to older images only", OlderThanAll, ".a0", again},
		{"the copy stands", CopyStands, ".a0", []Event{Move, remove}},
		{"the owner copies", CopyByOwner, ".a0", []Event{Move, remove}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ExploreMoves(tt.init, tt.history, AllMoveRules().Without(tt.rule), 1)
			require.True(t, got.Bad, "this history does not need the rule")
			t.Logf("after %d states: got %q, want %q", got.States, got.Got, got.Want)
			whole := ExploreMoves(tt.init, tt.history, AllMoveRules(), 0)
			require.False(t, whole.Bad)
			require.Positive(t, whole.Finals)
		})
	}
}
