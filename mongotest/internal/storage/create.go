package storage

import (
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A CollectionSpec describes a collection or view to create.
type CollectionSpec struct {
	// Options are those of the create command, viewOn and pipeline of a view
	// included, without "create" itself and the generic arguments. nil is none.
	Options bson.Raw
	// UUID is the collection's; zero means a new one. Views have none.
	UUID value.UUID
	// RoundSize rounds a capped collection's size up to a multiple of 256
	// bytes, as servers before 6.1 do.
	RoundSize bool
	// MetaIndex gives a time-series collection an index on metadata and time,
	// as servers do since 6.3.
	MetaIndex bool
}

// Create makes a collection or view. Inside a transaction it makes collections
// only. Errors: NamespaceExists, InvalidNamespace, DatabaseDifferCase, errors
// of the options; WriteConflict if a transaction is creating it.
func (tx *Tx) Create(ns string, spec CollectionSpec, m Meta) (*Collection, error) {
	if !tx.writable {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "cannot create %s in a read-only view of the data", ns)
	}
	opts, shown, err := parseOptions(ns, spec.Options, spec.RoundSize)
	if err != nil {
		return nil, err
	}
	if err := tx.checkNew(ns); err != nil {
		return nil, err
	}
	if opts.series == nil && isBuckets(ns) {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "Creation of a timeseries bucket collection without timeseries options is not allowed")
	}
	if opts.series != nil && !isBuckets(ns) {
		return tx.createTimeseries(ns, spec, opts, shown, m)
	}
	c := &Collection{nextID: new(atomic.Int64), ident: tx.e.journal.Load().newIdent()}
	c.entry = entry{NS: ns, Options: shown, opts: opts, schema: tx.e.seq}
	if c.IsView() {
		return c, tx.createView(c, m)
	}
	c.UUID = spec.UUID
	if c.UUID.IsZero() {
		c.UUID = value.NewUUID()
	} else if have := tx.CollectionByUUID(c.UUID); have != nil {
		return nil, mongoerr.New(mongoerr.NamespaceExists, "UUID %s already belongs to collection %s", c.UUID, have.NS)
	}
	c.indexes = []*Index{idIndex(opts.clusteredIndex, opts.coll)}
	tx.put(c)
	if t := tx.txn; t != nil {
		tx.e.locks.take(nameLock(ns), t)
		t.created[c.UUID] = true
		tx.onUndo(func() { delete(t.created, c.UUID) })
	}
	tx.stageCommand(c, createOp(c), nil, m)
	return c, nil
}

// createOp returns the o of a create entry.
func createOp(c *Collection) bson.Raw {
	dst := value.Append(make([]byte, 4, len(c.Options)+96), "create", value.String(c.Name()))
	dst = appendDoc(dst, c.Options)
	if !c.Clustered() {
		dst = value.Append(dst, "idIndex", value.Doc(idIndexSpec(c.opts.coll)))
	}
	return finishDoc(dst)
}

// put adds c to the catalog.
func (tx *Tx) put(c *Collection) {
	tx.cat.add(c)
	tx.noteChange(made, c, entry{})
}

// take removes c from the catalog.
func (tx *Tx) take(c *Collection) {
	tx.cat.remove(c)
	tx.noteChange(removed, c, entry{})
}

// SetShardKey tells a collection its shard key (nil: not sharded any more),
// from which documentKeys are made. It is metadata of the sharded cluster and
// not logged.
func (tx *Tx) SetShardKey(c *Collection, pattern bson.Raw) error {
	if err := tx.mayAlter(c, "shardCollection"); err != nil {
		return err
	}
	tx.saveEntry(c)
	c.ShardKey = pattern
	return nil
}
