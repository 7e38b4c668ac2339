//go:build race

package node_test

// Under the race detector a story takes ten times as long, and another pair of
// clusters or another error code brings no other goroutines together.
var (
	testedShapes      = []int{0, 2}
	testedPairs       = [][2]int{{2, 2}} // shards of the source and of the destination
	testedVersions    = []string{"8.0"}
	testedResistances = resistances[:3]
	testedSizes       = []int{2}
	testedDeaths      = map[string]bool{"after": true}
	testedLosses      = losses[2:]
)
