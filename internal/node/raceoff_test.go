//go:build !race

package node_test

var (
	testedShapes      = shapes
	testedPairs       = [][2]int{{0, 0}, {2, 2}, {0, 2}, {2, 0}} // shards of the source and of the destination
	testedVersions    = versions
	testedResistances = resistances
	testedSizes       = []int{0, 2}
	testedDeaths      = map[string]bool{"before": false, "after": true} // before or after a command took effect
	testedLosses      = losses
)
