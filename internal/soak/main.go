package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	if err := soak(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func soak(w io.Writer, args []string) error {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	from := flags.Uint64("from", 1, "first seed")
	seeds := flags.Uint64("seeds", 2000, "how many seeds")
	at := flags.Int("parallel", runtime.GOMAXPROCS(0), "how many at a time")
	with := flags.String("with", "", "play only histories whose plan has these words in it")
	keep := flags.String("keep", "", "play these parts of the first seed's history alone, told in full")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *keep != "" {
		return playParts(w, *from, *keep)
	}
	s := &session{w: w, total: newTally(), began: time.Now(), with: *with}
	s.total.expect()
	s.playAll(*from, *seeds, *at)
	missing := s.total.print(w)
	fmt.Fprintf(w, "\n%d histories, %d failures, %v\n", s.done, len(s.failed), time.Since(s.began).Round(time.Second))
	for _, f := range s.failed {
		fmt.Fprintf(w, "  %s\n", f)
	}
	switch {
	case len(s.failed) > 0:
		return fmt.Errorf("%d histories failed", len(s.failed))
	case len(missing) > 0 && *seeds >= 2000 && *with == "":
		return fmt.Errorf("met too seldom: %s", strings.Join(missing, "; "))
	}
	return nil
}

// playParts plays a part of a history, "all" for all of it, and tells what happens.
func playParts(w io.Writer, seed uint64, keep string) error {
	p := newPlan(seed)
	if keep != "all" {
		var parts []int
		for n := range strings.SplitSeq(keep, ",") {
			i, err := strconv.Atoi(strings.TrimSpace(n))
			if err != nil {
				return fmt.Errorf("keep: %w", err)
			}
			parts = append(parts, i)
		}
		p = p.only(parts)
	}
	res := play(p)
	fmt.Fprintf(w, "seed %d: %v\n", seed, p)
	for _, l := range res.Trace {
		fmt.Fprintln(w, l)
	}
	return res.Err
}

// A session plays many histories.
type session struct {
	w     io.Writer
	began time.Time
	total *tally
	with  string // what a plan must have in it to be played

	mu     sync.Mutex
	done   uint64
	failed []string
}

// hangs is how long a history may take in real time. What a bubble contains cannot
// be ended from outside, so that is the end of everything.
const hangs = 4 * time.Minute

func (s *session) playAll(from, seeds uint64, at int) {
	next := make(chan uint64)
	var all sync.WaitGroup
	for range at {
		all.Go(func() {
			for seed := range next {
				alarm := time.AfterFunc(hangs, func() {
					buf := make([]byte, 16<<20)
					fmt.Fprintf(s.w, "seed %d hangs\n%s\n", seed, buf[:runtime.Stack(buf, true)])
					os.Exit(3) //nolint:forbidigo // nothing else ends a bubble that hangs
				})
				s.took(seed, play(newPlan(seed)))
				alarm.Stop()
			}
		})
	}
	for i := range seeds {
		if s.with == "" || strings.Contains(newPlan(from+i).String(), s.with) {
			next <- from + i
		}
	}
	close(next)
	all.Wait()
}

// each is how many histories there are to a line of output.
const each = 100

// took counts a history, and shrinks it if it failed.
func (s *session) took(seed uint64, res *Result) {
	s.total.merge(res.Tally)
	var failure string
	if res.Err != nil {
		failure = shrink(seed, res)
		fmt.Fprintln(s.w, failure)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if failure != "" {
		first, _, _ := strings.Cut(failure, "\n")
		s.failed = append(s.failed, first)
	}
	if s.done++; s.done%each == 0 {
		fmt.Fprintf(s.w, "%d histories, %d failures, %v\n", s.done, len(s.failed), time.Since(s.began).Round(time.Second))
	}
}
