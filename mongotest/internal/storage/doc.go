// Package storage is the data of one replica set: the catalog of databases,
// collections and views, their documents and indexes, and the transactions
// over them.
//
// It owns every rule that decides whether a write is possible (uniqueness,
// capped size, index keys, write conflicts) and what the oplog says about it:
// whoever changes data changes it here, and the oplog entries are appended
// before anybody else can see the change. It never parses a command, plans a
// query or knows about sessions; package mongod does.
//
// Documents are immutable byte slices and alias what the caller handed in.
package storage
