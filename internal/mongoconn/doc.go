// Package mongoconn connects to a MongoDB cluster, classifies its errors, and
// wraps the few administrative commands that more than one package needs:
// oplog notes, cluster times and the user write block.
//
// Every decision about whether an error may be retried is made here, by code or
// label, never by text.
package mongoconn
