package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/urfave/cli/v2"

	"github.com/shardferry/shardferry/api"
)

func auditCommand() *cli.Command {
	return &cli.Command{
		Name:      "audit",
		Usage:     "show which commands were given, by whom, and what came of them",
		UsageText: "shardferry audit\n   shardferry audit --since 24h --json\n   shardferry audit --since 2027-01-31T00:00:00Z",
		Flags: clientFlags(
			&cli.StringFlag{Name: "since", Usage: "a time, or a duration before now; without it all that is kept"},
		),
		Action: func(c *cli.Context) error {
			since, err := moment(c.String("since"))
			if err != nil {
				return err
			}
			node, err := client(c)
			if err != nil {
				return err
			}
			entries, err := node.Audit(c.Context, since)
			if err != nil {
				return err
			}
			for _, e := range entries {
				if c.Bool("json") {
					err = printResult(c, e, "")
				} else {
					err = printEntry(c.App.Writer, e)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// moment reads a time, or a duration before now. Empty is the zero time.
func moment(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return time.Now().Add(-d), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, usage("--since %q: want a time like 2027-01-31T00:00:00Z, or a duration like 24h", s)
	}
	return at, nil
}

func printEntry(w io.Writer, e api.AuditEntry) error {
	who := e.From
	if e.By != "" {
		who = e.By + " (" + e.From + ")"
	}
	text := fmt.Sprintf("%s  %-8s  %s", e.At.UTC().Format(time.RFC3339), e.Command, who)
	if e.With != "" {
		text += "  " + e.With
	}
	if e.Error == "" {
		text += "  accepted"
	} else {
		text += fmt.Sprintf("  refused: %s (%s)", e.Text, e.Error)
	}
	if e.Times > 1 && e.Last != nil {
		text += fmt.Sprintf(", %d times until %s", e.Times, e.Last.UTC().Format(time.RFC3339))
	}
	_, err := fmt.Fprintln(w, strings.Map(printable, text))
	return err
}

// printable keeps what others have sent from steering the terminal.
func printable(r rune) rune {
	if unicode.IsControl(r) {
		return unicode.ReplacementChar
	}
	return r
}
