package main

import (
	"regexp"
	"slices"
	"strings"
)

// An outcome is what has become of a case.
type outcome string

// The outcomes. A case that was skipped does not apply to the cluster, or the
// driver cannot run it.
const (
	pass    outcome = "PASS"
	fail    outcome = "FAIL"
	skipped outcome = "SKIP"
)

// results are the outcomes by case: folder/file.json/description.
type results map[string]outcome

var resultLine = regexp.MustCompile(`(?m)^\s*--- (PASS|FAIL|SKIP): (\S+) \(`)

// parse reads the output of a test binary. Only cases count, not the tests,
// files and folders around them, unless one fails although all within it pass.
func parse(output string) results {
	all := map[string]outcome{}
	good := map[string]bool{} // whether everything within passes, of what has something within
	for _, m := range resultLine.FindAllStringSubmatch(output, -1) {
		name, o := m[2], outcome(m[1])
		all[name] = o
		for i := range len(name) {
			if name[i] == '/' {
				before, seen := good[name[:i]]
				good[name[:i]] = (before || !seen) && o != fail
			}
		}
	}
	found := results{}
	for name, o := range all {
		fine, around := good[name]
		if c, ok := caseOf(name); ok && (!around || fine && o == fail) {
			found[c] = o
		}
	}
	return found
}

// completed reports whether the binary has come to its end.
func completed(output string) bool {
	output = strings.TrimRight(output, "\n")
	last := output[strings.LastIndexByte(output, '\n')+1:]
	return last == "PASS" || last == "FAIL"
}

// unexpected returns the cases that fail and are not known to, in order.
func (found results) unexpected(r run, known list) []string {
	var cases []string
	for c, o := range found {
		if o == fail && !known.knows(r, c) {
			cases = append(cases, c)
		}
	}
	slices.Sort(cases)
	return cases
}
