package model

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exploreSuccessions explores every history of four deeds, and every catalogue.
func exploreSuccessions(rules Traces) (states, finals int, bad string) {
	const deeds = "RrHhDdCcM"
	var history func(done []Deed) string
	history = func(done []Deed) string {
		for catalogue := range len(done) + 1 {
			got, _ := ExploreSuccession(done, catalogue, rules)
			states += got.States
			finals += got.Finals
			if got.Bad {
				return fmt.Sprintf("%s, known up to %d", string(done), catalogue)
			}
		}
		if len(done) == 4 {
			return ""
		}
		for _, d := range []Deed(deeds) {
			if bad := history(append(done[:len(done):len(done)], d)); bad != "" {
				return bad
			}
		}
		return ""
	}
	bad = history(nil)
	return states, finals, bad
}

// With every rule a collection is found whatever becomes of it and whenever one
// looks, and taken for gone only if it is.
func TestTraceRulesAreEnough(t *testing.T) {
	states, finals, bad := exploreSuccessions(AllTraces())
	require.Empty(t, bad)
	assert.Positive(t, finals)
	t.Logf("%d states, %d final", states, finals)
}

// Without any one of them some history misleads.
func TestTraceRulesAreNeeded(t *testing.T) {
	for name, rule := range map[string]Trace{
		"ask by UUID": AskByUUID, "reach the look": ReachTheLook, "since the catalogue": SinceKnown,
		"by name": TraceByName, "by UUID": TraceByUUID, "gone if covered": GoneIfCovered, "adopt what is untouched": AdoptUntouched,
	} {
		t.Run(name, func(t *testing.T) {
			_, _, bad := exploreSuccessions(AllTraces().Without(rule))
			require.NotEmpty(t, bad, "no history needs this rule")
			t.Log(bad)
		})
	}
}
