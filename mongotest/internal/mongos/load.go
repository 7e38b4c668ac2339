package mongos

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Load makes the catalog what the config server and the shards say, in place of
// Init for a cluster that was there before. What the end of the process has
// interrupted is cleared away: half a migration's documents, a resharding's
// temporary collections.
func (c *Catalog) Load(ctx context.Context) error {
	steps := []struct {
		what string
		do   func(context.Context) error
	}{
		{"version", c.loadIdentity}, {"shards", c.loadShards}, {"databases", c.loadDatabases}, {"collections", c.loadTables}, {"tags", c.loadRanges},
	}
	for _, s := range steps {
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("config.%s: %w", s.what, err)
		}
	}
	if err := c.endPrepared(ctx); err != nil {
		return fmt.Errorf("prepared transactions: %w", err)
	}
	for _, s := range c.cfg.Shards {
		if err := c.loadRangeDeletions(ctx, s.ID); err != nil {
			return fmt.Errorf("shard %s: config.rangeDeletions: %w", s.ID, err)
		}
		if err := c.dropResharding(ctx, s.ID); err != nil {
			return fmt.Errorf("shard %s: %w", s.ID, err)
		}
	}
	return nil
}

// ask runs a command of the cluster's own on a shard.
func (c *Catalog) ask(ctx context.Context, shard, db string, cmd bson.D) (bson.Raw, error) {
	resp, err := c.cfg.Transport(ctx, shard, &command.Request{Name: cmd[0].Key, DB: db, Client: internalClient(), Body: rawDoc(cmd), Routed: &command.Routed{FromMigrate: true}})
	if err != nil {
		return nil, err
	}
	if errs := getDocs(resp.Body, "writeErrors"); len(errs) > 0 {
		return nil, writeError(errs[0])
	}
	return resp.Body, nil
}

// read returns all documents of a collection on a shard.
func (c *Catalog) read(ctx context.Context, shard, db, coll string) ([]bson.Raw, error) {
	body, err := c.ask(ctx, shard, db, bson.D{{"find", coll}})
	if err != nil {
		return nil, err
	}
	cursor := getDoc(body, "cursor")
	docs := getDocs(cursor, "firstBatch")
	for id := getInt(cursor, "id", 0); id != 0; id = getInt(cursor, "id", 0) {
		if body, err = c.ask(ctx, shard, db, bson.D{{"getMore", id}, {"collection", coll}}); err != nil {
			return nil, err
		}
		cursor = getDoc(body, "cursor")
		docs = append(docs, getDocs(cursor, "nextBatch")...)
	}
	return docs, nil
}

func (c *Catalog) loadIdentity(ctx context.Context) error {
	docs, err := c.read(ctx, ConfigShard, "config", "version")
	if err != nil {
		return err
	}
	if len(docs) != 1 {
		return fmt.Errorf("%d documents", len(docs))
	}
	c.clusterID, _ = docs[0].Lookup("clusterId").ObjectIDOK()
	return nil
}

// loadShards also writes the shards' addresses anew, which may be others now.
func (c *Catalog) loadShards(ctx context.Context) error {
	docs, err := c.read(ctx, ConfigShard, "config", "shards")
	if err != nil {
		return err
	}
	w := c.writes()
	for _, s := range c.cfg.Shards {
		i := slices.IndexFunc(docs, func(d bson.Raw) bool { return getString(d, "_id") == s.ID })
		if i < 0 {
			c.standing[s.ID] = removed
			continue
		}
		if c.alone(s) {
			if err := c.cfg.Enlist(s, c.clusterID); err != nil {
				return err
			}
		}
		delete(c.standing, s.ID)
		if getBool(docs[i], "draining", false) {
			c.standing[s.ID] = draining
		}
		var zones []string
		tags, _ := value.Get(docs[i], "tags")
		arr, _ := tags.ArrayOK()
		for _, v := range value.Elements(bson.Raw(arr)) {
			zones = append(zones, v.StringValue())
		}
		c.zones[s.ID] = zones
		if getString(docs[i], "host") != s.Host {
			w.put("shards", bson.E{Key: "_id", Value: s.ID}, bson.D{{"$set", bson.D{{"host", s.Host}}}})
		}
	}
	return w.send(ctx)
}

