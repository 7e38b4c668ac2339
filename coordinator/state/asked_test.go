package state_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

func pauseAs(by, key string, seconds int64) state.Asked {
	return state.Asked{At: at(seconds), Command: "pause", By: by, From: "10.0.0.1:99", Key: key, Hash: []byte("pause"), Pause: &state.Pause{At: at(seconds)}}
}

func refusal(t *testing.T, err error) *state.RefusedError {
	t.Helper()
	var r *state.RefusedError
	require.ErrorAs(t, err, &r)
	return r
}

func isRefused(t *testing.T, err error) {
	t.Helper()
	assert.NotEmpty(t, refusal(t, err).Kind)
}

func TestAKeyIsAnsweredOnce(t *testing.T) {
	s := stations(t)["running"]
	apply(t, s, pauseAs("alice", "k", 1000), state.Resume{At: at(1001)})
	kept := len(s.Audit)
	apply(t, s, pauseAs("alice", "k", 1002))
	assert.Equal(t, shardferry.StateRunning, s.State, "it was done twice")
	assert.Len(t, s.Audit, kept, "nothing has happened")

	other := pauseAs("alice", "k", 1003)
	other.Hash = []byte("with something else")
	require.ErrorIs(t, other.Apply(s), state.ErrKeyReused)
	assert.Equal(t, shardferry.StateRunning, s.State)

	apply(t, s, pauseAs("bob", "k", 1004)) // his own
	assert.Equal(t, shardferry.StatePaused, s.State)
	apply(t, s, state.Resume{At: at(1005)})

	day := int64(state.AnswerKept / time.Second)
	apply(t, s, pauseAs("alice", "k", 1000+day-1))
	assert.Equal(t, shardferry.StateRunning, s.State)
	apply(t, s, pauseAs("alice", "k", 1000+day))
	assert.Equal(t, shardferry.StatePaused, s.State, "a day later it is a new one")
}

// A refusal is an answer too, unless it has decided nothing.
func TestAKeyKeepsARefusal(t *testing.T) {
	s := stations(t)["running"]
	resume := state.Asked{At: at(1000), Command: "resume", By: "alice", Key: "k", Resume: &state.Resume{At: at(1000)}}
	first := refusal(t, resume.Apply(s))
	assert.Equal(t, state.RefusedError{Kind: "InvalidState", Text: "cannot resume while RUNNING"}, *first)
	apply(t, s, state.Pause{At: at(1001)})
	assert.Equal(t, first, refusal(t, resume.Apply(s)))
	assert.Equal(t, shardferry.StatePaused, s.State)

	start := state.Asked{At: at(1002), Command: "start", Key: "k2", Refused: &state.RefusedError{Kind: "Failed", Text: "the network"}}
	isRefused(t, start.Apply(s))
	start.Refused = &state.RefusedError{Kind: "Refused", Text: "the destination is not empty"}
	assert.Equal(t, "Refused", refusal(t, start.Apply(s)).Kind)
	start.Refused = nil
	assert.Equal(t, "Refused", refusal(t, start.Apply(s)).Kind)

	early := stations(t)["copying"]
	commit := state.Asked{At: at(1003), Command: "commit", Commit: &state.Commit{At: at(1003)}}
	assert.Equal(t, "NotYet", refusal(t, commit.Apply(early)).Kind)
}

func TestTheAuditLogSaysWhoWhatAndWhatCameOfIt(t *testing.T) {
	s := stations(t)["running"]
	s.Audit = nil
	apply(t, s, pauseAs("alice", "", 1000), state.Resume{At: at(1001), From: "sync"})
	recopy := state.Asked{At: at(1002), Command: "resume", By: "bob", From: "10.0.0.2:7", With: `{"recopyLost":true}`, Resume: &state.Resume{At: at(1002)}}
	isRefused(t, recopy.Apply(s))
	require.Error(t, state.Resume{At: at(1003)}.Apply(s), "the program's own are kept if they were carried out")
	apply(t, s, state.Asked{At: at(1004), Command: "cluster/join", By: "ada", From: "10.0.0.3:7", Done: true})
	isRefused(t, state.Asked{At: at(1005), Command: "dance"}.Apply(s))
	s.Audit = s.Audit[:len(s.Audit)-1]
	assert.Equal(t, []state.AuditEntry{
		{At: at(1000), Command: "pause", By: "alice", From: "10.0.0.1:99"},
		{At: at(1001), Command: "resume", From: "sync"},
		{At: at(1002), Command: "resume", By: "bob", From: "10.0.0.2:7", With: `{"recopyLost":true}`, Kind: "InvalidState", Text: "cannot resume while RUNNING"},
		{At: at(1004), Command: "cluster/join", By: "ada", From: "10.0.0.3:7"},
	}, s.Audit)
}

