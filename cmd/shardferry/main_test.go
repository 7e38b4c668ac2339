package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The tests of this package run the program as a user does: processes that talk
// over TCP. They are small by default. By hand, at full size:
//
//	SHARDFERRY_TEST_DOCS=500000 SHARDFERRY_TEST_RATE=2000 go test -v -timeout 30m -run 'Killed|Writes' ./cmd/shardferry/
//	SHARDFERRY_TEST_KILLS=20 SHARDFERRY_TEST_SEED=7 go test -v -timeout 30m -run Random ./cmd/shardferry/

// binary is the path of the program under test.
var binary string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "shardferry-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // of no use after the tests
	binary = filepath.Join(dir, "shardferry")
	out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
