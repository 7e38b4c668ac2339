package shardworker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
)

// Assignments gives a worker what the coordinator wants of it. Watch is called
// by one goroutine of the worker, again after each change.
type Assignments interface {
	// Watch returns the latest value and a channel that is closed when there is
	// a newer one. It does not block.
	Watch() (shardferry.Assignment, <-chan struct{})
}

// A Reporter records what a worker says about its shard. It is called by one
// goroutine at a time; a report may be sent again. ErrStaleEpoch stops the
// worker; after any other error the next report is sent as if this one were
// lost.
type Reporter interface {
	Report(ctx context.Context, r shardferry.Report) error
}

// Config holds what a Worker needs. Zero durations and counts mean the default.
type Config struct {
	Shard       shardferry.ShardID
	Source      *mongo.Client
	Destination *mongo.Client
	Sharded     bool // the source is a sharded cluster: streams go through $_passthroughToShard

	Assignments Assignments
	Reporter    Reporter
	// SessionsStarted records the ids of the sessions whose writes may still
	// land after this worker is gone. It is called once, before the first write;
	// an error stops the worker.
	SessionsStarted func(ctx context.Context, ids []bson.Raw) error
	Logger          *slog.Logger
	// Filters choose the documents of source collections that are moved, by name;
	// of others all are. No collection gets or loses a name in it.
	Filters map[shardferry.Namespace]bson.Raw

	Lanes      int // appliers of events; default 8
	Copiers    int // copy tasks at a time; default 4
	BatchDocs  int // documents of a copy batch; default 1000
	BatchBytes int // aim for the size of a copy batch; default 2 MiB

	// Memory is how many bytes of documents the worker may hold: those that were
	// read and are not written yet, and the commands with them. Default 128 MiB, at
	// least 32 MiB. A single document or reply of any size is let through.
	Memory int64

	Times
}

// Times are how long things may take. Zero means the default.
type Times struct {
	WriteTimeout   time.Duration // limit of one write on the server and here; default 10 s
	ReportInterval time.Duration // longest pause between reports; default 1 s
	Lease          time.Duration // writing stops this long after the last report that was taken; default 10 s
	GiveUpAfter    time.Duration // what has not got through for so long ends the worker; default 30 min
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Shard == "":
		return c, errors.New("shardworker: Shard is required")
	case c.Source == nil || c.Destination == nil:
		return c, errors.New("shardworker: Source and Destination are required")
	case c.Assignments == nil || c.Reporter == nil:
		return c, errors.New("shardworker: Assignments and Reporter are required")
	}
	setDefault(&c.Lanes, 8)
	setDefault(&c.Copiers, 4)
	setDefault(&c.BatchDocs, 1000)
	setDefault(&c.BatchBytes, 2<<20)
	if c.Memory <= 0 {
		c.Memory = 128 << 20
	}
	setDefault(&c.WriteTimeout, 10*time.Second)
	setDefault(&c.ReportInterval, time.Second)
	setDefault(&c.Lease, 10*time.Second)
	setDefault(&c.GiveUpAfter, 30*time.Minute)
	if c.SessionsStarted == nil {
		c.SessionsStarted = func(context.Context, []bson.Raw) error { return nil }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = c.Logger.With("shard", string(c.Shard))
	return c, nil
}

func setDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}
