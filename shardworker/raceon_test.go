//go:build race

package shardworker_test

// Under the race detector a story takes ten times as long, and another seed or
// pair of clusters brings no other goroutines together.
const crashSeeds = 1

var collatedShapes = [][2]int{{0, 2}, {2, 0}}
