package mongod

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// Config says what a node is. Engine, Log and Clock belong to its replica set
// and are required; everything else has a default.
type Config struct {
	Name    string // its own "host:port"; default "localhost:27017"
	SetName string // default "rs0"
	ShardID string // the shard's _id in config.shards, empty outside sharded clusters
	Version string // the server version it claims, as "8.0.4", which is the default

	ConfigServer bool // member of the config server replica set

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
	if c.Version == "" {
		c.Version = "8.0.4"
	}
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

// version is a parsed server version.
type version [3]int

func parseVersion(s string) version {
	var v version
	for i, part := range strings.SplitN(s, ".", len(v)) {
		n, err := strconv.Atoi(part)
		if err != nil {
			break
		}
		v[i] = n
	}
	return v
}

// fcv is the version's featureCompatibilityVersion, as "8.0".
func (v version) fcv() string { return fmt.Sprintf("%d.%d", v[0], v[1]) }

// wire is the maxWireVersion of the release series (server-facts 7.1).
func (v version) wire() int32 {
	switch {
	case v[0] >= 8:
		return 25 + int32(v[1])
	case v[0] == 7:
		return 21 + int32(v[1])
	default:
		return 17 + int32(v[1])
	}
}
