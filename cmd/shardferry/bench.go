package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/shardferry/shardferry/internal/rehearse"
)

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:  "bench",
		Usage: "measure copying, applying, verifying and committing between two simulated clusters",
		UsageText: `shardferry bench
   shardferry bench --docs 50000 --doc-bytes 4096 --events 20000

   Prints one JSON document. The clusters and the sync are processes of their
   own, on free ports of this machine. "shardferry bench coordinator" measures the
   coordinator alone.`,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "docs", Usage: "documents to copy", Value: 300_000},
			&cli.IntFlag{Name: "doc-bytes", Usage: "average size of a document", Value: 1024},
			&cli.IntFlag{Name: "events", Usage: "changes to apply, in each of two phases", Value: 200_000},
			&cli.IntFlag{Name: "shards", Usage: "shards of the source", Value: 3},
			&cli.IntFlag{Name: "dest-shards", Usage: "shards of the destination", Value: 3},
			&cli.IntFlag{Name: "lanes", Usage: "appliers of change events for each shard", Value: 8},
			&cli.IntFlag{Name: "copiers", Usage: "ranges copied at a time for each shard", Value: 4},
			&cli.Uint64Flag{Name: "seed", Usage: "seed of the data and of the changes", Value: 1},
		},
		Subcommands: []*cli.Command{benchCoordinatorCommand()},
		Action: func(c *cli.Context) error {
			p, err := benchParameters(c)
			if err != nil {
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			return runBench(c, rehearse.Bench{BenchParameters: p, Program: []string{self}, Version: version()})
		},
	}
}

func benchParameters(c *cli.Context) (rehearse.BenchParameters, error) {
	p := rehearse.BenchParameters{
		Docs: c.Int("docs"), DocBytes: c.Int("doc-bytes"), Events: c.Int("events"),
		Shards: c.Int("shards"), DestShards: c.Int("dest-shards"),
		Lanes: c.Int("lanes"), Copiers: c.Int("copiers"), Seed: c.Uint64("seed"),
	}
	for _, f := range []struct {
		name     string
		min, max int
	}{
		{"docs", 10, 100_000_000},
		{"doc-bytes", 300, 1 << 20},
		{"events", 10, 100_000_000},
		{"shards", 1, 50},
		{"dest-shards", 1, 50},
		{"lanes", 1, 256},
		{"copiers", 1, 64},
	} {
		if v := c.Int(f.name); v < f.min || v > f.max {
			return p, usage("--%s %d: want %d to %d", f.name, v, f.min, f.max)
		}
	}
	return p, nil
}

func runBench(c *cli.Context, b rehearse.Bench) (err error) {
	if b.Dir, err = os.MkdirTemp("", "shardferry-bench-"); err != nil {
		return fmt.Errorf("make a data directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.Dir)) }()
	report, err := b.Run(c.Context)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(c.App.Writer)
	enc.SetIndent("", "  ")
	return enc.Encode(report)
}
