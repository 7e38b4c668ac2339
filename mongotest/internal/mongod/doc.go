// Package mongod is one simulated replica-set member: it answers commands over
// a storage engine and an oplog as a mongod does. It owns the command table,
// planning, cursors, sessions, retryable writes and transactions, read and
// write concern, the write block, and the background work of a primary (no-op
// writer, TTL monitor, expiry of cursors and sessions).
//
// It never opens a socket and knows nothing of chunks: a mongos of the same
// cluster says with each request which documents this shard owns.
package mongod
