package model

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exploreFrontiers explores four events with every way of sharing times and three
// lanes among them.
func exploreFrontiers(rules Marks) (states, finals int, bad string) {
	const events = 4
	for sharing := range 1 << (events - 1) {
		times := []int8{1}
		for i := range events - 1 {
			times = append(times, times[i]+int8(sharing>>i&1))
		}
		for share := range 81 {
			lanes := make([]int8, events)
			for i, n := 0, share; i < events; i, n = i+1, n/3 {
				lanes[i] = int8(n % 3)
			}
			got := ExploreFrontier(times, lanes, rules, 2)
			states += got.States
			finals += got.Finals
			if got.Bad {
				return states, finals, fmt.Sprintf("times %v in lanes %v", times, lanes)
			}
		}
	}
	return states, finals, ""
}

// With every rule no event is lost, whatever order the lanes' writes land in and
// wherever the worker dies.
func TestFrontierRulesAreEnough(t *testing.T) {
	states, finals, bad := exploreFrontiers(AllMarks())
	require.Empty(t, bad)
	assert.Positive(t, finals)
	t.Logf("%d states, %d final", states, finals)
}

// Without any one of them some event is lost.
func TestFrontierRulesAreNeeded(t *testing.T) {
	for name, rule := range map[string]Mark{"no gap": Prefix, "acknowledged, not sent": Acknowledged, "whole times": WholeTimes} {
		t.Run(name, func(t *testing.T) {
			_, _, bad := exploreFrontiers(AllMarks().Without(rule))
			require.NotEmpty(t, bad, "no history needs this rule")
			t.Log(bad)
		})
	}
}
