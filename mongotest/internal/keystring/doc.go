// Package keystring encodes BSON values as bytes whose byte order is the order
// of the values, in the server's KeyString format V1. Index keys, sort keys,
// chunk lookup and resume tokens are made of it.
//
// What the format drops, such as whether 5 was an int or a double, goes into
// type bits beside the key. The package knows nothing of indexes or tokens.
//
// Decimals that no other number type can hold exactly are followed by a
// continuation of this package's own, which keeps the order but is not the
// server's bytes.
package keystring
