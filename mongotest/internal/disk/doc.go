// Package disk keeps what a replica set stores in files, so that it outlives
// the process and may be larger than memory.
//
// # The log
//
// A [Log] is one directory of numbered segments, which together are one
// append-only log of two kinds of records. A blob is one document; a frame says
// what a change made of the blobs before it. A change is its frame: without one,
// or with a torn one, its blobs are garbage. What is in a frame is the business
// of packages oplog and storage. There is nothing else: no second copy of a
// document, no checkpoint beside the log.
//
// Segments are mapped into memory, and the bytes that [Log.Blob] returns are
// those of the mapping. So a stored document takes no heap, and readers need
// not know where it is; the kernel fetches and drops its pages. A mapping stays
// until its segment is reclaimed (see [Log.Retire]); those that are left at the
// end stay until the process ends, because somebody may still have a document.
//
// # What survives
//
// Every record has a checksum of its bytes, its place and the log's identity.
// A process that is killed loses nothing that it had appended: the pages are
// the kernel's. When the machine goes down, what [Log.Sync] returned for is
// there; the rest may be, up to some point, and nothing after it. Callers sync
// every 100 ms and before they acknowledge a write with {j: true} or
// {w: "majority"}, as mongod's journal does by default.
//
// Opening reads the whole log. Where it stops being valid it ends, and is cut
// there, if nothing later was ever synced: each segment's header says how far it
// was. Otherwise the log is damaged, and opening fails without having changed
// anything.
//
// # Space
//
// The oldest segments are reclaimed first: what is still alive in them is
// appended again, and then they go. So a log is always a contiguous run of
// segments, nothing in it refers to what is gone except what is dead, and
// opening takes as long as reading what is alive, its garbage and the oplog.
//
// The package never looks into documents and starts no goroutine.
package disk
