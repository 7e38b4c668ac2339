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
   shardferry chaos --seeds 17 --verbose`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "seeds", Usage: "seeds and ranges of them, such as 1-20,42", Value: "1-20"},
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
	began := time.Now()
	out := chaos.Printer{W: c.App.Writer, JSON: c.Bool("json"), Verbose: c.Bool("verbose")}
	for _, seed := range seeds {
		if c.Err() != nil {
			break
		}
		if err := out.Result(chaos.Run(seed)); err != nil {
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
