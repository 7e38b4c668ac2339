package main

import (
	"slices"
	"strings"
)

// The tests whose cases count: folders of the specifications that concern a
// server. Authentication, encryption, monitoring of servers and pools, load
// balancers, logging and search indexes are about the driver or about what the
// simulated server does not have.
const (
	unifiedFolders = "TestUnifiedSpec/^(crud|change-streams|transactions|sessions|retryable-writes|retryable-reads|" +
		"collection-management|run-command|gridfs|versioned-api)|TestUnifiedSpec/unified-test-format/valid-pass"
	legacyFolders = "TestUnifiedSpecs/^(transactions|convenient-transactions|retryable-reads)|TestRetryableWritesSpec|TestCrudSpec"
)

// testOf is the test under which -cases are looked for.
func testOf(suite string) string {
	if suite == "unified" {
		return "TestUnifiedSpec"
	}
	return "TestUnifiedSpecs|TestRetryableWritesSpec|TestCrudSpec"
}

// folderOf are the tests that have a folder for themselves.
func folderOf(test string) (folder string, ok bool) {
	switch test {
	case "TestUnifiedSpec", "TestUnifiedSpecs":
		return "", true
	case "TestRetryableWritesSpec":
		return "retryable-writes/legacy/", true
	case "TestCrudSpec":
		return "crud/v1/", true
	default:
		return "", false
	}
}

// testNames returns the names under which the binaries know a case.
func testNames(c string) []string {
	names := []string{"TestUnifiedSpec/" + c, "TestUnifiedSpecs/" + c}
	for _, test := range []string{"TestRetryableWritesSpec", "TestCrudSpec"} {
		folder, _ := folderOf(test)
		if rest, ok := strings.CutPrefix(c, folder); ok {
			names = append(names, test+"/"+rest)
		}
	}
	return names
}

// groups are the lines of the table, in its order.
func groups() []string {
	return []string{
		"crud", "change-streams", "transactions", "convenient-transactions", "sessions", "retryable-writes", "retryable-reads",
		"collection-management", "run-command", "gridfs", "versioned-api", "unified-test-format",
	}
}

// groupOf returns the line of the table that a case is counted in.
func groupOf(c string) string {
	group, _, _ := strings.Cut(c, "/")
	if slices.Contains(groups(), group) {
		return group
	}
	return "other"
}
