package mongos

import (
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Part is what one shard knows of the cluster. Unlike a router it is never
// wrong: whoever changes where documents are has the collection to himself, and
// no statement of a router is at a shard then.
type Part struct {
	catalog *Catalog
	shard   string
}

// Part returns the knowledge of a shard.
func (c *Catalog) Part(shard string) *Part { return &Part{catalog: c, shard: shard} }

// Owns implements mongod.Sharding.
func (p *Part) Owns(ns string, uuid value.UUID, doc bson.Raw) bool {
	c := p.catalog
	db, coll, _ := splitNS(ns)
	if t := c.table(ns); t != nil {
		pos, err := t.key.position(doc)
		return err == nil && t.uuid == uuid && t.shardAt(pos) == p.shard && c.moves.still(ns, pos)
	}
	primary, ok := c.primary(db)
	return !ok || primary == p.shard && !strings.HasPrefix(coll, reshardingPrefix) && c.moves.still(ns, nil)
}

// Admit implements mongod.Sharding, as the server's
// CollectionShardingRuntime and DatabaseShardingState do.
func (p *Part) Admit(at *command.Placement, read bson.Timestamp) (func(bson.Raw) bool, error) {
	t, d, gone := p.catalog.placed(at.NS)
	if t == nil {
		if !at.Timestamp.IsZero() {
			return nil, p.stale(at, nil, "timestamp mismatch detected for %s", at.NS)
		}
		return nil, p.admitUnsharded(at, d, later(read, at.Since), gone)
	}
	if err := p.checkVersion(at, t); err != nil {
		return nil, err
	}
	if since := later(read, at.Since); !since.IsZero() && since.Before(t.timestamp) {
		return nil, changed(mongoerr.SnapshotUnavailable, "Collection", at.NS, t.timestamp, since)
	}
	if !at.Since.IsZero() && at.Since.Before(t.came(p.shard)) {
		return nil, changed(mongoerr.MigrationConflict, "Collection", at.NS, t.came(p.shard), at.Since)
	}
	if t.unsplittable {
		return nil, nil
	}
	t, err := t.at(read)
	if err != nil {
		return nil, err
	}
	return t.owned(p.shard), nil
}

// checkVersion holds a router's version of a sharded collection on the shard
// against the shard's own.
func (p *Part) checkVersion(at *command.Placement, t *table) error {
	wanted := t.shardVersion(p.shard)
	switch {
	case at.Ignored:
		return nil
	case at.Timestamp != t.timestamp || at.Epoch != t.epoch:
		return p.stale(at, t, "timestamp mismatch detected for %s", at.NS)
	case wanted.IsZero() && !at.Version.IsZero():
		return p.stale(at, t, "this shard no longer contains chunks for %s, the collection may have been dropped", at.NS)
	case !wanted.IsZero() && at.Version.IsZero():
		return p.stale(at, t, "this shard contains chunks for %s, but the client expects unsharded collection", at.NS)
	case wanted.T != at.Version.T:
		return p.stale(at, t, "placement version mismatch detected for %s", at.NS)
	}
	return nil
}

// admitUnsharded does so for what belongs to the primary shard of its database.
func (p *Part) admitUnsharded(at *command.Placement, d *database, since, gone bson.Timestamp) error {
	var have command.DatabaseVersion
	if d != nil {
		have = d.version()
	}
	if at.DB != have && !at.Ignored {
		db, _, _ := strings.Cut(at.NS, ".")
		err := mongoerr.New(mongoerr.StaleDbVersion, "Version mismatch for database %s", db).
			WithInfo("db", db).WithInfo("vReceived", versionDoc(at.DB))
		if d != nil {
			err = err.WithInfo("vWanted", versionDoc(have))
		}
		return err
	}
	switch {
	case since.IsZero():
		return nil
	case since.Before(gone):
		return changed(mongoerr.SnapshotUnavailable, "Collection", at.NS, gone, since)
	case since.Before(have.Timestamp):
		db, _, _ := strings.Cut(at.NS, ".")
		return changed(mongoerr.MigrationConflict, "Database", db, have.Timestamp, since)
	}
	return nil
}

func (p *Part) stale(at *command.Placement, t *table, format, ns string) error {
	err := mongoerr.New(mongoerr.StaleConfig, format, ns).
		WithInfo("ns", at.NS).WithInfo("vReceived", shardVersionDoc(at.Epoch, at.Timestamp, at.Version))
	wanted := shardVersionDoc(bson.ObjectID{}, bson.Timestamp{}, bson.Timestamp{})
	if t != nil {
		wanted = shardVersionDoc(t.epoch, t.timestamp, t.shardVersion(p.shard))
	}
	return err.WithInfo("vWanted", wanted).WithInfo("shardId", p.shard)
}

func shardVersionDoc(epoch bson.ObjectID, timestamp, version bson.Timestamp) bson.D {
	return bson.D{{"e", epoch}, {"t", timestamp}, {"v", version}}
}

func versionDoc(v command.DatabaseVersion) bson.D {
	return bson.D{{"uuid", v.UUID.Binary()}, {"timestamp", v.Timestamp}, {"lastMod", v.LastMod}}
}

// changed refuses to read something as of a time before it changed.
func changed(code mongoerr.Code, what, name string, at, wanted bson.Timestamp) error {
	return mongoerr.New(code, "%s %s has undergone a catalog change operation at time %s and no longer satisfies the "+
		"requirements for the current transaction which requires %s. Transaction will be aborted.", what, name, timestampText(at), timestampText(wanted))
}

func later(a, b bson.Timestamp) bson.Timestamp {
	if b.After(a) {
		return b
	}
	return a
}

// timestampText is a timestamp as the server's messages show it.
func timestampText(ts bson.Timestamp) string { return fmt.Sprintf("Timestamp(%d, %d)", ts.T, ts.I) }

// placed returns the truth about a namespace: its routing if it is sharded, its
// database, and when it was sharded last if it is no more.
func (c *Catalog) placed(ns string) (*table, *database, bson.Timestamp) {
	db, _, _ := strings.Cut(ns, ".")
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.collections[ns], c.databases[db], c.gone[ns]
}

// version is the database's as commands carry it.
func (d *database) version() command.DatabaseVersion {
	return command.DatabaseVersion{UUID: d.uuid, Timestamp: d.timestamp, LastMod: 1 + d.moves}
}

// Arrived implements mongod.Sharding.
func (p *Part) Arrived(ns string) bson.Timestamp {
	t, d, _ := p.catalog.placed(ns)
	switch {
	case t != nil:
		return t.came(p.shard)
	case d != nil:
		return d.timestamp
	}
	return bson.Timestamp{}
}

// Version implements mongod.Sharding.
func (p *Part) Version(ns string) bson.Raw {
	global := bson.Timestamp{}
	if t := p.catalog.table(ns); t != nil {
		global = t.shardVersion(p.shard)
	}
	return rawDoc(bson.D{{"inShardedMode", true}, {"mine", bson.Timestamp{}}, {"global", global}})
}

// DatabaseVersion implements mongod.Sharding.
func (p *Part) DatabaseVersion(db string) bson.Raw {
	version := bson.D{}
	if d := p.catalog.database(db); d != nil && d.primary == p.shard {
		version = versionDoc(d.version())
	}
	return rawDoc(bson.D{{"dbVersion", version}})
}

// Deletions implements mongod.Sharding.
func (p *Part) Deletions(ns string) []<-chan struct{} {
	t := p.catalog.table(ns)
	if t == nil {
		return nil
	}
	return p.catalog.cursors.deletions(t.uuid, p.shard)
}
