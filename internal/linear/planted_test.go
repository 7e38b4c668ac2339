package linear

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A told is a history as it is written down by hand: each line is one operation that
// ends before the next one begins, but for those that are begun earlier.
type told struct {
	h    History
	open map[string]func(Output)
}

func tell() *told { return &told{open: map[string]func(Output){}} }

// asks is an operation that is answered at once.
func (l *told) asks(in Input, out Output) *told {
	l.h.Call(in.Node, in)(out)
	return l
}

// begins is an operation that is answered later, or never.
func (l *told) begins(name string, in Input) *told {
	l.open[name] = l.h.Call(4, in)
	return l
}

func (l *told) ends(name string, out Output) *told {
	l.open[name](out)
	return l
}

func op(kind Kind, node, id, key int) Input { return Input{Kind: kind, Node: node, ID: id, Key: key} }

func came(r Result) Output { return Output{Result: r} }

// sees is what a read shows: a state of the first leg, and which attempts were
// recorded, each as its number, with an x if it was refused.
func sees(state string, attempts ...string) Output {
	v := View{State: state}
	if state != "IDLE" {
		v.Leg, v.Phase = 1, "planning"
	}
	for _, a := range attempts {
		var id int
		_, _ = fmt.Sscan(strings.TrimSuffix(a, "x"), &id)
		r := Accepted
		if strings.HasSuffix(a, "x") {
			r = InvalidState
		}
		v.Audit += Entry(id, r)
	}
	return Output{Result: Accepted, View: v}
}

// Each of these is what a rule that is broken looks like. If the checker took one, the
// histories that it takes would show nothing.
func TestWhatNoOneMachineAnswersIsRefused(t *testing.T) {
	started := func() *told { return tell().asks(op(Start, 0, 1, 0), came(Accepted)) }
	streaming := func() *told {
		return started().
			asks(Input{Kind: Planned, Time: 5}, came(Accepted)).asks(Input{Kind: Created}, came(Accepted)).
			asks(Input{Kind: Assign, Leg: 1, Owner: "n1"}, came(Accepted))
	}
	reported := func(epoch uint64, time int64) Input {
		return Input{Kind: Report, Node: 1, Leg: 1, Epoch: epoch, Time: time}
	}
	applied := func(epoch uint64, time int64) Output {
		v := View{State: "RUNNING", Leg: 1, Phase: "streaming", Audit: Entry(1, Accepted)}
		v.Shards = [2]Shard{{Owner: "n1", Epoch: epoch, Applied: time}, {Applied: 5}}
		return Output{Result: Accepted, View: v}
	}
	for name, wrong := range map[string]*told{
		"what was accepted is lost":               started().asks(op(Read, 1, 0, 0), sees("IDLE")),
		"a command that had no effect had one":    tell().asks(op(Start, 0, 1, 0), came(Withdrawn)).asks(op(Read, 1, 0, 0), sees("RUNNING", "1")),
		"a key is done twice":                     started().asks(op(Pause, 0, 2, 1), came(Accepted)).asks(op(Pause, 1, 3, 1), came(Accepted)).asks(op(Read, 1, 0, 0), sees("PAUSED", "1", "2", "3x")),
		"a key is refused the second time":        started().asks(op(Pause, 0, 2, 1), came(Accepted)).asks(op(Pause, 1, 3, 1), came(InvalidState)),
		"an unknown outcome is done twice":        started().begins("lost", op(Pause, 0, 2, 1)).asks(op(Pause, 1, 3, 1), came(Accepted)).asks(op(Read, 1, 0, 0), sees("PAUSED", "1", "3", "2")),
		"a key is good for another command":       started().asks(op(Pause, 0, 2, 1), came(Accepted)).asks(op(Resume, 1, 3, 1), came(Accepted)),
		"a read of the past":                      started().asks(op(Pause, 0, 2, 0), came(Accepted)).asks(op(Read, 1, 0, 0), sees("RUNNING", "1")),
		"a read takes back what another has told": started().begins("slow", op(Pause, 0, 2, 0)).asks(op(Read, 1, 0, 0), sees("PAUSED", "1", "2")).asks(op(Read, 2, 0, 0), sees("RUNNING", "1")).ends("slow", came(Accepted)),
		"a node takes back what it has shown":     started().asks(op(Look, 1, 0, 0), sees("RUNNING", "1")).asks(op(Look, 1, 0, 0), sees("IDLE")),
		"a node lacks what was done through it":   started().asks(op(Pause, 1, 2, 0), came(Accepted)).asks(op(Look, 1, 0, 0), sees("RUNNING", "1")),
		"a node shows what nobody has asked for":  started().asks(op(Look, 1, 0, 0), sees("PAUSED", "1", "2")),
		"a node shows what is still to come":      tell().asks(op(Look, 1, 0, 0), sees("RUNNING", "1")).asks(op(Start, 0, 1, 0), came(Accepted)),
		"two commands and one place":              started().begins("a", op(Pause, 0, 2, 0)).begins("b", op(Pause, 1, 3, 0)).ends("a", came(Accepted)).ends("b", came(Accepted)),
		"a report of an older epoch is taken":     streaming().asks(Input{Kind: Take, Leg: 1, Owner: "n1"}, came(Accepted)).asks(reported(1, 9), came(Accepted)),
		"a position goes back":                    streaming().asks(reported(1, 9), came(Accepted)).asks(reported(1, 7), came(Accepted)).asks(op(Read, 0, 0, 0), applied(1, 7)),
		"a position of an older epoch is there":   streaming().begins("late", reported(1, 9)).asks(Input{Kind: Take, Leg: 1, Owner: "n1"}, came(Accepted)).asks(op(Read, 0, 0, 0), applied(2, 5)).asks(op(Read, 0, 0, 0), applied(2, 9)),
		"a commit before there is a stream":       started().asks(op(Commit, 0, 2, 0), came(Accepted)),
		"two leaders":                             tell().asks(op(Leads, 0, 0, 0), Output{Result: Accepted, Term: 3}).asks(op(Leads, 1, 0, 0), Output{Result: Accepted, Term: 2}),
		"a leader that knew of no later one":      tell().asks(op(Start, 0, 1, 0), Output{Result: Accepted, Term: 3}).asks(op(Leads, 1, 0, 0), Output{Result: Accepted, Term: 2}),
	} {
		v := wrong.h.Check(time.Minute)
		assert.False(t, v.Right(), "%s:\n%v", name, &wrong.h)
	}
}

