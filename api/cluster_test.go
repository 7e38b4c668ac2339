package api_test

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/api"
)

func (f *fixed) ClusterNodes(context.Context) ([]api.Node, error) {
	return []api.Node{{ID: "n1", Leader: true}}, f.note("nodes")
}
func (f *fixed) InitCluster(context.Context) error { return f.note("init") }
func (f *fixed) JoinCluster(_ context.Context, addr string, voter bool) error {
	return f.note("join " + addr + " " + map[bool]string{true: "voter", false: "none"}[voter])
}
func (f *fixed) LeaveCluster(_ context.Context, id string) error   { return f.note("leave " + id) }
func (f *fixed) TransferLeader(_ context.Context, id string) error { return f.note("transfer " + id) }

func (f *fixed) AnswerCluster(ctx context.Context, req api.Request, do func(context.Context) error) error {
	return f.Answer(ctx, req, do)
}

func (f *fixed) SaveCluster(_ context.Context, to io.Writer) error {
	_, err := to.Write([]byte("state"))
	if err != nil {
		return err
	}
	return f.note("save")
}

func TestTheNodesOfACluster(t *testing.T) {
	ctl := &fixed{}
	c, _ := serveWith(t, api.Config{Controller: ctl, Cluster: ctl})
	nodes, err := c.Cluster(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []api.Node{{ID: "n1", Leader: true}}, nodes)
	require.NoError(t, c.ClusterCommand(t.Context(), "init", api.ClusterRequest{}))
	require.NoError(t, c.ClusterCommand(t.Context(), "join", api.ClusterRequest{Address: "a:1"}))
	require.NoError(t, c.ClusterCommand(t.Context(), "join", api.ClusterRequest{Address: "a:1", NoVote: true}))
	require.NoError(t, c.ClusterCommand(t.Context(), "leave", api.ClusterRequest{NodeID: "n3"}))
	require.NoError(t, c.ClusterCommand(t.Context(), "transfer-leader", api.ClusterRequest{NodeID: "n2"}))
	var b bytes.Buffer
	require.NoError(t, c.ClusterSnapshot(t.Context(), &b))
	assert.Equal(t, "state", b.String())
	assert.Equal(t, []string{"nodes", "init", "join a:1 voter", "join a:1 none", "leave n3", "transfer n2", "save"}, ctl.calls)

	ctl.err = api.ErrInvalidState
	require.ErrorIs(t, c.ClusterCommand(t.Context(), "init", api.ClusterRequest{}), api.ErrInvalidState)
	b.Reset()
	require.ErrorIs(t, c.ClusterSnapshot(t.Context(), &b), api.ErrInvalidState)
	assert.Empty(t, b.String(), "an error is no half of a file")

	alone, _ := serve(t, ctl)
	_, err = alone.Cluster(t.Context())
	require.ErrorContains(t, err, "NotFound", "it works alone")
}

// Who may only ask, or only steer the sync, does not change the nodes.
func TestOnlyAdminsChangeTheNodes(t *testing.T) {
	ctl, keys := &fixed{}, newKeyring(t)
	c, _ := serveWith(t, api.Config{Controller: ctl, Cluster: ctl, Tokens: keys.tokens})
	for _, name := range []string{"vera", "otto"} {
		as := c.With(api.Access{Token: keys.of[name]})
		_, err := as.Cluster(t.Context())
		require.NoError(t, err)
		ctl.calls = nil
		for _, command := range []string{"init", "join", "leave", "transfer-leader"} {
			require.ErrorIs(t, as.ClusterCommand(t.Context(), command, api.ClusterRequest{}), api.ErrForbidden)
		}
		require.ErrorIs(t, as.ClusterSnapshot(t.Context(), io.Discard), api.ErrForbidden)
		assert.Empty(t, ctl.calls)
	}
	require.NoError(t, c.With(api.Access{Token: keys.of["ada"]}).ClusterCommand(t.Context(), "init", api.ClusterRequest{}))
}
