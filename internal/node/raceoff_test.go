//go:build !race

package node_test

var (
	testedShapes      = shapes
	testedVersions    = versions
	testedResistances = resistances
	testedSizes       = []int{0, 2}
	testedDeaths      = map[string]bool{"before": false, "after": true} // before or after a command took effect
	testedLosses      = losses
)
