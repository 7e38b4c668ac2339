// Command speccheck runs the MongoDB drivers' specification tests against
// simulated clusters and compares the outcome with a committed list of the
// cases that are known not to pass.
//
// The tests are those that the Go driver's module carries. They are compiled
// from the module proxy into bin/spec and are no part of this module.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"time"
)

// errDiffers reports that the outcome is not the one of the list.
var errDiffers = errors.New("the outcome differs from the list of known cases")

// options are the flags.
type options struct {
	bin   string         // where test binaries are kept
	list  string         // the file of known cases
	doc   string         // the page whose table is rewritten, empty for none
	only  *regexp.Regexp // names of the runs to make
	cases string         // pattern of the cases to run, as -test.run has it, behind the suite's name
	logs  string         // where the output of the test binaries goes
	port  int            // first port of the clusters
	limit time.Duration  // of one test binary
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) //nolint:forbidigo // the program's one context
	defer stop()
	o, err := parseFlags(os.Args[1:])
	if err == nil {
		err = check(ctx, o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "speccheck:", err)
		stop()
		os.Exit(1) //nolint:forbidigo,gocritic // the program's one exit; stop has been called
	}
}

func parseFlags(args []string) (options, error) {
	var o options
	var only string
	f := flag.NewFlagSet("speccheck", flag.ContinueOnError)
	f.StringVar(&o.bin, "bin", "bin/spec", "directory of the test binaries and their logs")
	f.StringVar(&o.list, "list", "internal/speccheck/known.txt", "list of the cases known not to pass")
	f.StringVar(&o.doc, "write", "", "page whose table is to be rewritten")
	f.StringVar(&only, "only", "", "make only the runs whose name matches, such as sharded-8.0")
	f.StringVar(&o.cases, "cases", "", "run only the cases that match, such as crud/unified/find")
	f.IntVar(&o.port, "port", 28400, "first port of the simulated clusters")
	f.DurationVar(&o.limit, "limit", 10*time.Minute, "time limit of one test binary")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.logs = o.bin
	var err error
	o.only, err = regexp.Compile(only)
	return o, err
}

// check makes the runs, prints what has come out and returns errDiffers if
// that is not what the list says.
func check(ctx context.Context, o options, out io.Writer) error {
	known, err := readList(o.list)
	if err != nil {
		return err
	}
	s, err := buildSuites(ctx, o.bin)
	if err != nil {
		return err
	}
	reports, err := makeRuns(ctx, o, s, known)
	if err != nil {
		return err
	}
	same := true
	for _, r := range reports {
		same = r.print(out) && same
	}
	if o.cases == "" {
		for _, e := range known.stale(reports) {
			fmt.Fprintf(out, "%s: passes now, or does not exist: take it off the list\n", e)
			same = false
		}
	}
	fmt.Fprint(out, "\n", table(reports))
	if o.doc != "" {
		if err := rewrite(o.doc, table(reports)+known.table()); err != nil {
			return err
		}
	}
	if !same {
		return errDiffers
	}
	return nil
}
