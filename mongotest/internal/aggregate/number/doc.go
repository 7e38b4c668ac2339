// Package number does arithmetic on BSON numbers with the server's rules for
// the type of the result: decimal over double over long over int, and an int
// that overflows becomes a long.
package number
