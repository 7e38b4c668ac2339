package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/verify"
)

// stopLimit is how long the program may take to end when it is asked to.
const stopLimit = 2 * time.Second

// command runs a command against a move's node to its end.
func (m *move) command(t *testing.T, code int, args ...string) *process {
	t.Helper()
	p := launch(t, nil, append(args, "--api-addr", m.addr)...)
	require.Equal(t, code, p.wait(), "%v: %s", args, p.complaints())
	return p
}

// onlyJSON fails if a line is not a JSON object.
func onlyJSON(t *testing.T, p *process) {
	t.Helper()
	for _, line := range p.lines() {
		var e map[string]any
		assert.NoError(t, json.Unmarshal([]byte(line), &e), line)
	}
}

func is(state shardferry.State, direction string) func(api.Progress) bool {
	return func(p api.Progress) bool { return p.State == state && p.Detail.Direction == direction }
}

// TestCommandsSteerARunningSync takes a sync through every state there is.
func TestCommandsSteerARunningSync(t *testing.T) {
	t.Parallel()
	m := newMove(t, 3000)
	m.command(t, exitFailed, "progress") // nobody is there yet
	p := m.sync(t, "--wait")
	m.reach(t, p, "an idle node", func(pr api.Progress) bool { return pr.State == shardferry.StateIdle })
	for _, name := range []string{"pause", "resume", "commit", "reverse", "rollback"} {
		refused(t, m.command(t, exitFailed, name), exitFailed, "IDLE")
	}
	refused(t, m.command(t, exitFailed, "verify"), exitFailed, "no sync was started")
	m.command(t, 0, "start")
	refused(t, m.command(t, exitFailed, "start"), exitFailed, "RUNNING")

	m.command(t, 0, "pause")
	m.reach(t, p, "the pause", is(shardferry.StatePaused, "forward"))
	refused(t, m.command(t, exitFailed, "commit"), exitFailed, "PAUSED")
	m.command(t, 0, "resume", "--json")
	ready := func(pr api.Progress) bool { return pr.CanCommit }
	m.reach(t, p, "a commit to be possible", ready)
	assert.Contains(t, strings.Join(m.command(t, 0, "verify").lines(), "\n"), "0 differences")

	// A document that only the destination has is found, and stops the commit.
	stray := m.dst.client.Database("crm").Collection("sessions")
	operator := connectURI(t, m.dst.operator).Database("crm").Collection("sessions")
	_, err := stray.InsertOne(t.Context(), bson.D{{"_id", "stray"}})
	require.ErrorContains(t, err, "block", "the destination is write-blocked until the commit")
	_, err = operator.InsertOne(t.Context(), bson.D{{"_id", "stray"}})
	require.NoError(t, err)
	found := m.command(t, exitDifferent, "verify", "--json")
	onlyJSON(t, found)
	var report verify.Report
	require.NoError(t, json.Unmarshal([]byte(found.lines()[0]), &report))
	assert.EqualValues(t, 1, report.Total)
	m.command(t, 0, "commit")
	failed := m.reach(t, p, "the commit to be given up", func(pr api.Progress) bool { return givenUp(pr.Detail.Commit) })
	assert.Contains(t, failed.Detail.Commit.Failure, "stray")
	_, err = m.src.client.Database("crm").Collection("sessions").InsertOne(t.Context(), bson.D{{"_id", "after"}})
	require.NoError(t, err, "the source takes writes again")
	_, err = operator.DeleteOne(t.Context(), bson.D{{"_id", "stray"}})
	require.NoError(t, err)

	m.reach(t, p, "a commit to be possible", ready)
	m.command(t, 0, "commit")
	m.reach(t, p, "the commit", is(shardferry.StateCommitted, "reverse"))
	m.equal(t)
	_, err = m.dst.client.Database("crm").Collection("sessions").InsertOne(t.Context(), bson.D{{"_id", "there"}})
	require.NoError(t, err, "the destination takes writes")

	m.command(t, 0, "reverse")
	m.reach(t, p, "the reversed sync", ready)
	m.command(t, 0, "commit")
	m.reach(t, p, "the commit back", is(shardferry.StateCommitted, "forward"))
	m.equal(t)
	_, err = m.src.client.Database("crm").Collection("sessions").InsertOne(t.Context(), bson.D{{"_id", "back"}})
	require.NoError(t, err)

	m.command(t, 0, "rollback") // that is: to the destination again
	m.reach(t, p, "the rollback", is(shardferry.StateCommitted, "reverse"))
	m.equal(t)
	m.showsProgress(t)
	took := p.terminate()
	assert.Less(t, took, stopLimit)
	onlyJSON(t, p)
}

