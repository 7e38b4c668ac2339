package mongod

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func ddlCommands() map[string]*handler {
	return map[string]*handler{
		"create":                   {runCreate, isWrite | txnOK},
		"drop":                     {runDrop, isWrite},
		"dropDatabase":             {runDropDatabase, isWrite},
		"renameCollection":         {runRename, isWrite},
		"collMod":                  {runCollMod, isWrite},
		"createIndexes":            {runCreateIndexes, isWrite | txnOK},
		"dropIndexes":              {runDropIndexes, isWrite},
		"deleteIndexes":            {runDropIndexes, isWrite},
		"convertToCapped":          {runConvertToCapped, isWrite},
		"cloneCollectionAsCapped":  {runCloneAsCapped, isWrite},
		"applyOps":                 {runApplyOps, isWrite},
		"mapReduce":                {runMapReduce, isWrite},
		"mapreduce":                {runMapReduce, isWrite},
		"shardCollection":          {runShardCollection, isWrite},
		"_shardsvrShardCollection": {runShardCollection, isWrite},
		"listCollections":          {runListCollections, 0},
		"listIndexes":              {runListIndexes, 0},
		"listDatabases":            {runListDatabases, 0},
		"validateDBMetadata":       {runValidateDBMetadata, 0},
	}
}

// ddlMeta is meta for catalog changes: they are no retryable statements.
func (op *operation) ddlMeta() storage.Meta {
	return storage.Meta{Now: op.node.now(), FromMigrate: op.req.Routed != nil && op.req.Routed.FromMigrate}
}

// commandOptions returns the command without its name, generic arguments and
// what is null, which means not given.
func (op *operation) commandOptions() bson.Raw {
	return without(op.req.Body, func(name string) bool { return name == op.req.Name || isGeneric(name) || !op.args().has(name) })
}

