package main

import (
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
)

// wanted is how much of the cases that apply must pass in each run.
const wanted = 0.98

// A report is what one run has brought.
type report struct {
	run     run
	known   list
	results []results // of each suite
	broken  []error   // why a suite has not come to its end
}

// all yields every case with its outcome.
func (r *report) all() iter.Seq2[string, outcome] {
	return func(yield func(string, outcome) bool) {
		for _, found := range r.results {
			for _, c := range slices.Sorted(maps.Keys(found)) {
				if !yield(c, found[c]) {
					return
				}
			}
		}
	}
}

// counts are the cases of a group by outcome. Those that the list says not to
// run count as failed.
type counts struct{ pass, fail, skipped int }

func (n counts) applying() int { return n.pass + n.fail }

func (r *report) counts(group string) counts {
	var n counts
	for c, o := range r.all() {
		if group != "" && groupOf(c) != group {
			continue
		}
		switch o {
		case pass:
			n.pass++
		case fail:
			n.fail++
		default:
			n.skipped++
		}
	}
	for _, e := range r.known {
		if e.skip && e.covers(r.run, e.cases) && (group == "" || groupOf(e.cases) == group) {
			n.fail++
		}
	}
	return n
}

// print writes the failures that the list does not know and reports whether
// all is as it should be.
func (r *report) print(w io.Writer) bool {
	good := true
	for c, o := range r.all() {
		if o == fail && !r.known.knows(r.run, c) {
			fmt.Fprintf(w, "%s: FAIL %s\n", r.run, c)
			good = false
		}
	}
	for _, err := range r.broken {
		if err != nil {
			fmt.Fprintf(w, "%s: %v\n", r.run, err)
			good = false
		}
	}
	n := r.counts("")
	if float64(n.pass) < wanted*float64(n.applying()) {
		fmt.Fprintf(w, "%s: only %d of %d pass\n", r.run, n.pass, n.applying())
		good = false
	}
	return good
}

// table renders the counts: a line for each group, a column for each run.
func table(reports []*report) string {
	var b strings.Builder
	line := func(name string, cell func(*report) string) {
		fmt.Fprintf(&b, "| %s |", name)
		for _, r := range reports {
			fmt.Fprintf(&b, " %s |", cell(r))
		}
		b.WriteByte('\n')
	}
	line("specification", func(r *report) string { return strings.ReplaceAll(r.run.topology, "-", " ") + ", " + r.run.version })
	line("---", func(*report) string { return "---" })
	for _, g := range groups() {
		line(g, func(r *report) string { return r.counts(g).String() })
	}
	line("**all**", func(r *report) string {
		n := r.counts("")
		return fmt.Sprintf("**%s** (%.1f %%)", n, 100*float64(n.pass)/float64(max(n.applying(), 1)))
	})
	return b.String()
}

func (n counts) String() string { return fmt.Sprintf("%d of %d", n.pass, n.applying()) }

// The markers between which a page has the table.
const (
	begin = "<!-- begin: make test-spec -->\n"
	end   = "<!-- end: make test-spec -->\n"
)

// rewrite replaces what a page has between the markers.
func rewrite(path, text string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	next, err := between(string(page), text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(next), 0o644)
}

func between(page, text string) (string, error) {
	head, rest, ok := strings.Cut(page, begin)
	if !ok {
		return "", fmt.Errorf("no line %q", strings.TrimSpace(begin))
	}
	_, tail, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("no line %q", strings.TrimSpace(end))
	}
	return head + begin + text + end + tail, nil
}
