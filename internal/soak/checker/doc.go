// Package checker compares two clusters as someone would who knows nothing of
// shardferry: it reads everything with the driver and holds byte against byte.
//
// It imports nothing of the product, so that a mistake there cannot hide one
// here (tested in internal/lint). It keeps every document in memory, so it is for
// the small clusters of tests, and it expects that nobody writes.
package checker
