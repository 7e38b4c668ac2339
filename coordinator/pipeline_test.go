package coordinator

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/internal/peer"
	"github.com/shardferry/shardferry/internal/peer/virtual"
)

// A pipeline whose follower has another leader can stand still for ever, and the
// end of the node with it (chaos, three nodes, seed 218): there is none.
func TestEntriesWaitForTheAnswerToTheOnesBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		port, err := peer.New(peer.Config{Listen: "n1:1", Network: virtual.New(0).Host("n1"), Insecure: true})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		st, err := openStores(ctx, Config{Peers: port})
		require.NoError(t, err)
		_, err = st.transport.AppendEntriesPipeline("n2", "n2:1")
		require.ErrorIs(t, err, raft.ErrPipelineReplicationNotSupported)
		cancel()
		require.NoError(t, st.close())
	})
}
