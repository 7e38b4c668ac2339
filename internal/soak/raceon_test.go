//go:build race

package main

// Under the race detector a history takes ten times as long, and others bring no
// other goroutines together.
const testedSeeds = 8
