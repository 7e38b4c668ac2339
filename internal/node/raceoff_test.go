//go:build !race

package node_test

var (
	testedShapes      = shapes
	testedVersions    = versions
	testedResistances = resistances
	keptOnto          = []int{0, 2}
)