func runCreate(ctx context.Context, op *operation) (bson.Raw, error) {
	coll, err := op.collName()
	if err != nil {
		return nil, err
	}
	a := op.args()
	if a.err != nil {
		return nil, a.err
	}
	v := op.node.cfg.Version
	spec := storage.CollectionSpec{Options: op.commandOptions(), RoundSize: !v.AtLeast(6, 1), MetaIndex: v.AtLeast(6, 3)}
	var key bson.Raw
	if r := op.req.Routed; r != nil {
		spec.UUID, key = r.UUID, r.ShardKey
	}
	ns := op.req.DB + "." + coll
	err = op.write(ctx, ns, func(tx *storage.Tx) error {
		c := tx.Collection(ns)
		if err := op.checkDefinition(tx, coll, spec.Options, nil); err != nil {
			return err
		}
		if c != nil && key == nil && c.MadeWith(spec.Options) {
			return nil
		}
		if c == nil || spec.UUID.IsZero() || c.UUID != spec.UUID {
			if c, err = tx.Create(ns, spec, op.ddlMeta()); err != nil {
				return err
			}
		}
		if key != nil {
			return tx.SetShardKey(c, key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return value.D(), nil
}

func runDrop(ctx context.Context, op *operation) (bson.Raw, error) {
	coll, err := op.collName()
	if err != nil {
		return nil, err
	}
	ns := op.req.DB + "." + coll
	reply := emptyDoc()
	err = op.write(ctx, ns, func(tx *storage.Tx) error {
		if err := op.checkUUID(tx, coll); err != nil {
			return err
		}
		c := tx.Collection(ns)
		if c == nil {
			if !op.node.cfg.Version.AtLeast(7, 0) {
				return mongoerr.New(mongoerr.NamespaceNotFound, "ns not found")
			}
			return nil // since 7.0 there is nothing wrong with it
		}
		reply = value.D("nIndexesWas", len(c.Indexes()), "ns", ns)
		if home := tx.Buckets(c); home != nil {
			reply = value.D("nIndexesWas", len(home.Indexes()), "ns", ns)
		} else if c.IsView() {
			reply = value.D("ns", ns)
		}
		if m := op.ddlMeta(); m.FromMigrate {
			return tx.DropAlone(c, m) // what goes with it is elsewhere
		}
		return tx.Drop(c, op.ddlMeta())
	})
	return reply, err
}

func runDropDatabase(ctx context.Context, op *operation) (bson.Raw, error) {
	db := op.req.DB
	if isInternalDB(db) {
		return nil, mongoerr.New(mongoerr.IllegalOperation, "Dropping the '%s' database is prohibited.", db)
	}
	err := op.write(ctx, db+".$cmd", func(tx *storage.Tx) error { return tx.DropDatabase(db, op.ddlMeta()) })
	return emptyDoc(), err
}

func runRename(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	from, to := a.string("renameCollection"), a.string("to")
	drop := a.lookup("dropTarget")
	if a.err != nil {
		return nil, a.err
	}
	if op.req.DB != "admin" {
		return nil, mongoerr.New(mongoerr.Unauthorized, "renameCollection may only be run against the admin database.")
	}
	fromDB, fromColl := oplog.SplitNS(from)
	toDB, toColl := oplog.SplitNS(to)
	for _, err := range []error{op.mayRename(from), op.mayRename(to), checkNS(fromDB, fromColl), checkNS(toDB, toColl), op.checkWritable(to)} {
		if err != nil {
			return nil, err
		}
	}
	if drop.Type == bson.TypeBinary && fromDB != toDB {
		return nil, mongoerr.New(mongoerr.InvalidOptions, "dropTarget with a UUID is not allowed between databases")
	}
	err := op.write(ctx, from, func(tx *storage.Tx) error {
		if err := op.checkThisUUID(tx, op.args().lookup("collectionUUID"), fromDB, fromColl); err != nil {
			return err
		}
		if drop.Type == bson.TypeBinary {
			if err := op.checkThisUUID(tx, drop, toDB, toColl); err != nil {
				return err
			}
		}
		return tx.Rename(from, to, value.Truthy(drop), op.ddlMeta())
	})
	if err != nil {
		return nil, err
	}
	return value.D(), nil
}

// mayRename refuses names that a collection cannot lose or be given: the
// server's own, and those that are none. A router may.
func (op *operation) mayRename(ns string) error {
	_, coll := oplog.SplitNS(ns)
	switch {
	case op.req.Routed != nil:
		return nil
	case strings.HasPrefix(coll, "system."), strings.HasPrefix(ns, "local.oplog."), strings.Contains(ns, "$"), len(ns) > 255:
		return mongoerr.New(mongoerr.IllegalOperation, "renaming system collections or to and from invalid names is not allowed: %s", ns)
	default:
		return nil
	}
}

// runShardCollection is what a mongos asks of the database's primary shard
// when it shards a collection: to know the key, and to log the no-op entry
// that change streams show as shardCollection.
func runShardCollection(ctx context.Context, op *operation) (bson.Raw, error) {
	if op.req.Routed == nil || op.req.Routed.ShardKey == nil {
		return nil, mongoerr.New(mongoerr.CommandNotFound, "no such command: '%s'", op.req.Name)
	}
	key := op.req.Routed.ShardKey
	ns := op.args().string(op.req.Name)
	err := op.write(ctx, ns, func(tx *storage.Tx) error {
		c := tx.Collection(ns)
		if c == nil {
			return mongoerr.New(mongoerr.NamespaceNotFound, "ns does not exist: %s", ns)
		}
		if c.ShardKey != nil && value.CompareDocs(c.ShardKey, key) == 0 {
			return nil
		}
		id := c.UUID
		if err := tx.SetShardKey(c, key); err != nil {
			return err
		}
		if op.req.Routed.FromMigrate {
			return nil
		}
		op.line.log.Append(&oplog.Entry{
			Op: oplog.Noop, NS: ns, UUID: id,
			O:  value.D("msg", value.D("shardCollection", ns)),
			O2: op.shardCollectionEvent(ns, key),
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return value.D("collectionsharded", ns), nil
}

// shardCollectionEvent is the o2 of shardCollection's entry.
func (op *operation) shardCollectionEvent(ns string, key bson.Raw) bson.Raw {
	a := op.args()
	pairs := []any{"shardCollection", ns, "shardKey", key, "unique", a.bool("unique", false)}
	if a.has("numInitialChunks") {
		pairs = append(pairs, "numInitialChunks", a.int64("numInitialChunks", 0))
	}
	return value.D(append(pairs, "presplitHashedZones", a.bool("presplitHashedZones", false))...)
}
