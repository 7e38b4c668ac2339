package node

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/internal/peer"
)

// Config holds what a Node needs. Zero durations and counts mean the default.
type Config struct {
	ID          string       // default "node1"
	DataDir     string       // where the state is kept; empty: in memory, gone with the process
	Peers       *PeersConfig // nil: the node works alone
	Source      mongoconn.Config
	Destination mongoconn.Config

	CommitBudget   time.Duration // how long writes may be blocked before a commit is given up; default 5 min
	ReportInterval time.Duration // longest pause between two reports of a worker; default 250 ms
	NoteInterval   time.Duration // how often idle source shards are nudged; default 1 s
	ConnectTimeout time.Duration // how long to wait for a cluster at start; default 10 s
	GiveUpAfter    time.Duration // what makes no progress for so long pauses the sync; default 30 min
	Lanes          int           // appliers of events for each shard; default 8
	Copiers        int           // copy tasks at a time for each shard; default 4
	BatchDocs      int           // documents of a copy batch; default 1000
	Memory         int64         // bytes that the process may take; default 512 MiB

	Logger *slog.Logger
}

// PeersConfig is what a node among several needs.
type PeersConfig struct {
	Port   peer.Config
	Join   string // address of the port of any member; empty: the node is told later, or is the first
	NoVote bool   // with Join: it works, and does not count for a majority
}

func (c Config) withDefaults() (Config, error) {
	if err := mongoconn.CheckURI(c.Source.URI); err != nil {
		return c, fmt.Errorf("source: %w", err)
	}
	if err := mongoconn.CheckURI(c.Destination.URI); err != nil {
		return c, fmt.Errorf("destination: %w", err)
	}
	if c.Source.URI == c.Destination.URI {
		return c, errors.New("source and destination are the same URI")
	}
	if c.ID == "" {
		c.ID = "node1"
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&c.CommitBudget, 5 * time.Minute},
		{&c.ReportInterval, 250 * time.Millisecond},
		{&c.NoteInterval, time.Second},
		{&c.ConnectTimeout, 10 * time.Second},
		{&c.GiveUpAfter, 30 * time.Minute},
	} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	if c.Memory <= 0 {
		c.Memory = 512 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
