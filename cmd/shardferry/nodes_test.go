package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
)

// A trio is three nodes on this machine.
type trio struct {
	*move
	addrs [3]string // of their commands
	raft  [3]string
	nodes [3]*process
}

func newTrio(t *testing.T, m *move) *trio {
	t.Helper()
	port := freePort(t, 6)
	tr := &trio{move: m}
	for i := range tr.nodes {
		tr.addrs[i], tr.raft[i] = fmt.Sprintf("127.0.0.1:%d", port+2*i), fmt.Sprintf("127.0.0.1:%d", port+2*i+1)
	}
	return tr
}

func (tr *trio) up(t *testing.T, i int, more ...string) {
	t.Helper()
	tr.nodes[i] = launch(t, []string{"SHARDFERRY_SOURCE=" + tr.src.operator, "SHARDFERRY_DESTINATION=" + tr.dst.operator},
		append([]string{
			"node", "--node-id", fmt.Sprintf("n%d", i+1), "--data-dir", filepath.Join(tr.dir, fmt.Sprint(i)), "--json",
			"--raft-addr", tr.raft[i], "--api-addr", tr.addrs[i],
		}, more...)...)
}

func (tr *trio) command(t *testing.T, i, code int, args ...string) *process {
	t.Helper()
	p := launch(t, nil, append(args, "--api-addr", tr.addrs[i])...)
	require.Equal(t, code, p.wait(), "%v: %s", args, p.complaints())
	return p
}

// begin starts all three and makes them one cluster.
func (tr *trio) begin(t *testing.T) {
	t.Helper()
	tr.up(t, 0)
	tr.nodes[0].await("starting")
	until(t, "a cluster", func() bool {
		p := launch(t, nil, "cluster", "init", "--api-addr", tr.addrs[0])
		return p.wait() == 0
	})
	refused(t, tr.command(t, 0, exitFailed, "cluster", "init"), exitFailed, "belongs to a cluster already")
	tr.up(t, 1, "--join", tr.raft[0])
	tr.up(t, 2, "--join", tr.raft[1])
	for _, p := range tr.nodes {
		p.await("ready")
	}
}

func (tr *trio) reached(t *testing.T, i int, what string, holds func(api.Progress) bool) {
	t.Helper()
	until(t, what, func() bool {
		pr, ok := progress(t.Context(), tr.addrs[i])
		return ok && holds(pr)
	})
}

// The leader is killed in the middle of a copy; the others go on at once, and it
// comes back before the commit.
func TestASyncOutlivesAKilledNode(t *testing.T) {
	m := newMove(t, envInt(t, "SHARDFERRY_TEST_DOCS", 20_000))
	tr := newTrio(t, m)
	tr.begin(t)
	tr.command(t, 1, 0, "cluster", "status")
	_, stop := m.write(t, 100)

	m.dst.slow(t, 3_000*12*1000/m.docs, "insert")
	tr.command(t, 2, 0, "start")
	tr.reached(t, 2, "the middle of the copy", func(pr api.Progress) bool { return pr.Detail.DocumentsCopied > int64(m.docs/4) })
	tr.nodes[0].kill()
	killed := time.Now()
	tr.reached(t, 1, "another leader", func(pr api.Progress) bool { return pr.CoordinatorID != "" && pr.CoordinatorID != "n1" })
	t.Logf("another node leads after %v", time.Since(killed))
	m.dst.slow(t, 0, "insert")
	tr.reached(t, 2, "the end of the copy", func(pr api.Progress) bool { return pr.Detail.Phase == "streaming" })
	refused(t, tr.command(t, 1, exitFailed, "cluster", "status"), exitFailed, "no further one may be lost")

	tr.up(t, 0)
	tr.nodes[0].await("ready")
	until(t, "three that answer", func() bool {
		p := launch(t, nil, "cluster", "status", "--api-addr", tr.addrs[0])
		return p.wait() == 0
	})
	writes, _ := stop()
	assert.Positive(t, writes)
	until(t, "the commit", func() bool { return launch(t, nil, "commit", "--api-addr", tr.addrs[0]).wait() == 0 })
	tr.reached(t, 1, "the end of the commit", func(pr api.Progress) bool { return pr.State == shardferry.StateCommitted })
	m.equal(t)
}

