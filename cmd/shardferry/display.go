package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/node"
)

// A display shows how a sync does: a bar that is drawn over on a terminal, else
// a line now and then, or JSON objects. It is used by one goroutine.
type display struct {
	w        io.Writer
	json     bool
	bar      bool // w is a terminal
	drawn    bool // the cursor stands at the end of a bar
	interval time.Duration
	last     time.Time
	state    string
}

func newDisplay(w io.Writer, json bool, interval time.Duration) *display {
	f, ok := w.(*os.File)
	return &display{w: w, json: json, interval: interval, bar: !json && ok && term.IsTerminal(int(f.Fd()))}
}

// event reports something that happened once.
func (d *display) event(name, format string, args ...any) {
	if d.json {
		d.object(map[string]any{"event": name, "text": fmt.Sprintf(format, args...)})
		return
	}
	d.text(format, args...)
}

// text prints a line for people; with --json it is an event called message.
func (d *display) text(format string, args ...any) {
	if d.json {
		d.object(map[string]any{"event": "message", "text": fmt.Sprintf(format, args...)})
		return
	}
	d.endBar()
	fmt.Fprintf(d.w, format+"\n", args...)
}

func (d *display) object(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte(fmt.Sprintf(`{"event":"message","text":%q}`, err.Error()))
	}
	fmt.Fprintf(d.w, "%s\n", b)
}

// resumed says what a sync that goes on had done.
func (d *display) resumed(r node.Resumed) {
	if d.json {
		d.object(map[string]any{
			"event": "resumed", "state": r.State, "phase": r.Phase, "copyTasksDone": r.TasksDone,
			"copyTasks": r.Tasks, "documentsCopied": r.Documents, "resumePoint": api.Time(r.ResumePoint),
		})
		return
	}
	d.text("resumed: %s (%s), %d of %d copy tasks and %d documents are recorded as copied; changes go on after cluster time %d:%d; batches that were in flight or not recorded yet are done again",
		r.State, r.Phase, r.TasksDone, r.Tasks, r.Documents, r.ResumePoint.T, r.ResumePoint.I)
}

// committed says which cluster takes writes after the last commit. stays tells
// whether this process goes on to keep the other one current.
func (d *display) committed(p api.Progress, stays bool) {
	c := p.Detail.Commit
	if c == nil {
		c = &api.Commit{Differences: -1} // never said to be verified
	}
	home, other := "destination", "source"
	if p.Detail.Direction == string(state.Forward) { // it was rolled back
		home, other = other, home
	}
	if d.json {
		d.object(map[string]any{
			"event": "committed", "verified": c.Differences == 0, "documents": c.Documents, "writable": home,
			"writesBlockedMillis": c.BlockedMS, "events": p.TotalEvents, "repairs": p.Detail.Repairs, "reversible": p.Detail.Reversible,
		})
		return
	}
	d.text("committed: the %s takes writes; %d documents verified, %d differences, writes were blocked for %d ms", home, c.Documents, c.Differences, c.BlockedMS)
	switch {
	case stays:
		d.text("the %s is kept current while this runs; shardferry rollback returns to it", other)
	case p.Detail.Reversible:
		d.text("the way back is open as long as the %s's oplog reaches back: the same command with --stay keeps the %s current, then shardferry rollback returns to it", home, other)
	}
}

// progress shows where the sync stands, at once when the state has changed.
func (d *display) progress(p api.Progress) {
	at := string(p.State) + p.Detail.Phase
	if c := p.Detail.Commit; c != nil && c.InProgress {
		at += c.Step
	}
	now := time.Now()
	if at == d.state && !d.bar && now.Sub(d.last) < d.interval {
		return
	}
	d.state, d.last = at, now
	switch {
	case d.json:
		d.object(map[string]any{"event": "progress", "progress": p})
	case d.bar:
		fmt.Fprintf(d.w, "\r\x1b[K%s", line(p, true))
		d.drawn = true
	default:
		fmt.Fprintln(d.w, line(p, false))
	}
}

func (d *display) endBar() {
	if d.drawn {
		fmt.Fprintln(d.w)
		d.drawn = false
	}
}

const barWidth = 24

// line renders progress on one line.
func line(p api.Progress, bar bool) string {
	parts := []string{string(p.State)}
	if p.Detail.Phase != "" && p.State == shardferry.StateRunning {
		parts = append(parts, p.Detail.Phase)
	}
	if total := p.CollectionCopy.Estimated; total != nil && p.Detail.TasksDone < p.Detail.TasksTotal {
		done := 1.0
		if *total > 0 {
			done = float64(p.CollectionCopy.Copied) / float64(*total)
		}
		if bar {
			n := min(int(done*barWidth), barWidth)
			parts = append(parts, "["+strings.Repeat("#", n)+strings.Repeat(".", barWidth-n)+"]")
		}
		parts = append(parts, fmt.Sprintf("%.0f %% copied", done*100))
	}
	parts = append(parts, fmt.Sprintf("%d documents", p.Detail.DocumentsCopied), fmt.Sprintf("%d events", p.TotalEvents))
	if p.Lag != nil {
		parts = append(parts, fmt.Sprintf("lag %d s", p.Lag.Overall))
	} else {
		parts = append(parts, "lag unknown")
	}
	if p.IndexBuilding.Built < p.IndexBuilding.Total {
		parts = append(parts, fmt.Sprintf("%d of %d indexes", p.IndexBuilding.Built, p.IndexBuilding.Total))
	}
	if c := p.Detail.Commit; c != nil && c.InProgress {
		parts = append(parts, c.Step)
	}
	switch {
	case p.Detail.Hold != "":
		parts = append(parts, p.Detail.Hold)
	case len(p.Detail.Waits) > 0:
		w := p.Detail.Waits[0]
		parts = append(parts, fmt.Sprintf("no progress for %d s: %s: %s", w.Seconds, w.What, w.Why))
	case p.CanCommit:
		parts = append(parts, "can commit")
	case p.Detail.Waiting != "":
		parts = append(parts, p.Detail.Waiting)
	}
	return strings.Join(parts, ", ")
}
