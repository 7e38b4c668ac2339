package mongos

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/release"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Shard is one replica set of the cluster as config.shards lists it.
type Shard struct {
	ID   string
	Host string // rsName/host:port,...
}

// CatalogConfig is what a Catalog is made of.
type CatalogConfig struct {
	Shards    []Shard
	Version   release.Version // the server version simulated, release.Default by default
	Clock     *oplog.Clock    // the config server's clock
	Transport Transport       // only the id ConfigShard is used
	Spares    int             // so many of Shards, the last ones, wait for addShard

	// Alone are replica sets that were started by themselves and that addShard
	// may take. Enlist tells one of them that it is a shard, or says why it
	// cannot be; it is called each time that the catalog learns of that.
	Alone  []Shard
	Enlist func(s Shard, cluster bson.ObjectID) error

	// ConfigHost is the config server's rsName/host:port, under which it may
	// become a shard.
	ConfigHost string

	// OrphanDelay is how long a range that has moved stays on its old shard: 15
	// minutes if zero, not at all if negative.
	OrphanDelay time.Duration
}

// A Catalog is the sharding catalog of one cluster, shared by its routers: who
// owns what. Every change is first written to the config server node as a
// document of config.*, then takes effect for the routers.
type Catalog struct {
	cfg       CatalogConfig
	clusterID bson.ObjectID
	locks     *nsLocks
	moved     *movedKeys
	cursors   *rangeUse
	moves     *moves
	streams   *streamSet
	balancing *balancing

	mu          sync.RWMutex
	databases   map[string]*database
	collections map[string]*table
	zones       map[string][]string       // shard id to its zones
	ranges      map[string][]zoneRange    // namespace to its zone ranges, ascending
	views       map[string]view           // by namespace
	series      int                       // how many of the collections are buckets of time-series collections
	standing    map[string]membership     // of shards that are leaving or have left
	gone        map[string]bson.Timestamp // by namespace: when it was sharded last
}

// A database is one row of config.databases.
type database struct {
	name      string
	primary   string
	uuid      value.UUID
	timestamp bson.Timestamp
	moves     int32 // how often its primary shard has changed
}

// alone reports whether a shard was started by itself.
func (c *Catalog) alone(s Shard) bool { return slices.Contains(c.cfg.Alone, s) }

// NewCatalog returns the catalog of a cluster that holds no data yet. It does
// no I/O: call Init before a router serves.
func NewCatalog(cfg CatalogConfig) (*Catalog, error) {
	if len(cfg.Shards) <= cfg.Spares || cfg.ConfigHost == "" || cfg.Clock == nil || cfg.Transport == nil {
		return nil, errors.New("mongos: a catalog needs shards, a config server, a clock and a transport")
	}
	cfg.Version = cfg.Version.OrDefault()
	c := &Catalog{
		cfg: cfg, clusterID: bson.NewObjectID(), locks: newNSLocks(), moved: newMovedKeys(), cursors: newRangeUse(), moves: newMoves(), streams: newStreamSet(), balancing: &balancing{},
		databases: map[string]*database{}, collections: map[string]*table{},
		zones: map[string][]string{}, ranges: map[string][]zoneRange{}, views: map[string]view{}, standing: map[string]membership{},
		gone: map[string]bson.Timestamp{},
	}
	c.cfg.Shards = append(slices.Concat(cfg.Shards, cfg.Alone), Shard{ID: ConfigShard, Host: cfg.ConfigHost})
	for _, s := range c.cfg.Shards[len(cfg.Shards)-cfg.Spares:] {
		c.standing[s.ID] = removed
	}
	return c, nil
}