// And what looks odd, but may happen, is none of the checker's business.
func TestWhatOneMachineCouldAnswerIsTaken(t *testing.T) {
	started := func() *told { return tell().asks(op(Start, 0, 1, 0), came(Accepted)) }
	for name, right := range map[string]*told{
		"a node that is behind":                       started().asks(op(Look, 1, 0, 0), sees("IDLE")).asks(op(Look, 1, 0, 0), sees("RUNNING", "1")),
		"an unknown outcome that is seen later":       started().begins("lost", op(Pause, 0, 2, 1)).asks(op(Read, 1, 0, 0), sees("RUNNING", "1")).asks(op(Read, 1, 0, 0), sees("PAUSED", "1", "2")),
		"an unknown outcome that is never seen":       started().begins("lost", op(Pause, 0, 2, 1)).asks(op(Read, 1, 0, 0), sees("RUNNING", "1")),
		"its key, done once":                          started().begins("lost", op(Pause, 0, 2, 1)).asks(op(Pause, 1, 3, 1), came(Accepted)).asks(op(Read, 1, 0, 0), sees("PAUSED", "1", "2")),
		"a node that is behind while it asks":         started().begins("slow", op(Pause, 1, 2, 0)).asks(op(Read, 0, 0, 0), sees("PAUSED", "1", "2")).asks(op(Look, 1, 0, 0), sees("RUNNING", "1")).ends("slow", came(Accepted)),
		"a refusal that is recorded, and given again": started().asks(op(Resume, 0, 2, 1), came(InvalidState)).asks(op(Pause, 0, 3, 0), came(Accepted)).asks(op(Resume, 1, 4, 1), came(InvalidState)).asks(op(Read, 1, 0, 0), sees("PAUSED", "1", "2x", "3")),
		"a leader that is replaced while it is asked": tell().begins("slow", op(Leads, 0, 0, 0)).asks(op(Leads, 1, 0, 0), Output{Result: Accepted, Term: 3}).ends("slow", Output{Result: Accepted, Term: 2}),
	} {
		v := right.h.Check(time.Minute)
		require.True(t, v.Right(), "%s:\n%v\n%s", name, &right.h, v.Explained())
	}
}
