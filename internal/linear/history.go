package linear

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// A History is what clients asked and were answered. It may be written by any
// number of goroutines.
type History struct {
	mu  sync.Mutex
	now int64
	ops []porcupine.Operation
}

// Call notes that a client asks. The function that it returns notes the answer; not
// calling it is an unknown outcome.
func (h *History) Call(client int, in Input) (answered func(Output)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now++
	at := len(h.ops)
	in.client = client
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Call: h.now, Output: Output{Result: Unknown}, Return: never})
	return func(out Output) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.now++
		h.ops[at].Output = out
		if out.Result == Unknown || out.Result == Withdrawn {
			return
		}
		h.ops[at].Return = h.now
		if in.Kind != Look && in.Kind != Leads {
			h.now += 2
			h.ops = append(h.ops, porcupine.Operation{
				ClientId: client, Input: Input{Kind: has, Node: in.Node, client: client}, Call: h.now - 1, Output: Output{Result: Accepted}, Return: h.now,
			})
		}
	}
}

// never is when an answer comes that did not come: what was asked may be done at any
// time until then. As nobody sees what is done last, that is also never.
const never = 1 << 40

// Withdrawn is what had no effect, by the word of the product. If it had one,
// somebody will see what nobody has asked for.
const Withdrawn Result = 255

// Count returns how many operations came to this, or how many there are if r is zero.
func (h *History) Count(r Result) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, op := range h.ops {
		if in, out := op.Input.(Input), op.Output.(Output); in.Kind != has && (r == 0 || out.Result == r) {
			n++
		}
	}
	return n
}

// counted returns the operations that are judged, and the end of the history.
func (h *History) counted() []porcupine.Operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ops []porcupine.Operation
	for _, op := range h.ops {
		in, out := op.Input.(Input), op.Output.(Output)
		reads := in.Kind == Read || in.Kind == Look || in.Kind == Leads
		if out.Result == Withdrawn || reads && out.Result == Unknown {
			continue
		}
		if in.ID != 0 && out.Result == Unknown {
			var seen bool
			if op.Return, seen = h.recorded(in.ID); !seen {
				continue // if it is done at all, then after everything else
			}
		}
		ops = append(ops, op)
	}
	return append(ops, porcupine.Operation{Input: Input{Kind: end}, Call: h.now + 1, Output: Output{Result: Accepted}, Return: h.now + 2})
}

// recorded returns by when somebody had seen that an attempt was recorded, and whether
// anybody has.
func (h *History) recorded(id int) (by int64, seen bool) {
	for _, op := range h.ops {
		if out := op.Output.(Output); strings.Contains(", "+out.View.Audit, fmt.Sprintf(", %d ", id)) && (!seen || op.Return < by) {
			by, seen = op.Return, true
		}
	}
	return by, seen
}

// A Verdict is what became of a check.
type Verdict struct {
	Result porcupine.CheckResult
	info   porcupine.LinearizationInfo
}

// Right reports whether the history could be that of one machine.
func (v Verdict) Right() bool { return v.Result == porcupine.Ok }

// Explained lists the operations of the longest order that explains some of them, and
// the state after these.
func (v Verdict) Explained() string {
	var longest []porcupine.Operation
	for _, parts := range v.info.PartialLinearizationsOperations() {
		for _, ops := range parts {
			if len(ops) > len(longest) {
				longest = ops
			}
		}
	}
	var b strings.Builder
	s := begin()
	for _, op := range longest {
		in, out := op.Input.(Input), op.Output.(Output)
		_, s = s.step(in, out)
		if in.Kind == has || in.Kind == end {
			continue
		}
		fmt.Fprintf(&b, "%4d %s\n", op.Call, describe(in, out))
	}
	fmt.Fprintf(&b, "and then the state is %v\n", s)
	return b.String()
}

// Draw writes a page that shows the history and how far it can be explained.
func (v Verdict) Draw(path string) error { return porcupine.VisualizePath(model, v.info, path) }

// Check looks for an order that explains the history, for as long as limit.
func (h *History) Check(limit time.Duration) Verdict {
	result, info := porcupine.CheckOperationsVerbose(model, h.counted(), limit)
	return Verdict{result, info}
}

var model = porcupine.Model{
	Init:              func() any { return begin() },
	Step:              func(s, in, out any) (bool, any) { return s.(state).step(in.(Input), out.(Output)) },
	Equal:             func(a, b any) bool { return a.(state).equal(b.(state)) },
	Hash:              func(s any) uint64 { return s.(state).hash() },
	DescribeOperation: func(in, out any) string { return describe(in.(Input), out.(Output)) },
	DescribeState:     func(s any) string { return s.(state).String() },
}

// String lists the operations by their calls.
func (h *History) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for _, op := range h.ops {
		if in, ok := op.Input.(Input); ok && in.Kind == has {
			continue
		}
		until := fmt.Sprint(op.Return)
		if op.Return == never {
			until = "-"
		}
		fmt.Fprintf(&b, "%4d %4s  client %d  %s\n", op.Call, until, op.ClientId, describe(op.Input.(Input), op.Output.(Output)))
	}
	return b.String()
}

func describe(in Input, out Output) string {
	var b strings.Builder
	fmt.Fprintf(&b, "n%d %s", in.Node+1, in.Kind)
	for _, f := range []struct {
		name  string
		value any
		shown bool
	}{
		{"id", in.ID, in.ID != 0},
		{"key", in.Key, in.Key != 0},
		{"leg", in.Leg, in.Leg != 0},
		{"shard", in.Shard, in.Kind == Assign || in.Kind == Take || in.Kind == Report},
		{"owner", in.Owner, in.Owner != ""},
		{"epoch", in.Epoch, in.Kind == Report},
		{"time", in.Time, in.Time != 0},
		{"events", in.Events, in.Events != 0},
		{"to", in.To, in.To != ""},
	} {
		if f.shown {
			fmt.Fprintf(&b, " %s %v", f.name, f.value)
		}
	}
	fmt.Fprintf(&b, ": %v", out.Result)
	if in.Kind == Read || in.Kind == Look {
		fmt.Fprintf(&b, " %+v", out.View)
	}
	if out.Term != 0 {
		fmt.Fprintf(&b, " in term %d", out.Term)
	}
	return b.String()
}
