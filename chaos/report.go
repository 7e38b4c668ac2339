package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// A Result is what one run showed.
type Result struct {
	Seed       uint64        `json:"seed"`
	Passed     bool          `json:"passed"`
	Violations []string      `json:"violations"`
	Ending     Ending        `json:"ending"`
	Shards     [2]int        `json:"shards"` // of the source, of the destination; 0 is a replica set
	Faults     int           `json:"faults"`
	Kills      int           `json:"kills"`     // of the node
	Writes     int64         `json:"writes"`    // that applications had acknowledged
	Unknown    int64         `json:"unknown"`   // of which they never learned the outcome
	Probes     int           `json:"probes"`    // times that the destination was checked against the resume point
	Documents  int64         `json:"documents"` // compared at the end
	Commits    int           `json:"commits"`
	Blocked    time.Duration `json:"blocked_ns"` // the longest time in which no cluster took writes
	Virtual    time.Duration `json:"virtual_ns"` // how long it took by its own clock
	Real       time.Duration `json:"real_ns"`

	Nodes Nodes `json:"fleet,omitzero"`

	Plan  Plan     `json:"-"`
	Trace []string `json:"-"`
}

// A Printer writes results as they come, for people or as one JSON document per
// line.
type Printer struct {
	W       io.Writer
	JSON    bool
	Verbose bool // the plan and the trace of every run; else only of failed ones

	runs, failed int
	kills        int
	writes       int64
	virtual      time.Duration
}

// Failed returns how many runs failed.
func (p *Printer) Failed() int { return p.failed }

// Result prints one line, and below it what is needed to understand a failure.
func (p *Printer) Result(r Result) error {
	p.runs++
	p.kills += r.Kills
	p.writes += r.Writes
	p.virtual += r.Virtual
	if !r.Passed {
		p.failed++
	}
	if p.JSON {
		return p.encode(r)
	}
	verdict := "ok    "
	if !r.Passed {
		verdict = "FAILED"
	}
	_, err := fmt.Fprintf(p.W, "%s seed %-4d %-8s %d>%d shards  %2d faults %2d kills  %5d writes %3d unknown %2d probes  blocked %5d ms  %5.1f s in %.2f s\n",
		verdict, r.Seed, r.Ending, r.Shards[0], r.Shards[1], r.Faults, r.Kills, r.Writes, r.Unknown, r.Probes,
		r.Blocked.Milliseconds(), r.Virtual.Seconds(), r.Real.Seconds())
	if err != nil || (r.Passed && !p.Verbose) {
		return err
	}
	_, err = io.WriteString(p.W, r.details(p.Verbose))
	return err
}

func (p *Printer) encode(r Result) error {
	out := struct {
		Event string `json:"event"`
		Result
		Plan  string   `json:"plan,omitempty"`
		Trace []string `json:"trace,omitempty"`
	}{Event: "run", Result: r}
	if !r.Passed || p.Verbose {
		out.Plan, out.Trace = r.Plan.String(), r.Trace
	}
	return json.NewEncoder(p.W).Encode(out)
}

// shortTrace is how much of the trace of a failed run is shown unasked.
const shortTrace = 40

func (r Result) details(whole bool) string {
	var b strings.Builder
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "  violated: %s\n", v)
	}
	fmt.Fprintf(&b, "  plan: %s\n", strings.ReplaceAll(r.Plan.String(), "\n", "\n  "))
	lines := r.Trace
	if cut := len(lines) - shortTrace; !whole && cut > 0 {
		lines = lines[cut:]
		fmt.Fprintf(&b, "  (the last %d of %d lines of the trace)\n", shortTrace, len(r.Trace))
	}
	for _, l := range lines {
		fmt.Fprintf(&b, "  %s\n", l)
	}
	if !r.Passed {
		// Once more, for those who see only the end of a long log.
		for _, v := range r.Violations {
			fmt.Fprintf(&b, "  violated: %s\n", v)
		}
		fmt.Fprintf(&b, "  repeat it: shardferry chaos%s --seeds %d --verbose\n", r.Nodes.flag(), r.Seed)
	}
	return b.String()
}

// Endured prints one line, and the trace below it if the run is over and failed.
func (p *Printer) Endured(e Endured, over bool) error {
	if over {
		p.runs++
		p.writes += e.Writes
		p.virtual += e.Virtual
		if !e.Passed {
			p.failed++
		}
	}
	if p.JSON {
		event := map[bool]string{true: "endured", false: "minute"}[over]
		return json.NewEncoder(p.W).Encode(struct {
			Event string `json:"event"`
			Endured
		}{event, e})
	}
	if _, err := fmt.Fprintln(p.W, e); err != nil || !over || (e.Passed && !p.Verbose) {
		return err
	}
	lines := e.Trace
	if cut := len(lines) - shortTrace; !p.Verbose && cut > 0 {
		lines = lines[cut:]
	}
	_, err := fmt.Fprintf(p.W, "  violated: %s\n  %s\n", strings.Join(e.Violations, "\n  violated: "), strings.Join(lines, "\n  "))
	return err
}

// Summary prints the last line.
func (p *Printer) Summary(real time.Duration) error {
	if p.JSON {
		return json.NewEncoder(p.W).Encode(map[string]any{
			"event": "summary", "runs": p.runs, "failed": p.failed, "kills": p.kills, "writes": p.writes,
			"virtual_seconds": p.virtual.Seconds(), "real_seconds": real.Seconds(),
		})
	}
	_, err := fmt.Fprintf(p.W, "%d runs, %d failed: %d writes acknowledged, %d kills, %.0f s of cluster life in %.1f s\n",
		p.runs, p.failed, p.writes, p.kills, p.virtual.Seconds(), real.Seconds())
	return err
}

// A trace is what was done in a run, with the time by the run's own clock. It
// takes the node's log as well.
type trace struct {
	began time.Time

	mu    sync.Mutex
	lines []string
}

func (t *trace) add(format string, args ...any) {
	line := fmt.Sprintf("%8.3f  %s", time.Since(t.began).Seconds(), fmt.Sprintf(format, args...))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line)
}

func (t *trace) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.lines...)
}

// logger returns a logger whose lines become part of the trace.
func (t *trace) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(traceWriter{t}, &slog.HandlerOptions{
		Level: slog.LevelInfo,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		},
	}))
}

type traceWriter struct{ t *trace }

func (w traceWriter) Write(p []byte) (int, error) {
	w.t.add("node: %s", strings.TrimSpace(string(p)))
	return len(p), nil
}
