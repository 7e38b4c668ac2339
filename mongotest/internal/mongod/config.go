package mongod

import (
	"log/slog"
	"time"

	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/release"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// Config says what a node is. Engine, Log and Clock belong to its replica set
// and are required; everything else has a default.
type Config struct {
	Name    string          // its own "host:port"; default "localhost:27017"
	SetName string          // default "rs0"
	ShardID string          // the shard's _id in config.shards, empty outside sharded clusters
	Version release.Version // the server version it claims, release.Default by default

	ConfigServer bool // member of the config server replica set
	ShardServer  bool // started with --shardsvr: it may become a shard

	Engine *storage.Engine
	Log    *oplog.Log
	Clock  *oplog.Clock

	// NoopInterval is periodicNoopIntervalSecs, 10 s by default; negative
	// turns the no-op writer off.
	NoopInterval time.Duration
	// TTLInterval is ttlMonitorSleepSecs, 60 s by default; negative turns the
	// TTL monitor off.
	TTLInterval time.Duration

	// ElectionTimeout is how long the members of a set of several wait for a lost
	// primary, 10 s by default.
	ElectionTimeout time.Duration

	FailPoints *failpoint.Set // of the process; default: all off

	Logger *slog.Logger // default: discards
}

// withDefaults returns c with its zero fields filled in.
func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = "localhost:27017"
	}
	if c.SetName == "" {
		c.SetName = "rs0"
	}
	c.Version = c.Version.OrDefault()
	if c.NoopInterval == 0 {
		c.NoopInterval = 10 * time.Second
	}
	if c.TTLInterval == 0 {
		c.TTLInterval = time.Minute
	}
	if c.ElectionTimeout == 0 {
		c.ElectionTimeout = 10 * time.Second
	}
	if c.FailPoints == nil {
		c.FailPoints = failpoint.NewSet()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
