// Package shardworker moves one source shard to the destination: it copies the
// shard's documents and applies its change events, both at the same time.
//
// A Worker owns the order of what it writes. Events of one key keep their order
// (lanes), a copied document never overwrites or revives what an event did
// (overtaking), the reported position is never ahead of what is acknowledged
// (frontier), and nothing is written across a schema change (barrier).
//
// It never decides: what to copy, where to, when to stop at a schema change all
// come from the Assignment. It never applies a schema change, never writes to
// the source, and keeps no state beyond its epoch: everything that must survive
// is in its reports. It decodes no documents; bytes are passed on as they came.
package shardworker
