//go:build !race

package node_test

var (
	testedShapes      = shapes
	testedVersions    = versions
	testedResistances = resistances
	testedSizes       = []int{0, 2}
)
