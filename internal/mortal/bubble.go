package mortal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
)

// ErrLeftBehind reports goroutines that did not end, or a run in which nothing
// could ever happen again.
var ErrLeftBehind = errors.New("goroutines were left behind")

// Bubble runs f in virtual time and returns its error, or ErrLeftBehind if
// goroutines that f started have not ended when it returns.
//
// The standard library opens a bubble only for a *testing.T, which only a test
// binary has. A zero one is enough as long as nothing is reported to it: all
// that is taken from it is its context. So the command and the tests run the
// very same code.
func Bubble(f func(ctx context.Context) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.Join(err, fmt.Errorf("%w: %v\n%s", ErrLeftBehind, r, bubbled()))
		}
	}()
	synctest.Test(new(testing.T), func(t *testing.T) { err = f(t.Context()) })
	return err
}

// bubbled returns the stacks of goroutines that are in a bubble.
func bubbled() string {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var in []string
	for g := range strings.SplitSeq(string(buf), "\n\n") {
		head, _, _ := strings.Cut(g, "\n")
		if strings.Contains(head, "synctest bubble") {
			in = append(in, g)
		}
	}
	const shown = 12
	if more := len(in) - shown; more > 0 {
		in = append(in[:shown], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(in, "\n\n")
}
