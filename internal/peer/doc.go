// Package peer connects the nodes of a cluster.
//
// A node has one [Port] for the others. The first byte of a connection says what
// it is for: raft's messages, or requests between nodes. With certificates both
// sides prove who they are; without them a port is open only on this machine, or
// where the operator says that the network can be trusted.
//
// The package knows nothing of what is said. It sees to it that a caller can tell
// a request that was never sent from one that may have been taken.
package peer
