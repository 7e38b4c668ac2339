package main

import (
	"regexp"
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

// The tests that the specifications tell in prose, and those of the Go driver
// that ask a server. Not those of encryption, of logins, of what a driver finds
// in its environment, of load balancers, of logging, and of the driver's own
// time limits.
const proseTests = "^(TestCausalConsistency_Supported|TestCausalConsistency_NotSupported|TestChangeStream_ReplicaSet|TestChangeStream_Standalone|" +
	"TestClient|TestClientBulkWriteProse|TestClient_BulkWrite|TestClient_BSONOptions|TestCollection|" +
	"TestConnectionsSurvivePrimaryStepDown|TestCSOT_errors|TestCSOT_maxTimeMS|TestCursor|TestDatabase|TestErrors|" +
	"TestErrorsCodeNamePropagated|TestGridFS|TestHintErrors|TestIndexView|TestMongosPinning|TestRetryableReadsProse|TestRetryableWritesProse|" +
	"TestSDAMErrorHandling|TestSDAMProse|TestServerSelectionProse|TestSessionPool|TestSessions|TestSessionsProse|TestWriteConcernError|" +
	"TestWriteErrorsDetails|TestWriteErrorsWithLabels)$"

// proseFolder is the folder of their cases.
const proseFolder = "prose/"

// testOf is the test under which -cases are looked for.
func testOf(suite string) string {
	switch suite {
	case "unified":
		return "TestUnifiedSpec"
	case "prose":
		return "^$" // cases are files, which these tests do not have
	default:
		return "TestUnifiedSpecs|TestRetryableWritesSpec|TestCrudSpec"
	}
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
	}
	return "", false
}

var isProse = regexp.MustCompile(proseTests)

// caseOf returns the name of the case that a test or a part of it is. Of the
// tests that read files only what stands in a file is a case.
func caseOf(name string) (c string, ok bool) {
	test, rest, _ := strings.Cut(name, "/")
	if isProse.MatchString(test) {
		return proseFolder + name, true
	}
	folder, ok := folderOf(test)
	if !ok {
		return "", false
	}
	_, description, ok := strings.Cut(rest, ".json/")
	return folder + rest, ok && description != ""
}

// testNames returns the names under which the binaries know a case.
func testNames(c string) []string {
	if name, ok := strings.CutPrefix(c, proseFolder); ok {
		return []string{name}
	}
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
		"collection-management", "run-command", "gridfs", "versioned-api", "unified-test-format", "prose",
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
