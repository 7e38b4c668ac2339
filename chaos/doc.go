// Package chaos tries to make shardferry lose something. A run plays a whole
// move between two simulated clusters in virtual time: applications write, the
// operator commits and perhaps rolls back, and beside that a plan drawn from a
// seed drops connections, loses replies, delays commands, deposes primaries and
// kills the node. Afterwards the run checks what must hold whatever happened.
//
// With several nodes each story has faults of single nodes instead, each at a
// place of the sync's way that the nodes have recorded, down to the step of a
// commit: see NodeKind for what happens to them, and Cells for what must have been
// tried.
//
// It owns the plan of faults, the applications with their ledger of what was
// acknowledged, and the invariants. It never looks into the product: all it
// knows comes from the clusters, from what the clusters answered, and from the
// replicated state that any node shows.
//
// A seed fixes the clusters, the data, the faults and what the applications
// choose to do. It does not fix in which order goroutines run that are ready at
// the same instant, so a rare failure may need its seed several times.
package chaos
