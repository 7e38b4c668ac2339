package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The module that carries the specification tests. It must not be required by
// this one, so that the tests stay what they are whatever driver is in use here.
const (
	suiteModule  = "go.mongodb.org/mongo-driver/v2"
	suiteVersion = "v2.1.0"
)

// A suite is a test binary and what of it counts.
type suite struct {
	name    string
	binary  string
	dir     string // to run it in: its tests look for their files from there
	pattern string // of -test.run
}

// buildSuites returns the suites, whose binaries it compiles unless bin has
// them already.
func buildSuites(ctx context.Context, bin string) ([]suite, error) {
	module, err := download(ctx)
	if err != nil {
		return nil, err
	}
	bin, err = filepath.Abs(filepath.Join(bin, suiteVersion))
	if err != nil {
		return nil, err
	}
	integration := filepath.Join(module, "internal/integration")
	suites := []suite{
		{name: "unified", dir: filepath.Join(integration, "unified"), pattern: unifiedFolders},
		{name: "integration", dir: integration, pattern: legacyFolders},
		{name: "prose", dir: integration, pattern: proseTests},
	}
	for i := range suites {
		s := &suites[i]
		s.binary = filepath.Join(bin, filepath.Base(s.dir)+".test")
		if _, err := os.Stat(s.binary); err == nil {
			continue
		}
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", s.binary, ".")
		cmd.Dir = s.dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("compile %s: %w\n%s", s.name, err, out)
		}
	}
	return suites, nil
}

// download returns the directory of the module in the module cache.
func download(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", suiteModule+"@"+suiteVersion)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var m struct{ Dir, Error string }
	if len(out) > 0 {
		if jsonErr := json.Unmarshal(out, &m); jsonErr != nil {
			return "", fmt.Errorf("go mod download: %w", jsonErr)
		}
	}
	if err != nil {
		return "", fmt.Errorf("go mod download: %w: %s", err, m.Error)
	}
	return m.Dir, nil
}