// A script that asks every second must not push out what people did.
func TestTheSameRefusalIsKeptOnce(t *testing.T) {
	s := stations(t)["running"]
	view := s.Clone()
	resume := func(by string, port, seconds int64) {
		isRefused(t, state.Asked{At: at(seconds), Command: "resume", By: by, From: fmt.Sprintf("10.0.0.1:%d", port), Resume: &state.Resume{}}.Apply(s))
	}
	before := len(s.Audit)
	for i := range int64(100) {
		resume("alice", 40_000+i, 1000+i)
	}
	require.Len(t, s.Audit, before+1)
	last := s.Audit[before]
	assert.Equal(t, 100, last.Times)
	assert.Equal(t, at(1000), last.At)
	assert.Equal(t, at(1099), last.Last)
	resume("bob", 1, 1100)
	resume("alice", 1, 1101)
	assert.Len(t, s.Audit, before+3)
	assert.Len(t, view.Audit, before, "a copy has changed")
	for i := range int64(3) { // what was carried out is kept each time
		apply(t, s, pauseAs("alice", "", 2000+i), state.Resume{At: at(2000 + i)})
	}
	assert.Len(t, s.Audit, before+9)
}

// A copy and the state go different ways, and neither sees what the other keeps.
func TestCopiesKeepTheirOwnCommands(t *testing.T) {
	s := stations(t)["running"]
	for i := range int64(5) { // until there is room for more
		apply(t, s, pauseAs("alice", fmt.Sprint(i), 1000+i), state.Resume{At: at(1000 + i)})
		view := s.Clone()
		apply(t, view, pauseAs("bob", fmt.Sprint("b", i), 2000+i))
		audit, answers := view.Audit[len(view.Audit)-1], view.Answers[len(view.Answers)-1]
		apply(t, s, pauseAs("carol", fmt.Sprint("c", i), 3000+i), state.Resume{At: at(3000 + i)})
		assert.Equal(t, audit, view.Audit[len(view.Audit)-1])
		assert.Equal(t, answers, view.Answers[len(view.Answers)-1])
	}
}

func TestTheAuditLogIsBounded(t *testing.T) {
	s := stations(t)["running"]
	many := func() {
		for i := range int64(5100) {
			apply(t, s, state.Pause{At: at(1000 + 2*i), From: "op"}, state.Resume{At: at(1001 + 2*i), From: "op"})
		}
	}
	many()
	require.Len(t, s.Audit, 1000, "as in versions that know no Asked: they apply the same entries")
	apply(t, s, pauseAs("alice", "", 1), state.Resume{At: at(2)})
	many()
	require.Len(t, s.Audit, 10_000)
	assert.Equal(t, at(1000+2*5100-1), s.Audit[9999].At)
}

// Whatever is sent, a snapshot stays far below the 16 MiB of a document.
func TestWhatIsKeptOfCommandsStaysSmall(t *testing.T) {
	s := stations(t)["running"]
	long := strings.Repeat("ä", 1<<16)
	for i := range int64(12_000) {
		isRefused(t, state.Asked{
			At: at(i), Command: "start", By: strings.Repeat("b", 64), From: fmt.Sprint(i), With: long, Key: strings.Repeat("k", 120) + fmt.Sprint(i),
			Hash: make([]byte, 32), Refused: &state.RefusedError{Kind: "Refused", Text: long},
		}.Apply(s))
	}
	b, err := bson.Marshal(s)
	require.NoError(t, err)
	t.Logf("%d bytes of %d entries and %d keys", len(b), len(s.Audit), len(s.Answers))
	assert.Less(t, len(b), 6<<20)
	assert.Len(t, s.Answers, 1000)
	assert.Greater(t, len(s.Audit), 5000)
	assert.Equal(t, "11999", s.Audit[len(s.Audit)-1].From, "the last ones are kept")
}
