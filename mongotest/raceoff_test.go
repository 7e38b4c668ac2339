//go:build !race

package mongotest_test

// memberWalks is how many random walks over the members of a set are taken.
const memberWalks = 30
