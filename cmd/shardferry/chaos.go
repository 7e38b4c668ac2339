package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/shardferry/shardferry/chaos"
)

func chaosCommand() *cli.Command {
	return &cli.Command{
		Name:  "chaos",
		Usage: "play whole moves between simulated clusters with faults, in virtual time, and check that nothing is lost",
		UsageText: `shardferry chaos --seeds 1-20
   shardferry chaos --seeds 17 --verbose
   shardferry chaos --nodes 3 --seeds 1-12
   shardferry chaos --nodes 3 --each 20
   shardferry chaos --endurance 30m --rate 5000 --seeds 1`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "seeds", Usage: "seeds and ranges of them, such as 1-20,42", Value: "1-20"},
			&cli.DurationFlag{Name: "endurance", Usage: "instead, for each seed one run that writes for so long by its own clock, while chunks move, primaries step down and the schema changes; it takes both cores for about half of that"},
			&cli.IntFlag{Name: "rate", Usage: "writes per second of an endurance run", Value: 5000},
			&cli.IntFlag{Name: "nodes", Usage: "how many nodes do the work: 1, or 3, of which the leader and others are killed, paused, cut off, slowed and restarted at every phase and at every step of a commit", Value: 1},
			&cli.IntFlag{Name: "each", Usage: "with --nodes 3 and instead of --seeds: as many seeds as it takes until each of these faults has struck so often at each phase and step, at the leader half of the times"},
			&cli.BoolFlag{Name: "verbose", Usage: "show the plan and the trace of every run"},
			&cli.BoolFlag{Name: "keep-going", Usage: "go on after a run that failed"},
			jsonFlag(),
		},
		Action: runChaos,
	}
}

func runChaos(c *cli.Context) error {
	if c.Args().Present() {
		return usage("unexpected argument %q", c.Args().First())
	}
	seeds, err := chaos.ParseSeeds(c.String("seeds"))
	if err != nil {
		return usage("--seeds: %w", err)
	}
	endurance, rate := c.Duration("endurance"), c.Int("rate")
	switch {
	case c.IsSet("endurance") && endurance < time.Minute:
		return usage("--endurance: %v is less than a minute", endurance)
	case c.IsSet("rate") && endurance == 0:
		return usage("--rate: only with --endurance")
	case rate < minRate || rate > maxRate:
		return usage("--rate: %d is not between %d and %d", rate, minRate, maxRate)
	}
	nodes, each := c.Int("nodes"), c.Int("each")
	switch {
	case nodes != 1 && nodes != 3:
		return usage("--nodes: %d is neither 1 nor 3", nodes)
	case nodes > 1 && endurance > 0:
		return usage("--nodes: not with --endurance")
	case c.IsSet("each") && (nodes == 1 || c.IsSet("seeds")):
		return usage("--each: only with --nodes 3, and without --seeds")
	case c.IsSet("each") && (each < 1 || each > maxEach):
		return usage("--each: %d is not between 1 and %d", each, maxEach)
	}
	began := time.Now()
	out := chaos.Printer{W: c.App.Writer, JSON: c.Bool("json"), Verbose: c.Bool("verbose")}
	cover := chaos.Coverage{}
	if each > 0 {
		seeds = cover.Seeds(each)
	}
	for _, seed := range seeds {
		if c.Err() != nil {
			break
		}
		var err error
		switch {
		case each > 0 && !cover.Wanted(chaos.NewNodesPlan(seed, nodes), each):
			continue
		case nodes > 1:
			res := chaos.RunNodes(seed, nodes)
			cover.Add(res)
			err = out.Result(res)
		default:
			err = chaosRun(&out, seed, endurance, rate)
		}
		if err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
		if out.Failed() > 0 && !c.Bool("keep-going") {
			break
		}
	}
	if nodes > 1 {
		if err := out.Coverage(&cover); err != nil {
			return fmt.Errorf("write the table: %w", err)
		}
	}
	if err := out.Summary(time.Since(began)); err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	switch {
	case out.Failed() > 0:
		return exitError{code: exitFailed, error: errors.New("an invariant was violated")}
	case c.Err() != nil:
		return errInterrupted
	case len(cover.Lacks(each)) > 0:
		return exitError{code: exitFailed, error: fmt.Errorf("%d kinds of faults did not strike often enough, such as: %v", len(cover.Lacks(each)), cover.Lacks(each)[0])}
	}
	return nil
}

// maxEach bounds what one command line may ask for.
const maxEach = 1000

// The rates of an endurance run: at the lowest every writer makes one write each
// time it is on.
const (
	minRate = 40
	maxRate = 100_000
)

// chaosRun plays the run of one seed and prints what it showed.
func chaosRun(out *chaos.Printer, seed uint64, endurance time.Duration, rate int) error {
	if endurance == 0 {
		return out.Result(chaos.Run(seed))
	}
	var failed error
	last := chaos.Endure(chaos.Endurance{Seed: seed, For: endurance, Rate: rate}, func(e chaos.Endured) {
		failed = errors.Join(failed, out.Endured(e, false))
	})
	return errors.Join(failed, out.Endured(last, true))
}
