package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
)

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print JSON"}
}

// printResult prints the outcome of a command for people or for scripts.
func printResult(c *cli.Context, v any, format string, args ...any) error {
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(v)
	}
	_, err := fmt.Fprintf(c.App.Writer, format+"\n", args...)
	return err
}

var accepted = api.Result{Success: true, Outcome: api.OutcomeAccepted}

// controlCommand makes the command that sends one verb without parameters.
func controlCommand(name, what string) *cli.Command {
	return &cli.Command{
		Name:      name,
		Usage:     what,
		UsageText: "shardferry " + name + "\n   shardferry " + name + " --api-addr 127.0.0.1:27182 --json\n   shardferry " + name + " --api-addr ferry.example:27182 --api-ca ca.pem --token-file alice.token",
		Flags:     clientFlags(keyFlag()),
		Action: func(c *cli.Context) error {
			node, err := client(c)
			if err != nil {
				return err
			}
			if err := node.Command(c.Context, name); err != nil {
				return err
			}
			return printResult(c, accepted, "%s accepted; see shardferry progress", name)
		},
	}
}

func resumeCommand() *cli.Command {
	return &cli.Command{
		Name:      "resume",
		Usage:     "let a paused sync go on",
		UsageText: "shardferry resume\n   shardferry resume --recopy-lost",
		Flags: clientFlags(
			keyFlag(),
			&cli.BoolFlag{Name: "recopy-lost", Usage: "copy shards again whose changes are gone from the source's oplog; what is only on the destination is deleted there"},
		),
		Action: func(c *cli.Context) error {
			node, err := client(c)
			if err != nil {
				return err
			}
			if err := node.Resume(c.Context, api.ResumeRequest{RecopyLost: c.Bool("recopy-lost")}); err != nil {
				return err
			}
			return printResult(c, accepted, "resume accepted; see shardferry progress")
		},
	}
}

func startCommand() *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "start the sync of a node that runs with --wait",
		UsageText: "shardferry start\n   shardferry start --irreversible",
		Flags: append(clientFlags(
			keyFlag(),
			&cli.BoolFlag{Name: "irreversible", Usage: "do not keep the way back open after the commit"},
			&cli.BoolFlag{Name: "keep-balancer", Usage: "let the balancer of the source run on; what it moves is followed"},
			&cli.BoolFlag{Name: "with-users", Usage: "bring users and roles over too, with their credentials"},
		), selectionFlags()...),
		Action: func(c *cli.Context) error {
			reversible := !c.Bool("irreversible")
			var selection shardferry.Selection
			if err := takeSelection(c, &selection); err != nil {
				return err
			}
			req := api.StartRequest{Source: "cluster0", Destination: "cluster1", Reversible: &reversible, KeepBalancer: c.Bool("keep-balancer"), WithUsers: c.Bool("with-users"), Selection: selection}
			node, err := client(c)
			if err != nil {
				return err
			}
			if err := node.Start(c.Context, req); err != nil {
				return err
			}
			return printResult(c, accepted, "started; see shardferry progress")
		},
	}
}

func progressCommand() *cli.Command {
	return &cli.Command{
		Name:      "progress",
		Usage:     "show where the sync stands",
		UsageText: "shardferry progress\n   shardferry progress --follow --interval 5s --json",
		Flags: clientFlags(
			&cli.BoolFlag{Name: "follow", Usage: "go on showing it until interrupted"},
			&cli.DurationFlag{Name: "interval", Usage: "with --follow: time between two lines", Value: time.Second},
		),
		Action: func(c *cli.Context) error {
			if c.Duration("interval") <= 0 {
				return usage("--interval %v: want a positive duration", c.Duration("interval"))
			}
			node, err := client(c)
			if err != nil {
				return err
			}
			show := newDisplay(c.App.Writer, c.Bool("json"), 0)
			tick := time.NewTicker(c.Duration("interval"))
			defer tick.Stop()
			for {
				p, err := node.Progress(c.Context)
				if err != nil && c.Err() != nil {
					return nil // interrupted, which is how --follow ends
				}
				busy := c.Bool("follow") && errors.Is(err, api.ErrTooMany) // asked again in a moment
				if err != nil && !busy {
					return err
				}
				if !busy {
					show.progress(p)
				}
				if !c.Bool("follow") {
					show.endBar()
					return nil
				}
				select {
				case <-tick.C:
				case <-c.Done():
					return nil
				}
			}
		},
	}
}

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "compare every document, index and option of the two clusters",
		UsageText: "shardferry verify --json\n\n   The exit code is 3 if they differ.",
		Flags:     clientFlags(),
		Action: func(c *cli.Context) error {
			node, err := client(c)
			if err != nil {
				return err
			}
			r, err := node.Verify(c.Context)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				if err := json.NewEncoder(c.App.Writer).Encode(r); err != nil {
					return err
				}
			} else {
				for _, d := range r.Differences {
					fmt.Fprintf(c.App.Writer, "%s %s: %s: %s\n", d.NS, d.ID, d.Kind, d.Detail)
				}
				fmt.Fprintf(c.App.Writer, "%d documents in %d collections compared, %d bytes, %d differences\n", r.Documents, r.Collections, r.Bytes, r.Total)
			}
			if !r.Equal() {
				return exitError{code: exitDifferent}
			}
			return nil
		},
	}
}
