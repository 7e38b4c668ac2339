//go:build race

package model

// moves is how many events a history of moving chunks has: the exploration is one
// goroutine, which the race detector only makes slow.
const moves = 1
