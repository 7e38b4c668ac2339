// Package oplog holds one replica set's operation log and its logical clock.
//
// It owns the order of changes: every entry gets its timestamp here, under one
// lock, in the order of the Append calls. It never looks at the data itself;
// whoever changes data calls Append while holding the lock of that data, so
// that log order is change order.
package oplog
