package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// An entry is one line of the list of cases that are known not to pass:
//
//	fail sharded transactions/legacy/commit.json/some_case # why
//
// The second word is a run, a topology, a version or "all". A case that ends in
// an asterisk stands for all that begin so.
type entry struct {
	skip   bool // not even run, since it would only wait
	where  string
	cases  string
	reason string
}

func (e entry) String() string {
	verb := "fail"
	if e.skip {
		verb = "skip"
	}
	return fmt.Sprintf("%s %s %s", verb, e.where, e.cases)
}

func (e entry) covers(r run, c string) bool {
	if !slices.Contains([]string{"all", r.String(), r.topology, r.version}, e.where) {
		return false
	}
	prefix, wild := strings.CutSuffix(e.cases, "*")
	return c == e.cases || wild && strings.HasPrefix(c, prefix)
}

// A list is what is known not to pass.
type list []entry

func readList(path string) (list, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	l, err := parseList(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

func parseList(text string) (list, error) {
	var l list
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		head, reason, _ := strings.Cut(line, " # ")
		f := strings.Fields(head)
		if len(f) != 3 || f[0] != "fail" && f[0] != "skip" || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("line %d: want \"fail|skip WHERE CASE # REASON\"", n)
		}
		l = append(l, entry{skip: f[0] == "skip", where: f[1], cases: f[2], reason: strings.TrimSpace(reason)})
	}
	return l, nil
}

// knows reports whether a case of a run is on the list.
func (l list) knows(r run, c string) bool {
	return slices.ContainsFunc(l, func(e entry) bool { return e.covers(r, c) })
}

// skipPattern is the -test.skip of a run.
func (l list) skipPattern(r run) string {
	var cases []string
	for _, e := range l {
		if e.skip && e.covers(r, e.cases) {
			cases = append(cases, e.cases)
		}
	}
	return exactly(cases)
}

// exactly returns the pattern of -test.run and -test.skip that matches these
// cases alone.
func exactly(cases []string) string {
	var patterns []string
	for _, c := range cases {
		for _, name := range testNames(c) {
			parts := strings.Split(name, "/")
			for i, p := range parts {
				parts[i] = "^" + regexp.QuoteMeta(p) + "$"
			}
			patterns = append(patterns, strings.Join(parts, "/"))
		}
	}
	return strings.Join(patterns, "|")
}

// stale returns the entries that no failure of the reports needs, among those
// that could be needed there.
func (l list) stale(reports []*report) list {
	return slices.DeleteFunc(slices.Clone(l), func(e entry) bool {
		concerned := false
		for _, r := range reports {
			if !slices.Contains([]string{"all", r.run.String(), r.run.topology, r.run.version}, e.where) {
				continue
			}
			concerned = true
			for c, o := range r.all() {
				if o == fail && e.covers(r.run, c) {
					return true
				}
			}
		}
		return e.skip || !concerned
	})
}

// table renders the list for the documents: the cases under each reason.
func (l list) table() string {
	if len(l) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\nNot passing, with the reason:\n\n| cases | where | reason |\n| --- | --- | --- |\n")
	for _, e := range l {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", e.cases, e.where, e.reason)
	}
	return b.String()
}
