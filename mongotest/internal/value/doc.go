// Package value works on BSON values as the server does, without decoding
// them: order, equality, paths, and construction.
package value
