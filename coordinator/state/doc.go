// Package state is the coordinator's replicated state machine: what a sync
// knows, and how each command changes it.
//
// Every function here is deterministic. Nothing reads a clock, a random
// source, the network or a map in iteration order; what a command needs from
// the outside, such as the time, travels in the command.
package state
