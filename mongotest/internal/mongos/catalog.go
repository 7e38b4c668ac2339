package mongos

import (
	"context"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/oplog"
)

// A Shard is one replica set of the cluster as config.shards lists it.
type Shard struct {
	ID   string
	Host string // rsName/host:port,...
}

// CatalogConfig is what a Catalog is made of.
type CatalogConfig struct {
	Shards    []Shard
	Version   string       // the server version simulated; empty means 8.0.4
	Clock     *oplog.Clock // the config server's clock
	Transport Transport    // only the id ConfigShard is used
}

// A Catalog is the sharding catalog of one cluster, shared by its routers: who
// owns what. Every change is first written to the config server node as a
// document of config.*, then takes effect for the routers.
type Catalog struct {
	cfg       CatalogConfig
	clusterID bson.ObjectID
	locks     *nsLocks

	mu          sync.RWMutex
	databases   map[string]*database
	collections map[string]*table
}

// NewCatalog returns the catalog of a cluster that holds no data yet. It does
// no I/O: call Init before a router serves.
func NewCatalog(cfg CatalogConfig) *Catalog {
	return &Catalog{
		cfg: cfg, clusterID: bson.NewObjectID(), locks: newNSLocks(),
		databases: map[string]*database{}, collections: map[string]*table{},
	}
}

// Init writes the documents every cluster starts with: its shards, its version
// and its settings. It may be repeated.
func (c *Catalog) Init(_ context.Context) error { return nil }

type (
	database struct{}
	table    struct{}
)