// loadDatabases reads the databases, and the views of each from its primary
// shard.
func (c *Catalog) loadDatabases(ctx context.Context) error {
	docs, err := c.read(ctx, ConfigShard, "config", "databases")
	if err != nil {
		return err
	}
	for _, doc := range docs {
		version := getDoc(doc, "version")
		d := &database{name: getString(doc, "_id"), primary: getString(doc, "primary"), moves: int32(getInt(version, "lastMod", 1)) - 1}
		id, _ := value.Get(version, "uuid")
		d.uuid, _ = value.ParseUUID(id)
		d.timestamp = getTime(version, "timestamp")
		c.databases[d.name] = d
		if err := c.readViews(ctx, d, c.views); err != nil {
			return err
		}
	}
	return nil
}

// readViews reads the views of a database from its primary shard.
func (c *Catalog) readViews(ctx context.Context, d *database, into map[string]view) error {
	views, err := c.read(ctx, d.primary, d.name, "system.views")
	for _, v := range views {
		into[getString(v, "_id")] = view{on: d.name + "." + getString(v, "viewOn"), pipeline: getDocs(v, "pipeline")}
	}
	return err
}

func getTime(doc bson.Raw, name string) bson.Timestamp {
	v, _ := value.Get(doc, name)
	t, i, _ := v.TimestampOK()
	return bson.Timestamp{T: t, I: i}
}

func (c *Catalog) loadTables(ctx context.Context) error {
	rows, err := c.read(ctx, ConfigShard, "config", "collections")
	if err != nil {
		return err
	}
	docs, err := c.read(ctx, ConfigShard, "config", "chunks")
	if err != nil {
		return err
	}
	chunks := map[value.UUID][]bson.Raw{}
	for _, d := range docs {
		v, _ := value.Get(d, "uuid")
		if id, ok := value.ParseUUID(v); ok {
			chunks[id] = append(chunks[id], d)
		}
	}
	for _, row := range rows {
		t, err := loadTable(row, chunks)
		if err != nil {
			return fmt.Errorf("%s: %w", getString(row, "_id"), err)
		}
		t.publish()
		c.keepTable(t)
	}
	return nil
}

// loadTable undoes collectionDoc and chunkDoc.
func loadTable(row bson.Raw, chunks map[value.UUID][]bson.Raw) (*table, error) {
	key, err := parseKeyPattern(getDoc(row, "key"))
	if err != nil {
		return nil, err
	}
	t := &table{
		ns: getString(row, "_id"), key: key, unique: getBool(row, "unique", false), timestamp: getTime(row, "timestamp"),
		noMigrations: !getBool(row, "allowMigrations", true), unsplittable: getBool(row, "unsplittable", false),
	}
	if d := getDoc(row, "timeseriesFields"); d != nil {
		series, err := timeseries.Parse(d)
		if err != nil {
			return nil, err
		}
		t.series = &series
	}
	v, _ := value.Get(row, "uuid")
	t.uuid, _ = value.ParseUUID(v)
	t.epoch, _ = row.Lookup("lastmodEpoch").ObjectIDOK()
	if ms, ok := row.Lookup("lastmod").DateTimeOK(); ok {
		t.lastmod = time.UnixMilli(ms)
	}
	for _, d := range chunks[t.uuid] {
		ch, err := loadChunk(key, d)
		if err != nil {
			return nil, err
		}
		t.chunks = append(t.chunks, ch)
	}
	slices.SortFunc(t.chunks, func(a, b chunk) int { return bytes.Compare(a.lo, b.lo) })
	for i := 1; i < len(t.chunks); i++ {
		if !bytes.Equal(t.chunks[i-1].hi, t.chunks[i].lo) {
			return nil, mongoerr.New(mongoerr.InternalError, "chunks do not meet at %s", t.chunks[i].min)
		}
	}
	if len(t.chunks) == 0 {
		return nil, mongoerr.New(mongoerr.InternalError, "no chunks")
	}
	return t, nil
}

