package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// root is the module's directory as seen from this package.
var root = filepath.Join("..", "..")

// documents returns README.md and every page of docs/ by its path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	docs := map[string]string{}
	for _, path := range append(paths, filepath.Join(root, "README.md")) {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		docs[path] = string(b)
	}
	return docs
}

var (
	fence = regexp.MustCompile("(?ms)^ *```.*?^ *```[ \t]*$")
	span  = regexp.MustCompile("`[^`\n]+`")
	// A symbol is cited by the last element of its package: `state.Commit` or
	// `state.Leg.ResumePoint`.
	symbol = regexp.MustCompile(`^\*?([a-z]+)\.([A-Za-z]\w*)(?:\.([A-Za-z]\w*))?(?:\(.*\))?$`)
)

// spans returns what a page has in backticks, outside code blocks.
func spans(body string) []string {
	var out []string
	for _, s := range span.FindAllString(fence.ReplaceAllString(body, ""), -1) {
		out = append(out, strings.Trim(s, "`"))
	}
	return out
}

func TestSymbolsInDocumentsExist(t *testing.T) {
	known := map[string]map[string]bool{}
	for pkg := range imports {
		name := pkg[strings.LastIndex(pkg, "/")+1:]
		switch pkg {
		case "":
			name = "shardferry"
		case "cmd/shardferry":
			name = "main"
		}
		known[name] = declared(t, filepath.Join(root, pkg))
	}
	known["mongotest"] = declared(t, filepath.Join(root, "mongotest"))
	cited := 0
	for path, body := range documents(t) {
		for _, s := range spans(body) {
			m := symbol.FindStringSubmatch(s)
			if m == nil || known[m[1]] == nil || jsonField(m[1], m[2]) {
				continue
			}
			want := m[2]
			if m[3] != "" {
				want += "." + m[3]
			}
			cited++
			assert.True(t, known[m[1]][want], "%s cites `%s`, which does not exist", path, s)
		}
	}
	assert.NotZero(t, cited, "no page cites a symbol: has the way of citing changed?")
}

// jsonField reports whether a span names a field of the progress, such as
// shardferry.phase. The root package has exported names only.
func jsonField(pkg, name string) bool { return pkg == "shardferry" && !ast.IsExported(name) }

// declared returns the names a package declares: functions, types, variables
// and constants, and as Type.Name its methods and fields.
func declared(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				names[receiver(d)+d.Name.Name] = true
			case *ast.GenDecl:
				for _, s := range d.Specs {
					addSpec(names, s)
				}
			}
		}
	}
	return names
}

func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name + "."
	}
	return ""
}

func addSpec(names map[string]bool, s ast.Spec) {
	switch s := s.(type) {
	case *ast.ValueSpec:
		for _, n := range s.Names {
			names[n.Name] = true
		}
	case *ast.TypeSpec:
		names[s.Name.Name] = true
		var members *ast.FieldList
		switch typ := s.Type.(type) {
		case *ast.StructType:
			members = typ.Fields
		case *ast.InterfaceType:
			members = typ.Methods
		default:
			return
		}
		for _, f := range members.List {
			for _, n := range f.Names {
				names[s.Name.Name+"."+n.Name] = true
			}
		}
	}
}

// Uses of the program, of make and of the API, in backticks and in code blocks.
var (
	commandLine = regexp.MustCompile(`(?:^|[\s/])shardferry ([a-z]+)`)
	flagName    = regexp.MustCompile(`(?:^|[\s(])--([a-z][a-z-]*)`)
	makeTarget  = regexp.MustCompile(`^ *make ([a-z]+(?:-[a-z]+)*)`)
	apiPath     = regexp.MustCompile(`/api/v1/([a-z]+)`)
	link        = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
)

