package node_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator"
)

// changes gives a command about the nodes as the HTTP interface does.
func (p *player) changes(t *testing.T, command, key string, do func(context.Context) error) error {
	t.Helper()
	return p.AnswerCluster(t.Context(), api.Request{Command: "cluster/" + command, By: "ada", From: "10.0.0.3:7", Key: key}, do)
}

func (p *player) transfer(t *testing.T, key, to string) error {
	return p.changes(t, "transfer-leader", key, func(ctx context.Context) error { return p.TransferLeader(ctx, to) })
}

// Who changed the nodes of a cluster is kept, from its first command on and also by
// a node that leaves; a command that is sent again is done once.
func TestCommandsAboutTheNodesAreKept(t *testing.T) {
	play(t, setting{srcShards: 1, dstShards: 1}, func(t *testing.T, s *stage) {
		e := without(s)
		defer e.down()
		first := e.enter("", nil)
		require.NoError(t, first.changes(t, "init", "k0", first.InitCluster))
		require.ErrorIs(t, first.changes(t, "init", "", first.InitCluster), api.ErrInvalidState, "two inits")
		require.NoError(t, first.changes(t, "init", "k0", first.InitCluster), "it is the same one")
		for range 2 {
			e.ready(e.enter("n1:1", nil))
		}
		last := e.enter("", nil)
		require.NoError(t, last.changes(t, "join", "", func(ctx context.Context) error { return last.JoinCluster(ctx, "n1:1", true) }))

		require.NoError(t, last.transfer(t, "k1", "n2"))
		require.NoError(t, last.transfer(t, "", "n3"))
		require.NoError(t, last.transfer(t, "k1", "n2"), "it was done before")
		leads, _ := e.leader()
		assert.Equal(t, "n3", leads.host)
		require.ErrorIs(t, first.transfer(t, "", "n9"), api.ErrInvalidState)
		require.NoError(t, last.changes(t, "leave", "k2", func(ctx context.Context) error { return last.LeaveCluster(ctx, "") }))
		require.ErrorIs(t, <-last.ended, coordinator.ErrRemoved)
		last.cancel = nil

		entries, err := first.Audit(t.Context(), time.Time{})
		require.NoError(t, err)
		var told []string
		for _, k := range entries {
			told = append(told, k.By+" "+k.Command+" "+k.Error)
		}
		assert.Equal(t, []string{
			"ada cluster/init ", "ada cluster/init InvalidState", "ada cluster/join ",
			"ada cluster/transfer-leader ", "ada cluster/transfer-leader ", "ada cluster/transfer-leader InvalidState", "ada cluster/leave ",
		}, told)
	})
}
