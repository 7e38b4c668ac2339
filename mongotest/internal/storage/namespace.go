package storage

import (
	"strings"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
)

const (
	maxNamespace = 255 // bytes
	maxDatabase  = 63  // bytes
	viewsName    = "system.views"
)

// checkNamespace refuses names that no collection may have.
func checkNamespace(ns string) error {
	db, coll := oplog.SplitNS(ns)
	switch {
	case db == "" || len(db) > maxDatabase || strings.ContainsAny(db, "/\\. \"$\x00"):
		return mongoerr.New(mongoerr.InvalidNamespace, "Invalid namespace specified '%s'", ns)
	case coll == "" || coll[0] == '.' || strings.ContainsAny(coll, "$\x00"):
		return mongoerr.New(mongoerr.InvalidNamespace, "Invalid collection name: %s", coll)
	case len(ns) > maxNamespace:
		return mongoerr.New(mongoerr.InvalidNamespace,
			"Fully qualified namespace is too long. Namespace: %s Max: %d", ns, maxNamespace)
	}
	return nil
}

// checkNew refuses to create ns if it exists, or a database that exists in
// another case.
func (tx *Tx) checkNew(ns string) error {
	if err := checkNamespace(ns); err != nil {
		return err
	}
	if tx.cat.get(ns) != nil {
		return mongoerr.New(mongoerr.NamespaceExists, "Collection %s already exists.", ns)
	}
	if tx.txn != nil && tx.e.cat.get(ns) != nil || !tx.e.locks.free(nameLock(ns), tx.txn) {
		return tx.conflict()
	}
	db, _ := oplog.SplitNS(ns)
	for _, have := range tx.Databases() {
		if have != db && strings.EqualFold(have, db) {
			return mongoerr.New(mongoerr.DatabaseDifferCase,
				"db already exists with different case already have: [%s] trying to create [%s]", have, db)
		}
	}
	return nil
}