func TestCommandsInDocumentsExist(t *testing.T) {
	commands, flags := commandLineNames(t)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	var server []byte
	for _, name := range []string{"server.go", "commands.go", "cluster.go"} {
		b, err := os.ReadFile(filepath.Join(root, "api", name))
		require.NoError(t, err)
		server = append(server, b...)
	}
	for path, body := range documents(t) {
		for _, line := range append(spans(body), examples(body)...) {
			for _, m := range commandLine.FindAllStringSubmatch(line, -1) {
				assert.True(t, commands[m[1]], "%s: there is no command %q", path, m[1])
			}
			for _, m := range flagName.FindAllStringSubmatch(line, -1) {
				assert.True(t, flags[m[1]], "%s: there is no flag --%s", path, m[1])
			}
			for _, m := range makeTarget.FindAllStringSubmatch(line, -1) {
				assert.Regexp(t, `(?m)^`+m[1]+`:`, string(makefile), "%s: make %s", path, m[1])
			}
		}
		for _, m := range apiPath.FindAllStringSubmatch(body, -1) {
			assert.Regexp(t, `"`+m[1]+`"|/api/v1/`+m[1]+`"`, string(server), "%s: %s", path, m[0])
		}
	}
}

// examples returns the lines of code blocks that run the program or make.
func examples(body string) []string {
	var out []string
	for _, block := range fence.FindAllString(body, -1) {
		for line := range strings.Lines(block) {
			if commandLine.MatchString(line) || makeTarget.MatchString(line) {
				out = append(out, line)
			}
		}
	}
	return out
}

// commandLineNames returns the names of commands and flags: the Name fields in
// the source of the program, and the commands that its helper makes.
func commandLineNames(t *testing.T) (commands, flags map[string]bool) {
	t.Helper()
	commands, flags = map[string]bool{}, map[string]bool{"help": true, "version": true}
	paths, err := filepath.Glob(filepath.Join(root, "cmd", "shardferry", "*.go"))
	require.NoError(t, err)
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				name, typ := nameField(n), literalType(n)
				switch {
				case name == "":
				case typ == "Command":
					commands[name] = true
				case strings.HasSuffix(typ, "Flag"):
					flags[name] = true
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "controlCommand" && len(n.Args) > 0 {
					commands[text(n.Args[0])] = true
				}
			}
			return true
		})
	}
	return commands, flags
}

func literalType(c *ast.CompositeLit) string {
	if sel, ok := c.Type.(*ast.SelectorExpr); ok {
		return sel.Sel.Name
	}
	return ""
}

func nameField(c *ast.CompositeLit) string {
	for _, e := range c.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Name" {
			return text(kv.Value)
		}
	}
	return ""
}

func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return s
}

func TestLinksInDocumentsLeadSomewhere(t *testing.T) {
	for path, body := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(body, ""), -1) {
			_, err := os.Stat(filepath.Join(filepath.Dir(path), m[1]))
			assert.NoError(t, err, "%s links to %s", path, m[1])
		}
	}
}

// Every package has its place in the architecture, and every module that the
// project uses its reason.
func TestDocumentsAreComplete(t *testing.T) {
	docs := documents(t)
	architecture := spans(docs[filepath.Join(root, "docs", "ARCHITECTURE.md")])
	for pkg := range imports {
		if pkg != "" {
			assert.True(t, slices.Contains(architecture, pkg), "docs/ARCHITECTURE.md does not mention `%s`", pkg)
		}
	}
	dependencies := spans(docs[filepath.Join(root, "docs", "DEPENDENCIES.md")])
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	for line := range strings.Lines(string(gomod)) {
		f := strings.Fields(line)
		if len(f) == 2 && strings.Contains(f[0], "/") && f[0] != "module" {
			assert.True(t, slices.Contains(dependencies, f[0]), "docs/DEPENDENCIES.md does not mention `%s`", f[0])
		}
	}
}

// A page that cites a test promises that it is there.
func TestCitedTestsExist(t *testing.T) {
	defined := map[string]bool{}
	eachGoFile(t, func(path string, lines []string) {
		if !strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, l := range lines {
			if m := testFunc.FindStringSubmatch(l); m != nil {
				defined[m[1]] = true
			}
		}
	})
	cited := 0
	for path, body := range documents(t) {
		for _, s := range spans(body) {
			if testName.MatchString(s) {
				cited++
				assert.True(t, defined[s], "%s cites the test `%s`, which does not exist", path, s)
			}
		}
	}
	assert.NotZero(t, cited)
}

var (
	testFunc = regexp.MustCompile(`^func (Test[A-Z]\w*)\(`)
	testName = regexp.MustCompile(`^Test[A-Z]\w*$`)
)
