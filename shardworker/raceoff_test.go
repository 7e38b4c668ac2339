//go:build !race

package shardworker_test

// crashSeeds is how often stories of crashes are played.
const crashSeeds = 2

// collatedShapes are how many shards the clusters have that collated collections
// are moved between.
var collatedShapes = [][2]int{{0, 0}, {0, 2}, {2, 2}, {2, 0}}
