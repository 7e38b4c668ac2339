package lint

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/shardferry/shardferry"

// imports lists, for every package, the packages of this module it may import.
// Read it as the architecture: arrows go only downward, and none is implied.
var imports = map[string][]string{
	"":                   {},
	"internal/mongoconn": {""},
	"internal/keyhash":   {""},
	"internal/accounts":  {"", "internal/mongoconn"},
	"internal/model":     {},
	"internal/peer":      {""},
	// What judges the control plane shares no code with it.
	"internal/linear": {},
	// Test files import it, and whoever plays a cluster of nodes in virtual time.
	"internal/peer/virtual": {},
	"internal/lint":         {},
	"coordinator/state":     {""},
	"coordinator":           {"", "coordinator/state"},
	"shardworker":           {"", "internal/keyhash", "internal/mongoconn"},
	"topology":              {"", "internal/mongoconn"},
	"verify":                {"", "internal/mongoconn", "topology"},
	"reverse":               {"", "coordinator/state", "internal/mongoconn", "topology"},
	"api":                   {"", "verify"},
	"internal/node": {
		"", "api", "coordinator", "coordinator/state", "internal/accounts", "internal/mongoconn",
		"internal/peer", "reverse", "shardworker", "topology", "verify",
	},
	"internal/speccheck": {"mongotest"},
	"internal/capacity":  {"", "coordinator", "coordinator/state"},
	"internal/rehearse":  {"", "api", "internal/mongoconn", "internal/node", "mongotest", "verify"},
	"internal/mortal":    {"internal/mongoconn", "internal/node"},
	"chaos":              {"", "api", "coordinator/state", "internal/mongoconn", "internal/mortal", "internal/node", "internal/peer", "internal/peer/virtual", "internal/rehearse", "mongotest", "verify"},
	// The checker shares no code with the product: not a mistake either.
	"internal/soak/checker": {},
	"internal/soak": {
		"", "api", "coordinator/state", "internal/mongoconn", "internal/mortal", "internal/node",
		"internal/soak/checker", "mongotest",
	},
	"cmd/shardferry": {"", "api", "chaos", "coordinator", "coordinator/state", "internal/capacity", "internal/mongoconn", "internal/node", "internal/peer", "internal/rehearse", "mongotest", "verify"},
}

func TestImportsGoOnlyDownward(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"/...").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		pkg := local(f[0])
		allowed, ok := imports[pkg]
		if simulator(pkg) {
			ok = true
		}
		if !ok {
			t.Errorf("package %q is not in the list of layers", pkg)
		}
		for _, imp := range f[1:] {
			if !strings.HasPrefix(imp, module) {
				continue
			}
			// Product and simulator must not share a misunderstanding.
			if simulator(pkg) {
				assert.True(t, simulator(local(imp)), "%q belongs to the simulator and must not import %q", pkg, local(imp))
				continue
			}
			assert.True(t, slices.Contains(allowed, local(imp)), "%q must not import %q", pkg, local(imp))
		}
	}
}

func simulator(pkg string) bool { return pkg == "mongotest" || strings.HasPrefix(pkg, "mongotest/") }

func local(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
}

func TestFilesStayShort(t *testing.T) {
	const limit = 500
	eachGoFile(t, func(path string, lines []string) {
		if len(lines) > limit {
			t.Errorf("%s has %d lines; the limit is %d", path, len(lines), limit)
		}
	})
}

// A test that sleeps outside a synctest bubble is slow or races. The bubble may
// be opened by a helper in another file of the package.
func TestNoSleepOutsideABubble(t *testing.T) {
	sleeps, bubbles := map[string]string{}, map[string]bool{}
	eachGoFile(t, func(path string, lines []string) {
		if !strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "lint_test.go") {
			return
		}
		text := strings.Join(lines, "\n")
		if strings.Contains(text, "time.Sleep(") {
			sleeps[filepath.Dir(path)] = path
		}
		if strings.Contains(text, "synctest.Test(") {
			bubbles[filepath.Dir(path)] = true
		}
	})
	for dir, path := range sleeps {
		assert.True(t, bubbles[dir], "%s sleeps but its package opens no synctest bubble", path)
	}
}

func eachGoFile(t *testing.T, f func(path string, lines []string)) {
	root := filepath.Join("..", "..")
	require.NoError(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		var lines []string
		for s := bufio.NewScanner(file); s.Scan(); {
			lines = append(lines, s.Text())
		}
		f(path, lines)
		return nil
	}))
}
