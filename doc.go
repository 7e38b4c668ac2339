// Package shardferry is the vocabulary shared by every package of this module:
// shards, namespaces, cluster times, copy tasks, schema changes and the states
// a sync moves through.
//
// It holds types and pure functions only. It starts no goroutine, does no I/O,
// and imports no other package of this module.
package shardferry
