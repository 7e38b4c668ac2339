package main

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// TestWithoutBypassThereIsNoWayBack moves with users who may not write past a
// write block.
func TestWithoutBypassThereIsNoWayBack(t *testing.T) {
	t.Parallel()
	m := newMove(t, 500)
	sync := func(args ...string) *process {
		return launch(t, nil, append([]string{
			"sync", "--source", m.src.plain, "--destination", m.dst.plain,
			"--data-dir", m.dir, "--api-addr", m.addr, "--json",
		}, args...)...)
	}
	p := sync("--commit")
	done := p.await("committed")
	require.Equal(t, 0, p.wait(), p.complaints())
	assert.Equal(t, false, done["reversible"])
	assert.Equal(t, true, done["verified"])
	assert.Contains(t, p.complaints(), "there will be no way back")
	assert.Contains(t, p.complaints(), "the destination is not write-blocked")
	assert.NotContains(t, p.complaints(), "visible") // there is no password
	m.equal(t)
	_, err := m.dst.client.Database("crm").Collection("sessions").InsertOne(t.Context(), bson.D{{"_id", "there"}})
	require.NoError(t, err)
	_, err = m.src.client.Database("crm").Collection("sessions").InsertOne(t.Context(), bson.D{{"_id", "here"}})
	require.ErrorContains(t, err, "block", "the old source stays blocked")

	p = sync()
	pr := m.reach(t, p, "the committed sync", is(shardferry.StateCommitted, "reverse"))
	assert.Contains(t, strings.Join(pr.Warnings, "\n"), "no way back")
	for _, name := range []string{"rollback", "reverse"} {
		refused(t, m.command(t, exitFailed, name), exitFailed, "no way back", "grant the role restore")
	}
	assert.Less(t, p.terminate(), stopLimit)
}

// TestReplicaSetsMoveBothWays moves between plain replica sets, and between a
// replica set and a sharded cluster.
func TestReplicaSetsMoveBothWays(t *testing.T) {
	t.Parallel()
	set := func() *cluster { return sandbox(t, 0) }
	for _, tt := range []struct {
		name     string
		src, dst *cluster
	}{
		{"set to set", set(), set()},
		{"set to sharded", set(), sandbox(t, 2)},
		{"sharded to set", sandbox(t, 2), set()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &move{src: tt.src, dst: tt.dst, dir: filepath.Join(t.TempDir(), "data"), addr: "127.0.0.1:" + strconv.Itoa(freePort(t, 1))}
			m.src.load(t, 500)
			p := m.sync(t, "--commit", "--stay")
			done := p.await("committed")
			assert.Equal(t, true, done["verified"])
			m.equal(t)
			_, err := m.dst.client.Database("crm").Collection("sessions").InsertOne(t.Context(), bson.D{{"_id", "there"}})
			require.NoError(t, err)
			m.command(t, 0, "rollback")
			m.reach(t, p, "the rollback", is(shardferry.StateCommitted, "forward"))
			m.equal(t)
			p.terminate()
			again := m.sync(t, "--commit")
			assert.Equal(t, "source", again.await("committed")["writable"])
			assert.Equal(t, 0, again.wait())
		})
	}
}