// showsProgress looks at both forms of shardferry progress.
func (m *move) showsProgress(t *testing.T) {
	t.Helper()
	text := m.command(t, 0, "progress")
	assert.Len(t, text.lines(), 1)
	assert.Contains(t, text.lines()[0], "COMMITTED")
	onlyJSON(t, m.command(t, 0, "progress", "--json"))
	follow := launch(t, nil, "progress", "--api-addr", m.addr, "--follow", "--json", "--interval", "5ms")
	until(t, "three lines", func() bool { return len(follow.lines()) > 2 })
	follow.terminate()
	assert.Equal(t, 0, follow.wait(), follow.complaints())
	onlyJSON(t, follow)
}

// TestInterruptKeepsEverything ends a sync politely in the copy, in the stream
// and in the commit.
func TestInterruptKeepsEverything(t *testing.T) {
	t.Parallel()
	m := newMove(t, 8000)
	m.dst.slow(t, 20, "insert")
	p := m.sync(t)
	copied := m.reach(t, p, "the copy", func(pr api.Progress) bool { return pr.Detail.DocumentsCopied > 0 })
	assert.Less(t, p.terminate(), stopLimit)
	assert.Equal(t, 0, p.wait(), p.complaints())
	assert.Contains(t, strings.Join(p.lines(), "\n"), "everything is kept in")
	onlyJSON(t, p)
	there := m.dst.documents(t)
	m.dst.slow(t, 0, "insert")

	p = m.sync(t)
	r := p.await("resumed")
	recorded := int64(r["documentsCopied"].(float64))
	assert.GreaterOrEqual(t, recorded, copied.Detail.DocumentsCopied)
	t.Logf("interrupted in the copy: %d documents were there, %d recorded", there, recorded)
	m.reach(t, p, "a commit to be possible", func(pr api.Progress) bool { return pr.CanCommit })
	assert.Less(t, p.terminate(), stopLimit)

	m.dst.slow(t, 300, "collMod")
	p = m.sync(t, "--commit")
	m.reach(t, p, "the commit", func(pr api.Progress) bool { return pr.State == shardferry.StateCommitting })
	assert.Less(t, p.terminate(), stopLimit)
	assert.Equal(t, exitFailed, p.wait(), "a script must not take it for committed")
	assert.Contains(t, p.complaints(), "before the commit was done; everything is kept in")
	m.dst.slow(t, 0, "collMod")

	p = m.sync(t, "--commit", "--stay")
	p.await("resumed")
	p.await("committed")
	m.equal(t)
	assert.False(t, p.ended())
	assert.Less(t, p.terminate(), stopLimit)
	assert.Equal(t, 0, p.wait(), p.complaints())
}

// TestCommitGivenUpIsTriedAgain fails a commit and gives the same command again
// after the cause is gone.
func TestCommitGivenUpIsTriedAgain(t *testing.T) {
	t.Parallel()
	m := newMove(t, 500)
	p := m.sync(t)
	m.reach(t, p, "a commit to be possible", func(pr api.Progress) bool { return pr.CanCommit })
	operator := connectURI(t, m.dst.operator).Database("crm").Collection("sessions")
	_, err := operator.InsertOne(t.Context(), bson.D{{"_id", "stray"}})
	require.NoError(t, err)
	p.terminate()
	p = m.sync(t, "--commit")
	assert.Equal(t, exitFailed, p.wait())
	for _, words := range []string{"given up", "takes writes again", "stray", "everything is kept in"} {
		assert.Contains(t, p.complaints(), words)
	}
	_, err = operator.DeleteOne(t.Context(), bson.D{{"_id", "stray"}})
	require.NoError(t, err)
	p = m.sync(t, "--commit")
	p.await("committed")
	assert.Equal(t, 0, p.wait())
	m.equal(t)
}

func TestEveryHelpHasAnExample(t *testing.T) {
	t.Parallel()
	top := launch(t, nil, "--help")
	require.Equal(t, 0, top.wait())
	for _, cmd := range newApp().Commands {
		assert.Contains(t, strings.Join(top.lines(), "\n"), cmd.Name)
		p := launch(t, nil, cmd.Name, "--help")
		assert.Equal(t, 0, p.wait())
		assert.True(t, slices.ContainsFunc(p.lines(), func(line string) bool { // one that can be run as it is
			return strings.HasPrefix(strings.TrimSpace(line), "shardferry "+cmd.Name) && !strings.ContainsAny(line, "[<") && !strings.Contains(line, " - ")
		}), "%s\n%s", cmd.Name, strings.Join(p.lines(), "\n"))
		assert.NotContains(t, strings.Join(p.lines(), "\n"), "[command")
	}
}
