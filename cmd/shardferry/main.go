// Command shardferry moves a live MongoDB cluster to another one, keeps both in
// step, cuts over in seconds, and can go back.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
)

// Exit codes. A script can tell apart whether anything can have changed.
const (
	exitFailed    = 1 // it began and did not reach its end; what was kept is in the message
	exitUsage     = 2 // wrong flags or configuration; nothing was done
	exitDifferent = 3 // a comparison found differences
)

// errInterrupted is the cause of the context when a signal arrived.
var errInterrupted = errors.New("interrupted")

func main() {
	os.Exit(run(os.Args))
}

func run(args []string) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel(errInterrupted)
		<-signals // a second one does not wait for an orderly end
		os.Exit(exitFailed)
	}()

	err := newApp().RunContext(ctx, args)
	if err == nil {
		return 0
	}
	code := exitFailed
	var coded exitError
	if errors.As(err, &coded) {
		code = coded.code
		if coded.error == nil {
			return code
		}
	}
	// One line, also where several things went wrong at once.
	fmt.Fprintln(os.Stderr, "shardferry:", strings.ReplaceAll(err.Error(), "\n", "; "))
	return code
}

// exitError is an error with an exit code of its own. Without an error nothing
// is printed, because the command has said it all.
type exitError struct {
	error
	code int
}

func (e exitError) Unwrap() error { return e.error }

func usage(format string, args ...any) error {
	return exitError{error: fmt.Errorf(format, args...), code: exitUsage}
}

func newApp() *cli.App {
	app := &cli.App{
		Name:  "shardferry",
		Usage: "move a live MongoDB cluster to another one, and be able to go back",
		UsageText: `shardferry sync --source mongodb://a:27017 --destination mongodb://b:27017
   shardferry demo`,
		Description: `Exit codes: 0 done, 1 failed, 2 wrong usage (nothing was done), 3 the clusters differ.`,
		Version:     version(),
		Commands: []*cli.Command{
			syncCommand(), startCommand(),
			controlCommand("pause", "stop copying and applying; nothing is forgotten"),
			resumeCommand(),
			controlCommand("commit", "cut over: block the source, finish, verify, open the destination"),
			controlCommand("reverse", "after a commit: make the flow back to the old source the sync"),
			controlCommand("rollback", "after a commit: bring applications back to the old source with one command"),
			progressCommand(), verifyCommand(), auditCommand(), tokenCommand(),
			nodeCommand(), clusterCommand(), sandboxCommand(), demoCommand(), chaosCommand(), benchCommand(),
		},
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true,
		ExitErrHandler:            func(*cli.Context, error) {}, // run prints and maps errors
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return usage("%w (see --help)", err)
		},
		CommandNotFound: func(c *cli.Context, name string) {},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage("there is no command %q: see shardferry --help", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, cmd := range app.Commands {
		strict(cmd)
	}
	return app
}

// strict makes a command refuse what it does not know, in one line and with the
// exit code of wrong usage.
func strict(cmd *cli.Command) {
	cmd.HideHelpCommand = true
	for _, sub := range cmd.Subcommands {
		strict(sub)
	}
	cmd.OnUsageError = func(_ *cli.Context, err error, _ bool) error {
		return usage("%s: %w (see shardferry %s --help)", cmd.Name, err, cmd.Name)
	}
	do := cmd.Action
	cmd.Action = func(c *cli.Context) error {
		if c.Args().Present() {
			return usage("%s takes no argument %q (see shardferry %s --help)", cmd.Name, c.Args().First(), cmd.Name)
		}
		return do(c)
	}
}
