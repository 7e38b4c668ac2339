// Package changestream makes change events of oplog entries, for one replica
// set (Stream) and merged over the shards of a cluster (Merge).
//
// It owns resume tokens, the shapes of events, what resuming means, and
// invalidation. It never writes: it reads one oplog and, through Catalog, the
// documents that fullDocument: "updateLookup" asks for.
//
// A stream through a mongos is divided as the server divides it. The shards
// run Streams whose Spec has NeedsMerge: they make the events of their own
// oplog, from the resume token on, including the event the token belongs to.
// The mongos runs a Merge: it orders the events, decides whether the token was
// found (ChangeStreamFatalError 280 if it was not), and runs the user's stages
// and the splitting of large events. A Stream without NeedsMerge does both.
package changestream
