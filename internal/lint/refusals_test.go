package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// refusers are the packages whose refusals a user sees.
var refusers = []string{"", "api", "coordinator", "coordinator/state", "internal/accounts", "internal/node", "shardworker", "topology"}

// What the program refuses stands in docs/LIMITS.md in the words that it says,
// and nothing else does: values are "…" there.
func TestRefusalsAreQuoted(t *testing.T) {
	said := map[string]string{} // where, by text
	for _, dir := range refusers {
		paths, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		require.NoError(t, err)
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			for _, text := range refusals(file) {
				said[text] = path
			}
		}
	}
	require.Greater(t, len(said), 20, "has the way of refusing changed?")
	body := documents(t)[filepath.Join(root, "docs", "LIMITS.md")]
	_, section, found := strings.Cut(body, "\n## What it says\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	var quoted []string
	for line := range strings.Lines(section) {
		if cell := regexp.MustCompile("^\\| `([^`]+)` \\|").FindStringSubmatch(line); cell != nil {
			quoted = append(quoted, cell[1])
			assert.Contains(t, said, cell[1], "nothing says this")
		}
	}
	for text, path := range said {
		assert.True(t, slices.Contains(quoted, text), "%s says what docs/LIMITS.md does not quote:\n| `%s` |", path, text)
	}
}

// refusals returns what a file says in refusing something: the errors of other
// packages' to test for, the problems of two clusters, and changes that cannot be
// followed.
func refusals(file *ast.File) (texts []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if i >= len(n.Values) || !strings.HasPrefix(name.Name, "Err") {
					continue
				}
				if call, ok := n.Values[i].(*ast.CallExpr); ok && len(call.Args) == 1 {
					texts = append(texts, wording(call.Args[0]))
				}
			}
		case *ast.CallExpr:
			switch callee(n) {
			case "refuse":
				switch len(n.Args) {
				case 0, 1: // not a problem's text
				case 2: // of a collection: what is wrong, and what to do
					texts = append(texts, "… "+wording(n.Args[0])+": "+wording(n.Args[1]))
				default: // what to do, and what is wrong with its values
					texts = append(texts, wording(n.Args[1])+": "+wording(n.Args[0]))
				}
			case "Errorf":
				text := wording(n.Args[0])
				for _, e := range n.Args[1:] {
					if name := last(e); name == "ErrUnsupportedChange" || name == "ErrRefused" {
						text = strings.TrimSuffix(strings.TrimPrefix(text, "…: "), ": …")
						if strings.Trim(text, "…: ") != "" && !ends.MatchString(text) {
							texts = append(texts, text)
						}
					}
				}
			}
		case *ast.CompositeLit:
			if name, ok := n.Type.(*ast.Ident); !ok || name.Name != "Problem" {
				break
			}
			said := map[string]string{}
			for _, field := range n.Elts {
				if kv, ok := field.(*ast.KeyValueExpr); ok {
					said[last(kv.Key)] = wording(kv.Value)
					if last(kv.Value) == "true" {
						said[last(kv.Key)] = "true"
					}
				}
			}
			if said["Fatal"] == "true" && strings.Trim(said["What"], "… ") != "" {
				texts = append(texts, said["What"]+": "+said["Advice"])
			}
		}
		return true
	})
	return texts
}

// ends is a text that says only which of the clusters it is about.
var ends = regexp.MustCompile(`^(source|destination)(: …)?$`)

func callee(call *ast.CallExpr) string { return last(call.Fun) }

// last returns the last element of a name, empty for what is none.
func last(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

var verb = regexp.MustCompile(`%[+#]?[a-z]`)

// wording is the text of an expression, with "…" for what is not known here.
func wording(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil {
			return verb.ReplaceAllString(s, "…")
		}
	case *ast.BinaryExpr:
		return wording(e.X) + wording(e.Y)
	case *ast.CallExpr:
		if callee(e) == "Sprintf" {
			return wording(e.Args[0])
		}
	}
	return "…"
}
