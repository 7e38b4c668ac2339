package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/shardferry/shardferry/internal/rehearse"
)

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "move a simulated sharded cluster under load, commit, and roll back",
		UsageText: `shardferry demo
   shardferry demo --docs 20000 --seed 7 --json
   shardferry demo --nodes 3 --kill-leader-every 5s --docs 500000

   With several nodes each is a process of its own, and the one that leads is killed
   again and again until the commit is done; it does not roll back then.`,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "docs", Usage: "documents to move", Value: 100_000},
			&cli.IntFlag{Name: "shards", Usage: "shards of the source", Value: 3},
			&cli.IntFlag{Name: "dest-shards", Usage: "shards of the destination", Value: 2},
			&cli.Uint64Flag{Name: "seed", Usage: "seed of the data and of the workload", Value: 1},
			&cli.IntFlag{Name: "rate", Usage: "operations a second of the applications", Value: 400},
			&cli.DurationFlag{Name: "linger", Usage: "how long applications write between the steps", Value: 3 * time.Second},
			&cli.IntFlag{Name: "nodes", Usage: "nodes that share the work: 1, 3 or 5", Value: 1},
			&cli.DurationFlag{Name: "kill-leader-every", Usage: "with several nodes: time between two losses of a leader", Value: 5 * time.Second},
			&cli.DurationFlag{Name: "pause-leader-for", Usage: "with several nodes: the leader is paused so long (SIGSTOP) instead of killed"},
			&cli.DurationFlag{Name: "drop-connections-every", Usage: "with several nodes: time between two cuts of all connections, between the nodes and to the clusters (default: none)"},
			&cli.IntFlag{Name: "kills", Usage: "with several nodes: losses of a leader between the copy and the commit", Value: 3},
			&cli.StringFlag{Name: "log-level", Usage: "debug, info, warn or error", Value: "error"},
			jsonFlag(),
		},
		Action: runDemo,
	}
}

func runDemo(c *cli.Context) error {
	for _, f := range []struct {
		name     string
		min, max int
	}{{"docs", 1, 100_000_000}, {"shards", 1, 50}, {"dest-shards", 1, 50}, {"rate", 1, 100_000}, {"nodes", 1, 5}, {"kills", 0, 1000}} {
		if v := c.Int(f.name); v < f.min || v > f.max {
			return usage("--%s %d: want %d to %d", f.name, v, f.min, f.max)
		}
	}
	switch {
	case c.Int("nodes")%2 == 0:
		return usage("--nodes %d: want 1, 3 or 5: with an even number one more may not fail", c.Int("nodes"))
	case c.Int("nodes") == 1 && (c.IsSet("kill-leader-every") || c.IsSet("pause-leader-for") || c.IsSet("drop-connections-every") || c.IsSet("kills")):
		return usage("--kill-leader-every, --pause-leader-for, --drop-connections-every and --kills need --nodes 3 or 5")
	case c.Duration("kill-leader-every") < time.Second:
		return usage("--kill-leader-every %v: want 1s or more", c.Duration("kill-leader-every"))
	case c.IsSet("drop-connections-every") && c.Duration("drop-connections-every") < time.Second:
		return usage("--drop-connections-every %v: want 1s or more", c.Duration("drop-connections-every"))
	}
	log, err := newLogger(os.Stderr, c.String("log-level"), c.Bool("json"))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "shardferry-demo-")
	if err != nil {
		return fmt.Errorf("make a data directory: %w", err)
	}
	show := newDisplay(c.App.Writer, c.Bool("json"), 0)
	if c.Int("nodes") > 1 {
		return errors.Join(runSurvival(c, dir, log, show), os.RemoveAll(dir))
	}
	demo := rehearse.Demo{
		Docs: c.Int("docs"), SourceShards: c.Int("shards"), DestShards: c.Int("dest-shards"), Seed: c.Uint64("seed"),
		Rate: c.Int("rate"), Linger: c.Duration("linger"), DataDir: dir, Logger: log,
		Say: show.event,
	}
	res, err := demo.Run(c.Context)
	if rerr := os.RemoveAll(dir); rerr != nil {
		err = errors.Join(err, rerr)
	}
	if perr := printDemo(c, demo, res); perr != nil {
		err = errors.Join(err, perr)
	}
	if errors.Is(err, rehearse.ErrDifferent) {
		return exitError{error: err, code: exitDifferent}
	}
	return err
}

func printDemo(c *cli.Context, d rehearse.Demo, r rehearse.Result) error {
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(map[string]any{
			"event": "done", "verified": r.Verified, "rollback_verified": r.RolledBack,
			"documents": r.Documents, "bytes": r.Bytes, "events": r.Events, "writes": r.Writes, "repairs": r.Repairs,
			"seconds": r.Seconds, "copy_seconds": r.Copy, "cutover_ms": r.CutoverMS, "rollback_ms": r.RollbackMS,
			"lag_p50_ms": r.LagP50MS, "lag_p99_ms": r.LagP99MS, "differences": len(r.Differences), "seed": d.Seed,
			"shards": d.SourceShards, "dest_shards": d.DestShards,
		})
	}
	_, err := fmt.Fprintf(c.App.Writer, `
documents moved           %d (%.1f MB)
change events applied     %d, of %d operations
sync, commit and rollback %.1f s
lag                       p50 %d ms, p99 %d ms
no writes at the commit   %d ms
no writes at the rollback %d ms
differences found         %d
seed                      %d
`, r.Documents, float64(r.Bytes)/1e6, r.Events, r.Writes, r.Seconds, r.LagP50MS, r.LagP99MS, r.CutoverMS, r.RollbackMS, len(r.Differences), d.Seed)
	return err
}
