package model

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// histories of schema changes: all of the given length that are possible.
func schemaHistories(length int) [][]Step {
	all := [][]Step{nil}
	for range length {
		var longer [][]Step
		for _, h := range all {
			for _, s := range []Step("01xyCDR") {
				longer = append(longer, append(append([]Step(nil), h...), s))
			}
		}
		all = longer
	}
	return all
}

func exploreOrders(rules Orders, longest, crashes int) (states, finals int, bad string) {
	for n := 1; n <= longest; n++ {
		for _, h := range schemaHistories(n) {
			for _, once := range []bool{false, true} {
				got, ok := ExploreOrder(h, once, rules, crashes)
				if !ok {
					break
				}
				states += got.States
				finals += got.Finals
				if got.Bad {
					return states, finals, fmt.Sprintf("%s, once: %v", string(h), once)
				}
			}
		}
	}
	return states, finals, ""
}

// With every rule the destination equals the source at the end of every history,
// and nobody waits for ever.
func TestOrderRulesAreEnough(t *testing.T) {
	states, finals, bad := exploreOrders(AllOrders(), 5, 1)
	require.Empty(t, bad)
	assert.Positive(t, finals)
	t.Logf("%d states, %d final", states, finals)
}

// Without any one of them some history ends wrong.
func TestOrderRulesAreNeeded(t *testing.T) {
	for name, rule := range map[string]Order{
		"writes before the barrier have landed": Drain, "nothing passes the barrier": Hold,
		"the position at the barrier is recorded": Save, "the earliest change first": Earliest,
		"still at this barrier": Numbered, "unknown collections are awaited": Await, "changes are recognized": Recognize,
	} {
		t.Run(name, func(t *testing.T) {
			_, _, bad := exploreOrders(AllOrders().Without(rule), 5, 1)
			require.NotEmpty(t, bad, "no history needs this rule")
			t.Log(bad)
		})
	}
}