// Init writes the documents every cluster starts with: its shards, its version
// and its settings. It may be repeated.
func (c *Catalog) Init(ctx context.Context) error {
	w := c.writes()
	for _, s := range c.shards() {
		w.put("shards", bson.E{Key: "_id", Value: s.ID}, c.shardDoc(s, nil))
	}
	v := bson.D{{"_id", int32(1)}, {"clusterId", c.clusterID}}
	if !c.cfg.Version.AtLeast(7, 0) {
		v = append(v, bson.E{Key: "minCompatibleVersion", Value: int32(5)}, bson.E{Key: "currentVersion", Value: int32(6)})
	}
	w.put("version", bson.E{Key: "_id", Value: int32(1)}, v)
	w.put("settings", bson.E{Key: "_id", Value: "balancer"}, bson.D{{"_id", "balancer"}, {"mode", "off"}, {"stopped", true}})
	return w.send(ctx)
}

func (c *Catalog) shardDoc(s Shard, zones []string) bson.D {
	d := bson.D{{"_id", s.ID}, {"host", s.Host}, {"state", int32(1)}, {"topologyTime", bson.Timestamp{T: 1, I: 1}}}
	if c.cfg.Version.AtLeast(7, 0) {
		d = append(d, bson.E{Key: "replSetConfigVersion", Value: int64(1)})
	}
	if len(zones) > 0 {
		d = append(d, bson.E{Key: "tags", Value: zones})
	}
	if c.isDraining(s.ID) {
		d = append(d, bson.E{Key: "draining", Value: true})
	}
	return d
}

// shards returns all shards in the order they were added.
func (c *Catalog) shards() []Shard {
	return slices.DeleteFunc(slices.Clone(c.cfg.Shards), func(s Shard) bool { return c.membership(s.ID) >= joining })
}

