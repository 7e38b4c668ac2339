package coordinator

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every error that callers of commands tell apart travels between nodes.
func TestEveryErrorHasAName(t *testing.T) {
	source, err := os.ReadFile("wire.go")
	require.NoError(t, err)
	found := 0
	for _, dir := range []string{"..", "state"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		for _, path := range files {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			require.NoError(t, err)
			ast.Inspect(f, func(n ast.Node) bool {
				var name string
				switch n := n.(type) {
				case *ast.FuncDecl:
					return false
				case *ast.ValueSpec:
					name = n.Names[0].Name
					if !strings.HasPrefix(name, "Err") {
						return true
					}
				case *ast.TypeSpec:
					name = n.Name.Name
					if !strings.HasSuffix(name, "Error") {
						return true
					}
				default:
					return true
				}
				found++
				assert.Contains(t, string(source), f.Name.Name+"."+name, "it would not be found on another node")
				return true
			})
		}
	}
	assert.Positive(t, found)
}
