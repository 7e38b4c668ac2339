// Package verify compares two clusters: every document byte for byte, counts,
// collection options, indexes and shard keys. It uses bounded memory, reads
// again what changed meanwhile, and names what differs.
//
// It only reads.
package verify