// streamed returns the shards that change streams read: a joining one too, for
// a stream must not miss its first event.
func (c *Catalog) streamed() []string {
	var ids []string
	for _, s := range c.cfg.Shards {
		if c.membership(s.ID) != removed {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// shardIDs returns the ids of all shards in the order they were added.
func (c *Catalog) shardIDs() []string {
	var ids []string
	for _, s := range c.shards() {
		ids = append(ids, s.ID)
	}
	return ids
}

func (c *Catalog) shard(id string) (Shard, error) {
	for _, s := range c.shards() {
		if s.ID == id || s.Host == id {
			return s, nil
		}
	}
	return Shard{}, mongoerr.New(mongoerr.ShardNotFound, "Shard %s not found", id)
}

// table returns the routing of a sharded collection, nil if ns is not sharded.
func (c *Catalog) table(ns string) *table {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.collections[ns]
}

// tableOf returns the routing of the collection with this UUID, nil if there is
// none.
func (c *Catalog) tableOf(id value.UUID) *table {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, t := range c.collections {
		if t.uuid == id {
			return t
		}
	}
	return nil
}

// primary returns the primary shard of a database.
func (c *Catalog) primary(db string) (string, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	d := c.databases[db]
	if d == nil {
		return "", false
	}
	return d.primary, true
}

// tables returns the sharded collections of a database, all of them for "".
func (c *Catalog) tables(db string) []*table {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var ts []*table
	for ns, t := range c.collections {
		if d, _, _ := strings.Cut(ns, "."); db == "" || d == db {
			ts = append(ts, t)
		}
	}
	slices.SortFunc(ts, func(a, b *table) int { return cmp.Compare(a.ns, b.ns) })
	return ts
}

// ensureDatabase returns the primary shard of db and gives it one if it is new:
// the wanted one, or that with the fewest databases.
func (c *Catalog) ensureDatabase(ctx context.Context, db, wanted string) (string, error) {
	if p, ok := c.primary(db); ok {
		return p, nil
	}
	unlock, err := c.locks.exclusive(ctx, "config.databases")
	if err != nil {
		return "", err
	}
	defer unlock()
	if p, ok := c.primary(db); ok {
		return p, nil
	}
	if wanted == "" {
		wanted = c.emptiest()
	}
	if err := c.checkCase(db); err != nil {
		return "", err
	}
	d := &database{name: db, primary: wanted, uuid: value.NewUUID(), timestamp: c.cfg.Clock.Tick(1)}
	w := c.writes()
	w.put("databases", bson.E{Key: "_id", Value: db}, d.document())
	if err := w.send(ctx); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.databases[db] = d
	return wanted, nil
}

func (c *Catalog) checkCase(db string) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for name := range c.databases {
		if strings.EqualFold(name, db) {
			return mongoerr.New(mongoerr.DatabaseDifferCase, "db already exists with different case already have: [%s] trying to create [%s]", name, db)
		}
	}
	return nil
}

func (c *Catalog) emptiest() string {
	shards := c.takers()
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := map[string]int{}
	for _, d := range c.databases {
		n[d.primary]++
	}
	return slices.MinFunc(shards, func(a, b string) int { return cmp.Compare(n[a], n[b]) })
}

// store makes t the routing of its namespace, having written its collection
// row and the difference between its chunks and those it had before.
func (c *Catalog) store(ctx context.Context, t *table) error {
	t.publish()
	c.cfg.Clock.Advance(later(t.timestamp, t.newest))
	old := c.table(t.ns)
	w := c.writes()
	before := map[bson.ObjectID]bson.Timestamp{}
	if old != nil {
		for i := range old.chunks {
			before[old.chunks[i].id] = old.chunks[i].version
		}
	}
	for i := range t.chunks {
		ch := &t.chunks[i]
		if v, ok := before[ch.id]; !ok || v != ch.version {
			w.put("chunks", bson.E{Key: "_id", Value: ch.id}, c.chunkDoc(t, ch))
		}
		delete(before, ch.id)
	}
	for id := range before {
		w.remove("chunks", bson.D{{"_id", id}}, false)
	}
	w.putCollection(t)
	if err := w.send(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keepTable(t)
	return nil
}

// forget removes a sharded collection, its chunks and its zone ranges.
func (c *Catalog) forget(ctx context.Context, t *table) error {
	w := c.writes()
	w.remove("collections", bson.D{{"_id", t.ns}}, false)
	w.remove("chunks", bson.D{{"uuid", t.uuid.Binary()}}, true)
	w.remove("tags", bson.D{{"ns", t.ns}}, true)
	if err := w.send(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropTable(t.ns)
	delete(c.ranges, t.ns)
	c.noteGone(t.ns, c.cfg.Clock.Tick(1))
	return nil
}

// noteGone remembers for as long as snapshots reach back that a namespace was
// sharded. The caller holds mu.
func (c *Catalog) noteGone(ns string, at bson.Timestamp) {
	maps.DeleteFunc(c.gone, func(_ string, t bson.Timestamp) bool { return t.T+2*uint32(historyWindow/time.Second) < at.T })
	c.gone[ns] = at
}

// rename moves the rows of a sharded collection to another name.
func (c *Catalog) rename(ctx context.Context, t *table, to string) error {
	n := *t
	n.ns, n.epoch, n.timestamp, n.lastmod = to, bson.NewObjectID(), c.cfg.Clock.Tick(1), time.Now()
	n.publish()
	w := c.writes()
	w.remove("collections", bson.D{{"_id", t.ns}}, false)
	w.putCollection(&n)
	w.remove("tags", bson.D{{"ns", t.ns}}, true)
	zones := c.zoneRanges(t.ns)
	for _, z := range zones {
		w.put("tags", bson.E{Key: "_id", Value: z.id}, z.doc(to))
	}
	if err := w.send(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.collections, t.ns)
	delete(c.ranges, t.ns)
	c.collections[to] = &n
	c.noteGone(t.ns, n.timestamp)
	if len(zones) > 0 {
		c.ranges[to] = zones
	}
	return nil
}

// forgetDatabase removes the row of a database.
func (c *Catalog) forgetDatabase(ctx context.Context, db string) error {
	w := c.writes()
	w.remove("databases", bson.D{{"_id", db}}, false)
	if err := w.send(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.databases, db)
	return nil
}
