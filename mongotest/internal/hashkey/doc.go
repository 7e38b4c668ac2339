// Package hashkey is the hash function of hashed indexes and hashed sharding,
// equal to the server's for every value.
package hashkey
