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
   shardferry chaos --endurance 30m --rate 5000 --seeds 1`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "seeds", Usage: "seeds and ranges of them, such as 1-20,42", Value: "1-20"},
			&cli.DurationFlag{Name: "endurance", Usage: "instead, for each seed one run that writes for so long by its own clock, while chunks move, primaries step down and the schema changes; it takes both cores for about half of that"},
			&cli.IntFlag{Name: "rate", Usage: "writes per second of an endurance run", Value: 5000},
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
	began := time.Now()
	out := chaos.Printer{W: c.App.Writer, JSON: c.Bool("json"), Verbose: c.Bool("verbose")}
	for _, seed := range seeds {
		if c.Err() != nil {
			break
		}
		if err := chaosRun(&out, seed, endurance, rate); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
		if out.Failed() > 0 && !c.Bool("keep-going") {
			break
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
	}
	return nil
}

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
