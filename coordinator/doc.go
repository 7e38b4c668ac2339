// Package coordinator decides what a sync does next, and keeps every decision
// on a majority of nodes.
//
// A command goes in one direction: [Coordinator.Propose] hands it to raft, raft
// replicates it, the fsm decodes it, and package state applies it. Reads never
// take that road; they copy the replicated state.
//
// The state is replicated, side effects are not: the leader runs every
// [Reconciler], which compares the state with the clusters and does the step
// that is missing. The package itself never talks to a cluster.
package coordinator
