package model

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var starts = []Doc{Absent, ".a0", ".a0b0"}

func exploreAll(f Filter, rules Rules, longest, crashes int) (states, finals int, bad string) {
	for _, init := range starts {
		for n := range longest + 1 {
			for _, h := range Histories(init, n, f) {
				got := Explore(init, h, f, rules, crashes)
				states += got.States
				finals += got.Finals
				if got.Bad {
					return states, finals, fmt.Sprintf("from %q by %q: got %q, want %q", init, h, got.Got, got.Want)
				}
			}
		}
	}
	return states, finals, ""
}

// With every rule the destination equals the source at the end of every
// history, whatever the interleaving and wherever the worker dies.
func TestOvertakingRulesAreEnough(t *testing.T) {
	states, finals, bad := exploreAll(0, AllRules(), 3, 1)
	require.Empty(t, bad)
	assert.Positive(t, finals)
	t.Logf("%d states, %d final", states, finals)
}

// Without any one of them some history ends wrong.
func TestOvertakingRulesAreNeeded(t *testing.T) {
	tests := []struct {
		name string
		rule Rule
	}{
		{"a batch is read after what was handed", ReadAfterHanded},
		{"overtaken documents are repaired", RepairOvertaken},
		{"repairs run in the lane", RepairInLane},
		{"an active batch holds the frontier", HoldFrontier},
		{"late writes are fenced", FenceLateWrites},
		{"deltas go to older images only", Older},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, bad := exploreAll(0, AllRules().Without(tt.rule), 3, 1)
			require.NotEmpty(t, bad, "no history needs this rule")
			t.Log(bad)
		})
	}
}

// Nor where only documents are moved that match a filter, while they enter and
// leave it.
func TestFilterRulesAreEnough(t *testing.T) {
	states, finals, bad := exploreAll('b', AllRules(), 3, 1)
	require.Empty(t, bad)
	assert.Positive(t, finals)
	t.Logf("%d states, %d final", states, finals)
}

func TestFilterRulesAreNeeded(t *testing.T) {
	tests := []struct {
		name string
		rule Rule
	}{
		{"the copy reads through the filter", FilterCopy},
		{"inserts that do not match are left out", FilterInserts},
		{"repairs read through the filter", FilterRereads},
		{"what may enter or leave is read again", RereadTouched},
		{"a batch is read after what was handed", ReadAfterHanded},
		{"overtaken documents are repaired", RepairOvertaken},
		{"repairs run in the lane", RepairInLane},
		{"an active batch holds the frontier", HoldFrontier},
		{"late writes are fenced", FenceLateWrites},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, bad := exploreAll('b', AllRules().Without(tt.rule), 3, 1)
			require.NotEmpty(t, bad, "no history needs this rule")
			t.Log(bad)
		})
	}
}
