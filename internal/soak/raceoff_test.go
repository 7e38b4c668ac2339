//go:build !race

package main

// testedSeeds is how many histories the test plays.
const testedSeeds = 30
