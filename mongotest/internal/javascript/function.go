package javascript

import (
	"strings"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/parser"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// Bounds of sources: the parser recurses, and a goroutine's stack that is
// exhausted ends the program.
const (
	maxSource  = 1 << 20
	maxNesting = 1000
)

// sourceOf returns the source of code, without its scope, which the server
// ignores too.
func sourceOf(v bson.RawValue) (string, bool) {
	switch v.Type {
	case bson.TypeJavaScript:
		return v.JavaScript(), true
	case bson.TypeCodeWithScope:
		code, _ := v.CodeWithScope()
		return code, true
	default:
		return "", false
	}
}

// function returns the function of a source, compiled once.
func (e *Engine) function(code string) (goja.Callable, error) {
	if fn, ok := e.funcs[code]; ok {
		return fn, nil
	}
	v, err := e.functionValue(code)
	if err != nil {
		return nil, err
	}
	fn, ok := goja.AssertFunction(v)
	if !ok {
		return nil, syntaxError(errNoFunction)
	}
	e.funcs[code] = fn
	return fn, nil
}

type sourceError string

func (s sourceError) Error() string { return string(s) }

const errNoFunction = sourceError("not a function")

func (e *Engine) functionValue(code string) (goja.Value, error) {
	src, err := wrapped(code)
	if err != nil {
		return nil, err
	}
	p, err := compile("", src)
	if err != nil {
		return nil, syntaxError(err)
	}
	return e.vm.RunProgram(p)
}

// compile reads no source maps: their names are file names.
func compile(name, src string) (*goja.Program, error) {
	tree, err := goja.Parse(name, src, parser.WithDisableSourceMaps)
	if err != nil {
		return nil, err
	}
	return goja.CompileAST(tree, false)
}

// wrapped makes a function expression of a source that is one, or that is the
// body of one: statements, of which the last, if it is an expression, is what
// the function returns (the server's parseJSFunctionOrExpression).
func wrapped(code string) (string, error) {
	code = strings.TrimRight(code, "; \t\r\n")
	if err := checkNesting(code); err != nil {
		return "", err
	}
	if src := "(" + code + "\n)"; isFunction(src) {
		return src, nil
	}
	const head, tail = "(function() { ", "\n})"
	src := head + code + tail
	p, err := parser.ParseFile(nil, "", src, 0, parser.WithDisableSourceMaps)
	if err != nil {
		return "", syntaxError(err)
	}
	at, ok := returned(p)
	if !ok {
		return src, nil
	}
	with := withReturn(src, outside(src, at, len(head)))
	if !returns(with) { // a comment looked like a parenthesis
		with = withReturn(src, at)
	}
	return with, nil
}

func withReturn(src string, at int) string { return src[:at] + "return " + src[at:] }

// outside returns the place before the parentheses around the expression at
// at, which do not belong to its node.
func outside(src string, at, from int) int {
	for i := at - 1; i >= from; i-- {
		switch src[i] {
		case '(':
			at = i
		case ' ', '\t', '\r', '\n':
		default:
			return at
		}
	}
	return at
}

func isFunction(src string) bool {
	p, err := parser.ParseFile(nil, "", src, 0, parser.WithDisableSourceMaps)
	return err == nil && onlyFunction(p) != nil
}

// returned returns the place of the last statement of the only function in p,
// if that is an expression.
func returned(p *ast.Program) (int, bool) {
	last, ok := lastStatement(p).(*ast.ExpressionStatement)
	if !ok {
		return 0, false
	}
	return int(last.Idx0()) - 1, true
}

// returns reports whether the only function in src ends with a return.
func returns(src string) bool {
	p, err := parser.ParseFile(nil, "", src, 0, parser.WithDisableSourceMaps)
	if err != nil {
		return false
	}
	_, ok := lastStatement(p).(*ast.ReturnStatement)
	return ok
}

func lastStatement(p *ast.Program) ast.Statement {
	f := onlyFunction(p)
	if f == nil || len(f.Body.List) == 0 {
		return nil
	}
	return f.Body.List[len(f.Body.List)-1]
}

// onlyFunction returns the function expression that p consists of.
func onlyFunction(p *ast.Program) *ast.FunctionLiteral {
	if len(p.Body) != 1 {
		return nil
	}
	s, ok := p.Body[0].(*ast.ExpressionStatement)
	if !ok {
		return nil
	}
	f, _ := s.Expression.(*ast.FunctionLiteral)
	return f
}

// checkNesting refuses a source that would take the parser too deep. It counts
// opening brackets and signs of any kind that follow each other, so it may
// refuse strange texts, but none that people write.
func checkNesting(src string) error {
	if len(src) > maxSource {
		return tooDeep()
	}
	depth, run := 0, 0
	for i := range len(src) {
		switch src[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(depth-1, 0)
		case '!', '~', '+', '-':
			run++
		case ' ', '\t', '\n', '\r':
		case ';':
			run = 0
		}
		if depth > maxNesting || run > 20*maxNesting {
			return tooDeep()
		}
	}
	return nil
}
