// Package topology knows how a cluster is built: its shards, databases,
// collections, shard keys, chunks and indexes. It reads both clusters, plans
// the destination as a pure function of the source, creates what is planned,
// and applies single schema changes.
//
// Everything that it does to the destination may be repeated: it looks before
// it makes. It never reads or writes user documents.
package topology
