package mongod

import (
	"context"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// housekeepingCommands look after a server's files, connections and
// certificates. Of these there are few here, so that most have little to do.
func housekeepingCommands() map[string]*handler {
	return map[string]*handler{
		"fsync":                           {runFsync, 0},
		"fsyncUnlock":                     {runFsyncUnlock, 0},
		"autoCompact":                     {runNothing, 0},
		"dropConnections":                 {runNothing, 0},
		"rotateCertificates":              {runNothing, 0},
		"setIndexCommitQuorum":            {runSetIndexCommitQuorum, 0},
		"reIndex":                         {runReIndex, 0},
		"lockInfo":                        {runLockInfo, 0},
		"connPoolStats":                   {runConnPoolStats, 0},
		"compactStructuredEncryptionData": {runCompactEncryption, 0},
		"dataSize":                        {runDataSize, isRead},
		"datasize":                        {runDataSize, isRead},
		"setDefaultRWConcern":             {runSetDefaultRWConcern, isWrite},
		"getClusterParameter":             {runGetClusterParameter, 0},
		"setClusterParameter":             {runSetClusterParameter, 0},
	}
}

// runSetIndexCommitQuorum finds no index build: they end with the command that
// asks for them.
func runSetIndexCommitQuorum(_ context.Context, op *operation) (bson.Raw, error) {
	coll, err := op.collName()
	if err != nil {
		return nil, err
	}
	return nil, mongoerr.New(mongoerr.IndexNotFound, "Cannot find an index build on collection '%s.%s' with the provided index names", op.req.DB, coll)
}

// runReIndex refuses, as every server does that is no standalone.
func runReIndex(context.Context, *operation) (bson.Raw, error) {
	return nil, mongoerr.New(mongoerr.IllegalOperation, "reIndex is only allowed on a standalone mongod instance. Cannot reIndex on replica sets or sharded clusters.")
}

// runLockInfo lists no locks: nothing holds one between two operations.
func runLockInfo(context.Context, *operation) (bson.Raw, error) {
	return value.D("lockInfo", value.A()), nil
}

// runConnPoolStats tells of no connections: members share their storage instead
// of talking to each other.
func runConnPoolStats(_ context.Context, op *operation) (bson.Raw, error) {
	set := op.node.set
	var hosts []bson.Raw
	for _, h := range set.hosts() {
		hosts = append(hosts, value.D("addr", h, "ok", true, "ismaster", h == op.node.cfg.Name, "hidden", false, "secondary", h != op.node.cfg.Name, "pingTimeMillis", 0))
	}
	return value.D(
		"numClientConnections", 0, "numAScopedConnections", 0, "totalInUse", 0, "totalAvailable", 0, "totalLeased", 0, "totalCreated", 0,
		"totalRefreshing", 0, "totalRefreshed", 0, "totalWasNeverUsed", 0, "replicaSetMatchingStrategy", "matchPrimaryNode",
		"pools", emptyDoc(), "hosts", emptyDoc(), "replicaSets", value.D(set.cfg.SetName, value.D("hosts", hosts)),
	), nil
}

// dataSizeArgs are what dataSize is asked: the whole collection, or a range of
// the keys of an index.
type dataSizeArgs struct {
	ns       string
	key      bson.Raw
	min, max bson.Raw
	estimate bool
}

func runDataSize(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	d := dataSizeArgs{ns: a.string(op.req.Name), key: nonEmpty(a.doc("keyPattern")), min: nonEmpty(a.doc("min")), max: nonEmpty(a.doc("max")), estimate: a.bool("estimate", false)}
	if a.err != nil {
		return nil, a.err
	}
	started := time.Now()
	if (d.min == nil) != (d.max == nil) {
		return nil, mongoerr.New(mongoerr.BadValue, "only one of min or max specified")
	}
	if db, coll, ok := strings.Cut(d.ns, "."); !ok || db == "" || coll == "" {
		return nil, mongoerr.New(mongoerr.InvalidNamespace, "Invalid namespace specified '%s'", d.ns)
	}
	var size, n int64
	err := op.view(func(tx *storage.Tx) error {
		c := tx.Collection(d.ns)
		switch {
		case c == nil:
			return nil
		case c.IsView():
			return viewError(c)
		case d.min == nil:
			size, n = c.Size(), c.Count()
			return nil
		}
		if len(c.IndexesByKey(d.pattern())) == 0 {
			return mongoerr.New(mongoerr.OperationFailed, "couldn't find valid index containing key pattern")
		}
		if value.CompareDocs(d.min, d.max) >= 0 {
			return nil
		}
		recs, err := matching(ctx, tx, c, wanted{min: d.min, max: d.max, hint: value.Doc(d.pattern())}, op.owned, 0)
		for _, r := range recs {
			size += int64(len(r.Doc))
			n++
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if d.estimate && n > 0 {
		size = size / n * n // the average times the number
	}
	return value.D("estimate", d.estimate, "size", size, "numObjects", n, "millis", value.Integer(time.Since(started).Milliseconds())), nil
}

// pattern is the index to look at, by default the one with the fields of min.
func (d dataSizeArgs) pattern() bson.Raw {
	if d.key != nil {
		return d.key
	}
	var pairs []any
	for name := range value.Elements(d.min) {
		pairs = append(pairs, name, int32(1))
	}
	return value.D(pairs...)
}

// runCompactEncryption finds nothing to compact: the collections beside an
// encrypted one are not kept.
func runCompactEncryption(_ context.Context, op *operation) (bson.Raw, error) {
	coll, err := op.collName()
	if err != nil {
		return nil, err
	}
	ns, tokens := op.req.DB+"."+coll, op.args().doc("compactionTokens")
	err = op.view(func(tx *storage.Tx) error {
		c := tx.Collection(ns)
		switch {
		case c == nil:
			return mongoerr.New(mongoerr.NamespaceNotFound, "Collection '%s' does not exist", ns)
		case c.IsView():
			return viewError(c)
		}
		encrypted, ok := c.Options.Lookup("encryptedFields").DocumentOK()
		if !ok {
			return mongoerr.New(6346807, "Target namespace is not an encrypted collection")
		}
		for _, f := range value.Elements(encrypted.Lookup("fields").Value) {
			path, _ := f.Document().Lookup("path").StringValueOK()
			if tokens.Lookup(path).Type == 0 {
				return mongoerr.New(7294900, "Compaction tokens object is missing compaction token for the encrypted path '%s'", path)
			}
		}
		return nil
	})
	zero := int64(0)
	return value.D("stats", value.D("ecoc", value.D("read", zero, "deleted", zero),
		"esc", value.D("read", zero, "inserted", zero, "updated", zero, "deleted", zero))), err
}
