package javascript

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dop251/goja"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// failure makes an error of the engine one of the server.
func failure(ctx context.Context, err error) error {
	var stopped *goja.InterruptedError
	var thrown *goja.Exception
	var overflow *goja.StackOverflowError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &stopped):
		if ended := ctx.Err(); ended != nil {
			return ended // the operation knows why
		}
		if cause, ok := stopped.Value().(error); ok {
			return cause
		}
		return mongoerr.New(mongoerr.Interrupted, "JavaScript execution interrupted")
	case errors.As(err, &overflow):
		return tooDeep()
	case errors.As(err, &thrown):
		return exception(thrown)
	default:
		return err
	}
}

// exception is the error of an uncaught exception. One that began as an error
// of the server stays that; objects become JSInterpreterFailure, and other
// values UnknownError, as in the server (MozJSImplScope::_checkErrorState).
func exception(x *goja.Exception) error {
	var own *mongoerr.Error
	if errors.As(x, &own) {
		return own
	}
	v := x.Value()
	if _, ok := v.(*goja.Object); !ok {
		return mongoerr.New(mongoerr.UnknownError, "uncaught exception: %s", shown(v))
	}
	return mongoerr.New(mongoerr.JSInterpreterFailure, "%s :\n%s", shown(v), trace(x))
}

// maxShown bounds what a message repeats of a thrown value.
const maxShown = 512 << 10

func shown(v goja.Value) string {
	s := fmt.Sprint(v)
	return strings.ToValidUTF8(s[:min(len(s), maxShown)], "")
}

// trace renders the stack in the form that the server's engine has.
func trace(x *goja.Exception) string {
	var b strings.Builder
	for _, f := range x.Stack() {
		if f.SrcName() == preludeName || f.SrcName() == "<native>" {
			continue
		}
		p := f.Position()
		fmt.Fprintf(&b, "%s@:%d:%d\n", f.FuncName(), p.Line, p.Column)
	}
	return b.String()
}

func syntaxError(err error) error {
	msg := strings.TrimPrefix(err.Error(), "SyntaxError: ")
	return mongoerr.New(mongoerr.JSInterpreterFailure, "SyntaxError: %s", msg)
}

func tooDeep() error {
	return mongoerr.New(mongoerr.JSInterpreterFailure, "InternalError: too much recursion")
}
