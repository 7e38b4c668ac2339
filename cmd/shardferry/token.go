package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/shardferry/shardferry/api"
)

func tokenCommand() *cli.Command {
	return &cli.Command{
		Name:      "token",
		Usage:     "make tokens for the commands of others (token new)",
		UsageText: "shardferry token new --role operator --name alice --expires 720h",
		Subcommands: []*cli.Command{{
			Name:      "new",
			Usage:     "make a token, show it once, and the line for the tokens file",
			UsageText: "shardferry token new --role viewer --name dashboard\n   shardferry token new --role operator --name alice --expires 720h --json",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "role", Usage: "viewer, operator or admin"},
				&cli.StringFlag{Name: "name", Usage: "whose it is, for logs and the audit log"},
				&cli.DurationFlag{Name: "expires", Usage: "for how long it is good; without it for ever"},
				jsonFlag(),
			},
			Action: newToken,
		}},
		Action: func(*cli.Context) error {
			return usage("token: say what to do: shardferry token new --role operator --name alice")
		},
	}
}

func newToken(c *cli.Context) error {
	role, err := api.ParseRole(c.String("role"))
	if err != nil {
		return usage("--role %q: %w", c.String("role"), err)
	}
	var expires time.Time
	if c.IsSet("expires") {
		if c.Duration("expires") <= 0 {
			return usage("--expires %v: want a positive duration", c.Duration("expires"))
		}
		expires = time.Now().Add(c.Duration("expires"))
	}
	token, entry, err := api.NewToken(c.String("name"), role, expires)
	if err != nil {
		return usage("--name %q: %w", c.String("name"), err)
	}
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(map[string]any{"token": token, "entry": entry})
	}
	line := fmt.Sprintf("name: %s, role: %s, sha256: %q", entry.Name, entry.Role, entry.SHA256)
	if entry.Expires != "" {
		line += fmt.Sprintf(", expires: %q", entry.Expires)
	}
	_, err = fmt.Fprintf(c.App.Writer, `%s

This is the token. It is kept nowhere and not shown again. It goes into a file that only %s can read (--token-file), or into SHARDFERRY_TOKEN.

For the file of --tokens-file, below the line "tokens:":
  - {%s}
`, token, entry.Name, line)
	return err
}
