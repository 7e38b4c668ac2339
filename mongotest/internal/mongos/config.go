package mongos

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/failpoint"
	"github.com/shardferry/shardferry/mongotest/internal/oplog"
	"github.com/shardferry/shardferry/mongotest/internal/release"
)

// ConfigShard is the id under which Transport reaches the config server node.
// It is also the id of a shard when the config servers hold user data.
const ConfigShard = "config"

// A Transport carries a command to a shard, or to the config server under the
// id ConfigShard. It may delay or lose it; a lost one is an error with the
// code HostUnreachable or NetworkTimeout. It is called from many goroutines.
type Transport func(ctx context.Context, shardID string, req *command.Request) (*command.Response, error)

// Config is what a Router is made of.
type Config struct {
	Name       string          // host:port as clients reach this mongos
	Version    release.Version // the server version simulated, release.Default by default
	Catalog    *Catalog
	Clock      *oplog.Clock // this mongos's view of the cluster time
	Transport  Transport
	Logger     *slog.Logger  // nil discards
	CursorIdle time.Duration // a cursor unused for so long is closed; 0 means the server's 10 minutes
}

// NewRouter returns a mongos. It does no I/O; Run serves its timeouts.
func NewRouter(cfg Config) (*Router, error) {
	if cfg.Catalog == nil || cfg.Clock == nil || cfg.Transport == nil {
		return nil, errors.New("mongos: catalog, clock and transport are needed")
	}
	cfg.Version = cfg.Version.OrDefault()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.CursorIdle == 0 {
		cfg.CursorIdle = 10 * time.Minute
	}
	r := &Router{
		cfg:      cfg,
		catalog:  cfg.Catalog,
		known:    newKnowledge(cfg.Catalog, cfg.Clock),
		started:  time.Now(),
		cursors:  newCursorTable(),
		sessions: newSessionTable(),
		commits:  &commitQueue{},
		commands: commandTable(cfg.Version),
		points:   failpoint.NewSet(),
	}
	r.newProcess()
	return r, nil
}

// newProcess gives the router an identity that it has not had.
func (r *Router) newProcess() {
	id := bson.NewObjectID()
	r.processID.Store(&id)
}
