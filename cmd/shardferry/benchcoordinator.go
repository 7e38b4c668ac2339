package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/shardferry/shardferry/internal/capacity"
)

func benchCoordinatorCommand() *cli.Command {
	cmd := &cli.Command{
		Name:  "coordinator",
		Usage: "measure what one leader carries: reports, the time to the next leader, snapshots",
		UsageText: `shardferry bench coordinator
   shardferry bench coordinator --load 10/1000 --load 200/20000 --seconds 20 --json

   Three nodes with logs on disk and simulated workers, all in this process. No
   cluster is needed.`,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "load", Usage: "shards/copy tasks; may be repeated", Value: cli.NewStringSlice("10/1000", "100/10000", "1000/100000")},
			&cli.IntFlag{Name: "seconds", Usage: "how long the workers of each load report", Value: 15},
			&cli.StringFlag{Name: "dir", Usage: "where the logs are kept meanwhile; default: the system's directory for temporary files"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
		},
		Action: func(c *cli.Context) error {
			loads, err := parseLoads(c.StringSlice("load"))
			if err != nil {
				return err
			}
			if s := c.Int("seconds"); s < 1 || s > 3600 {
				return usage("--seconds %d: want 1 to 3600", s)
			}
			return benchCoordinator(c, loads)
		},
	}
	strict(cmd)
	return cmd
}

func parseLoads(texts []string) (loads []capacity.Load, err error) {
	for _, text := range texts {
		shards, tasks, _ := strings.Cut(text, "/")
		var l capacity.Load
		var serr, terr error
		l.Shards, serr = strconv.Atoi(shards)
		l.Tasks, terr = strconv.Atoi(tasks)
		if serr != nil || terr != nil || l.Shards < 1 || l.Shards > 10_000 || l.Tasks < 1 || l.Tasks > 1_000_000 {
			return nil, usage("--load %s: want shards/tasks, up to 10000/1000000", text)
		}
		loads = append(loads, l)
	}
	return loads, nil
}

func benchCoordinator(c *cli.Context, loads []capacity.Load) (err error) {
	dir, err := os.MkdirTemp(c.String("dir"), "shardferry-bench-")
	if err != nil {
		return fmt.Errorf("make a directory for logs: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var results []capacity.Result
	for i, l := range loads {
		r, err := capacity.Measure(c.Context, l, filepath.Join(dir, strconv.Itoa(i)), time.Duration(c.Int("seconds"))*time.Second)
		if err != nil {
			return fmt.Errorf("%d shards, %d tasks: %w", l.Shards, l.Tasks, err)
		}
		results = append(results, r)
	}
	if c.Bool("json") {
		enc := json.NewEncoder(c.App.Writer)
		enc.SetIndent("", "  ")
		return enc.Encode(results)
	}
	fmt.Fprintf(c.App.Writer, "%d cores, %s, %s/%s\n\n", runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprint(c.App.Writer, capacity.Table(results))
	return nil
}