func loadChunk(key keyPattern, d bson.Raw) (chunk, error) {
	// Whether it ever moved is not told: there may be orphans of it.
	c := chunk{shard: getString(d, "shard"), version: getTime(d, "lastmod"), jumbo: getBool(d, "jumbo", false), moved: true}
	c.id, _ = d.Lookup("_id").ObjectIDOK()
	var err error
	if c.min, c.lo, err = key.bound(getDoc(d, "min")); err != nil {
		return c, err
	}
	if c.max, c.hi, err = key.bound(getDoc(d, "max")); err != nil {
		return c, err
	}
	for _, h := range getDocs(d, "history") {
		c.history = append(c.history, placement{getTime(h, "validAfter"), getString(h, "shard")})
	}
	if len(c.history) == 0 {
		return c, mongoerr.New(mongoerr.InternalError, "chunk %s has no history", c.id)
	}
	return c, nil
}

func (c *Catalog) loadRanges(ctx context.Context) error {
	docs, err := c.read(ctx, ConfigShard, "config", "tags")
	if err != nil {
		return err
	}
	for _, d := range docs {
		z := zoneRange{min: getDoc(d, "min"), max: getDoc(d, "max"), zone: getString(d, "tag")}
		z.id, _ = d.Lookup("_id").ObjectIDOK()
		ns := getString(d, "ns")
		c.ranges[ns] = append(c.ranges[ns], z)
	}
	for _, r := range c.ranges {
		slices.SortFunc(r, func(a, b zoneRange) int { return value.CompareKeys(a.min, b.min) })
	}
	return nil
}

// loadRangeDeletions takes up the range deletions of a shard. Who owns a range
// decides what becomes of it, for a migration that was interrupted too: on the
// shard that does, its documents stay; on another they go.
func (c *Catalog) loadRangeDeletions(ctx context.Context, shard string) error {
	docs, err := c.read(ctx, shard, "config", "rangeDeletions")
	if err != nil {
		return err
	}
	for _, d := range docs {
		task, owned, err := c.loadRangeTask(shard, d)
		if err != nil {
			return err
		}
		if !owned {
			c.cursors.add(task)
			continue
		}
		id, _ := value.Get(d, "_id")
		if _, err := c.ask(ctx, shard, "config", bson.D{{"delete", "rangeDeletions"}, {"deletes", bson.A{bson.D{{"q", bson.D{{"_id", id}}}, {"limit", int32(1)}}}}}); err != nil {
			return err
		}
	}
	return nil
}

func (c *Catalog) loadRangeTask(shard string, d bson.Raw) (task *rangeTask, owned bool, err error) {
	task = &rangeTask{ns: getString(d, "nss"), shard: shard, gone: make(chan struct{})}
	v, _ := value.Get(d, "_id")
	task.id, _ = value.ParseUUID(v)
	v, _ = value.Get(d, "collectionUuid")
	task.uuid, _ = value.ParseUUID(v)
	if !getBool(d, "pending", false) {
		task.due = time.Unix(int64(getTime(d, "timestamp").T), 0).Add(c.orphanDelay())
	}
	t := c.tableOf(task.uuid)
	if t == nil {
		return task, true, nil // nothing to delete any more
	}
	part := &task.chunk
	part.shard = getString(d, "donorShardId")
	if part.min, part.lo, err = t.key.bound(getDoc(getDoc(d, "range"), "min")); err != nil {
		return nil, false, err
	}
	if part.max, part.hi, err = t.key.bound(getDoc(getDoc(d, "range"), "max")); err != nil {
		return nil, false, err
	}
	return task, t.shardAt(part.lo) == shard, nil
}

// dropResharding drops what a resharding has filled on a shard and not renamed.
func (c *Catalog) dropResharding(ctx context.Context, shard string) error {
	body, err := c.ask(ctx, shard, "admin", bson.D{{"listDatabases", int32(1)}, {"nameOnly", true}})
	if err != nil {
		return err
	}
	for _, d := range getDocs(body, "databases") {
		db := getString(d, "name")
		list, err := c.ask(ctx, shard, db, bson.D{{"listCollections", int32(1)}, {"nameOnly", true}, {"cursor", bson.D{{"batchSize", int32(1 << 30)}}}})
		if err != nil {
			return err
		}
		for _, info := range getDocs(getDoc(list, "cursor"), "firstBatch") {
			name := getString(info, "name")
			if !strings.HasPrefix(name, reshardingPrefix) {
				continue
			}
			if _, err := c.ask(ctx, shard, db, bson.D{{"drop", name}}); err != nil {
				return err
			}
		}
	}
	return nil
}
