package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/shardferry/shardferry/internal/rehearse"
)

// runSurvival is the demo with several nodes.
func runSurvival(c *cli.Context, dir string, log *slog.Logger, show *display) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	s := rehearse.Survival{
		Docs: c.Int("docs"), SourceShards: c.Int("shards"), DestShards: c.Int("dest-shards"), Seed: c.Uint64("seed"), Rate: c.Int("rate"),
		Nodes: c.Int("nodes"), KillEvery: c.Duration("kill-leader-every"), PauseFor: c.Duration("pause-leader-for"),
		DropEvery: c.Duration("drop-connections-every"), Streaming: c.Int("kills"),
		Program: []string{self}, Dir: dir, Logger: log, Say: show.event,
	}
	res, err := s.Run(c.Context)
	if perr := printSurvived(c, s, res); perr != nil {
		err = errors.Join(err, perr)
	}
	if errors.Is(err, rehearse.ErrDifferent) {
		return exitError{error: err, code: exitDifferent}
	}
	return err
}

func printSurvived(c *cli.Context, s rehearse.Survival, r rehearse.Survived) error {
	leaderless := longest(r.Failovers, func(f rehearse.Failover) time.Duration { return f.Leaderless })
	still := longest(r.Failovers, func(f rehearse.Failover) time.Duration { return f.Still })
	if c.Bool("json") {
		failovers := []map[string]any{}
		for _, f := range r.Failovers {
			failovers = append(failovers, map[string]any{
				"node": f.Node, "phase": f.Phase, "leaderless_ms": f.Leaderless.Milliseconds(), "still_ms": f.Still.Milliseconds(), "batches_again": f.Again,
			})
		}
		return json.NewEncoder(c.App.Writer).Encode(map[string]any{
			"event": "done", "verified": r.Verified, "failovers": failovers, "leaderless_ms": leaderless.Milliseconds(), "still_ms": still.Milliseconds(),
			"cuts": r.Drops, "tasks_again": r.TasksUndone, "documents": r.Documents, "writes": r.Writes, "cutover_ms": r.CutoverMS, "seconds": r.Seconds,
			"differences": len(r.Differences), "seed": s.Seed, "nodes": s.Nodes, "shards": s.SourceShards, "dest_shards": s.DestShards,
		})
	}
	out := c.App.Writer
	for _, f := range r.Failovers {
		if _, err := fmt.Fprintf(out, "%-10s %s lost: %.2f s without a leader, a shard still for %.2f s, %d copy batches again\n",
			f.Phase, f.Node, f.Leaderless.Seconds(), f.Still.Seconds(), f.Again); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, `
leaders lost              %d
all connections cut       %d times
longest without a leader  %.2f s
longest any shard still   %.2f s
copy tasks done again     %d
documents verified        %d, beside %d operations
no writes at the commit   %d ms
differences found         %d
seed                      %d
`, len(r.Failovers), r.Drops, leaderless.Seconds(), still.Seconds(), r.TasksUndone, r.Documents, r.Writes, r.CutoverMS, len(r.Differences), s.Seed)
	return err
}

func longest(all []rehearse.Failover, of func(rehearse.Failover) time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	return of(slices.MaxFunc(all, func(a, b rehearse.Failover) int { return int(of(a) - of(b)) }))
}
