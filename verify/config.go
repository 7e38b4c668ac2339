package verify

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
)

// Pair is a collection or view of the source and its counterpart.
type Pair struct {
	Source      shardferry.Namespace
	Destination shardferry.Namespace

	Filter bson.Raw // of the source only documents that match it count; nil: all
}

// Config says what to compare. Zero numbers mean the default.
type Config struct {
	Source      *mongo.Client
	Destination *mongo.Client
	Pairs       []Pair
	Views       []Pair

	// SourceAfter and DestinationAfter are cluster times, one of each cluster,
	// that reads must not be older than; zero: no demand.
	SourceAfter      shardferry.ClusterTime
	DestinationAfter shardferry.ClusterTime

	// Relaxed accepts the form that indexes and capped collections have on the
	// destination until the commit.
	Relaxed bool

	// Unsharded accepts that shard keys are missing, because one side is a
	// replica set.
	Unsharded bool

	// Still promises that nothing changes any more: what differs when it is read
	// a second time differs, and no collection may be there that is not listed.
	Still bool

	// Ignore tells which namespaces of the source, or of the destination, are
	// nobody's business; nil: none.
	Ignore func(ns shardferry.Namespace, onSource bool) bool

	Parallel int           // ranges compared at a time; default 4
	Batch    int           // documents of a range; default 2000
	Listed   int           // differences that are named; default 100
	Rechecks int           // how often a differing document is read again; default 10
	Pause    time.Duration // before each of these; default 1 s: half of all should exceed the lag
	Logger   *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if c.Source == nil || c.Destination == nil {
		return c, errors.New("verify: Source and Destination are required")
	}
	if c.Parallel <= 0 {
		c.Parallel = 4
	}
	if c.Batch <= 0 {
		c.Batch = 2000
	}
	if c.Listed <= 0 {
		c.Listed = 100
	}
	if c.Still {
		c.Rechecks = 1
	} else if c.Rechecks <= 0 {
		c.Rechecks = 10
	}
	if c.Pause <= 0 {
		c.Pause = time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Compare compares all pairs. It returns an error only if it could not compare;
// differences are in the report.
func Compare(ctx context.Context, cfg Config) (Report, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Report{}, err
	}
	return newComparison(cfg).run(ctx)
}