// When all nodes but one are lost for good, the state of that one goes on as a
// cluster of one.
func TestAClusterBeginsAgainFromAFile(t *testing.T) {
	m := newMove(t, 1000)
	tr := newTrio(t, m)
	tr.begin(t)
	tr.command(t, 1, 0, "start")
	tr.reached(t, 1, "the stream", func(pr api.Progress) bool { return pr.Detail.Phase == "streaming" })
	running, stopped := filepath.Join(m.dir, "running"), filepath.Join(m.dir, "stopped")
	tr.command(t, 2, 0, "cluster", "snapshot", "save", "--file", running)
	for _, p := range tr.nodes {
		p.kill()
	}
	save := launch(t, nil, "cluster", "snapshot", "save", "--data-dir", filepath.Join(m.dir, "1"), "--file", stopped)
	require.Zero(t, save.wait(), save.complaints())
	info, err := os.Stat(running)
	require.NoError(t, err)
	assert.Positive(t, info.Size())

	restore := func(dir string) *process {
		return launch(t, nil, "cluster", "snapshot", "restore", "--file", stopped, "--data-dir", dir, "--node-id", "n1", "--raft-addr", tr.raft[0])
	}
	refused(t, restore(filepath.Join(m.dir, "1")), exitFailed, "not empty")
	again := restore(filepath.Join(m.dir, "again"))
	require.Zero(t, again.wait(), again.complaints())
	tr.up(t, 0, "--data-dir", filepath.Join(m.dir, "again"))
	tr.nodes[0].await("ready")
	require.NoError(t, os.RemoveAll(filepath.Join(m.dir, "1")))
	tr.up(t, 1, "--join", tr.raft[0])
	tr.nodes[1].await("ready")
	until(t, "the commit", func() bool { return launch(t, nil, "commit", "--api-addr", tr.addrs[1]).wait() == 0 })
	tr.reached(t, 0, "the end of the commit", func(pr api.Progress) bool { return pr.State == shardferry.StateCommitted })
	m.equal(t)
}

// What is wrong with the flags of a node is said before anything is done.
func TestWrongUsageOfNodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := filepath.Join(dir, "node.yaml")
	require.NoError(t, os.WriteFile(config, []byte("nodeID: n1\nwithUsers: true\n"), 0o600))
	clusters := []string{"--source", "mongodb://127.0.0.1:1", "--destination", "mongodb://127.0.0.1:2", "--data-dir", filepath.Join(dir, "data")}
	for _, tt := range []struct {
		args []string
		says string
	}{
		{append([]string{"node"}, clusters...), "--node-id is missing"},
		{append([]string{"node", "--node-id", "n1", "--no-vote"}, clusters...), "--no-vote belongs to --join"},
		{append([]string{"node", "--node-id", "n1", "--raft-addr", "0.0.0.0:27183", "--advertise-addr", "10.0.0.1:27183"}, clusters...), "--raft-tls-cert"},
		{append([]string{"node", "--node-id", "n1", "--raft-addr", ":27183", "--insecure"}, clusters...), "advertise a host"},
		{append([]string{"node", "--node-id", "n1", "--raft-ca", "nowhere.pem"}, clusters...), "needed together"},
		{append([]string{"node", "--config", config}, clusters...), "belong to shardferry start"},
		{append([]string{"node", "--node-id", "n1", "--with-users"}, clusters...), "with-users"},
		{[]string{"cluster"}, "say what to do"},
		{[]string{"cluster", "snapshot"}, "save or restore"},
		{[]string{"cluster", "join"}, "--address is missing"},
		{[]string{"cluster", "snapshot", "save"}, "--file is missing"},
		{[]string{"cluster", "snapshot", "restore", "--file", "x"}, "--data-dir is missing"},
	} {
		p := launch(t, nil, tt.args...)
		refused(t, p, exitUsage, tt.says)
	}
	_, err := os.Stat(filepath.Join(dir, "data"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
