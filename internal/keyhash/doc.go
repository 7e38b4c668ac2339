// Package keyhash hashes and extracts document keys.
//
// ID spreads keys over lanes: values that MongoDB holds for equal always hash
// equal, while unequal ones may. Shard is the server's own hash of hashed
// indexes, bit for bit. ExtractKey gives the index key of a document.
//
// It is pure: no I/O, no state, no decoding into Go values beyond one element.
package keyhash
