//go:build !race

package model

// moves is how many events a history of moving chunks has.
const moves = 2
