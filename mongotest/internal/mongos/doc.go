// Package mongos is the sharding of the simulated cluster: the catalog of
// shards, databases, collections, chunks and zones, and the router that serves
// clients by talking to the shards.
//
// It owns which shard holds which document. It never stores documents itself:
// data lives in the nodes it reaches through Transport, and the catalog is
// also written to the config server node as the documents of config.*.
package mongos
