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

// parse reads the output of a test binary. Only cases count, not the files and
// folders around them, but for a file that is skipped or fails as a whole.
func parse(output string) results {
	found := results{}
	for _, m := range resultLine.FindAllStringSubmatch(output, -1) {
		test, rest, _ := strings.Cut(m[2], "/")
		folder, ok := folderOf(test)
		if !ok {
			continue
		}
		if _, description, ok := strings.Cut(rest, ".json/"); ok && description != "" {
			found[folder+rest] = outcome(m[1])
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
