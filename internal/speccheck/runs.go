package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"
)

// A run is one kind of cluster.
type run struct {
	topology string
	version  string
}

func (r run) String() string { return r.topology + "-" + r.version }

// The topologies.
const (
	replicaSet = "replica-set"
	sharded    = "sharded"
)

// allRuns are the runs that count.
func allRuns() []run {
	return []run{{replicaSet, "7.0"}, {replicaSet, "8.0"}, {sharded, "7.0"}, {sharded, "8.0"}}
}

// portsPerCluster is more than the processes of any cluster here.
const portsPerCluster = 10

// makeRuns makes the chosen runs, some of them at a time: they mostly wait.
// Each suite gets a cluster of its own, for its fail points concern everybody.
func makeRuns(ctx context.Context, o options, suites []suite, known list) ([]*report, error) {
	var reports []*report
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.NumCPU())
	port := o.port
	for _, r := range allRuns() {
		if !o.only.MatchString(r.String()) {
			continue
		}
		rep := &report{run: r, known: known, results: make([]results, len(suites)), broken: make([]error, len(suites))}
		reports = append(reports, rep)
		for i, s := range suites {
			at := port
			port += portsPerCluster
			g.Go(func() error {
				var err error
				if rep.results[i], err = runSuite(ctx, o, s, r, known, at); err != nil && ctx.Err() == nil {
					rep.broken[i] = err
					err = nil
				}
				return err
			})
		}
	}
	if len(reports) == 0 {
		return nil, errors.New("no run has such a name")
	}
	return reports, g.Wait()
}

// runSuite runs one test binary against a cluster of its own. Cases that fail
// unexpectedly get a second attempt by themselves: some of the tests race with
// the driver's own monitoring.
func runSuite(ctx context.Context, o options, s suite, r run, known list, port int) (results, error) {
	log := filepath.Join(o.logs, r.String()+"-"+s.name+".log")
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // only for reading afterwards
	var found results
	err = withCluster(ctx, r, port, func(ctx context.Context, uri string) error {
		ctx, cancel := context.WithTimeout(ctx, o.limit)
		defer cancel()
		var err error
		if found, err = s.attempt(ctx, uri, s.patternOf(o.cases), known.skipPattern(r), out); err != nil {
			return err
		}
		again := found.unexpected(r, known)
		if len(again) == 0 || len(again) > mostAgain {
			return nil
		}
		second, err := s.attempt(ctx, uri, exactly(again), "", out)
		for _, c := range again {
			if second[c] == pass {
				found[c] = pass
			}
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("%s, see %s: %w", s.name, log, err)
	}
	return found, err
}

// mostAgain bounds the second attempts: so many failures are no accident.
const mostAgain = 10

// attempt runs the tests that match run and not skip. What they print goes to
// log too. An error means that the binary has not come to its end.
func (s suite) attempt(ctx context.Context, uri, run, skip string, log io.Writer) (results, error) {
	cmd := exec.CommandContext(ctx, s.binary, "-test.v", "-test.run", run)
	if skip != "" {
		cmd.Args = append(cmd.Args, "-test.skip", skip)
	}
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout = s.dir, io.MultiWriter(&out, log)
	cmd.Stderr = cmd.Stdout
	cmd.Env = append(os.Environ(), "MONGODB_URI="+uri)
	err := cmd.Run()
	if completed(out.String()) {
		err = nil // failing tests are no failure to run
	}
	return parse(out.String()), err
}

// patternOf narrows the suite's pattern to the cases that are asked for.
func (s suite) patternOf(cases string) string {
	if cases == "" {
		return s.pattern
	}
	patterns := strings.Split(testOf(s.name), "|")
	for i := range patterns {
		patterns[i] += "/" + cases
	}
	return strings.Join(patterns, "|")
}
