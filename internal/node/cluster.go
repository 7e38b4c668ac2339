package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator"
)

var _ api.ClusterController = (*Node)(nil)

// InitCluster implements api.ClusterController.
func (n *Node) InitCluster(ctx context.Context) error {
	if n.cfg.Peers != nil && n.cfg.Peers.Join != "" {
		return fmt.Errorf("%w: this node was told to join %s", api.ErrInvalidState, n.cfg.Peers.Join)
	}
	return membership(n.coord.Init(ctx))
}

// JoinCluster implements api.ClusterController.
func (n *Node) JoinCluster(ctx context.Context, addr string, voter bool) error {
	if addr == "" {
		return fmt.Errorf("%w: address: that of the port for other nodes of any member", api.ErrBadRequest)
	}
	return membership(n.coord.Join(ctx, addr, voter))
}

// LeaveCluster implements api.ClusterController. Without an ID it is about this node.
func (n *Node) LeaveCluster(ctx context.Context, id string) error {
	if id == "" {
		id = n.cfg.ID
	}
	return membership(n.coord.Leave(ctx, id))
}

// TransferLeader implements api.ClusterController.
func (n *Node) TransferLeader(ctx context.Context, id string) error {
	return membership(n.coord.TransferLeadership(ctx, id))
}

// ClusterNodes implements api.ClusterController.
func (n *Node) ClusterNodes(ctx context.Context) ([]api.Node, error) {
	all, err := n.coord.ClusterMembers(ctx)
	if err != nil {
		return nil, err
	}
	out := []api.Node{}
	for _, m := range all {
		alive := m.FailingSince.IsZero()
		out = append(out, api.Node{ID: m.ID, Addr: m.Addr, Voter: m.Voter, Leader: m.Leader, Alive: &alive})
	}
	return out, nil
}

// SaveCluster implements api.ClusterController.
func (n *Node) SaveCluster(ctx context.Context, to io.Writer) error {
	return n.coord.Snapshot(ctx, to)
}

// keptWithin bounds the wait for a new cluster to keep what made this node belong
// to it.
const keptWithin = 10 * time.Second

// AnswerCluster implements api.ClusterController. A node that belongs to no cluster
// has nothing to look a key up in, and nowhere to keep a refusal: what makes it
// belong to one is kept once it does.
func (n *Node) AnswerCluster(ctx context.Context, asked api.Request, do func(context.Context) error) error {
	belongs, err := n.coord.HasState(ctx)
	if err != nil {
		return err
	}
	if belongs {
		return n.Answer(ctx, asked, do)
	}
	if err := do(ctx); err != nil {
		return err
	}
	kept, cancel := context.WithTimeout(ctx, keptWithin)
	defer cancel()
	if err := n.Answer(kept, asked, func(context.Context) error { return nil }); err != nil {
		n.unkept(ctx, &request{Request: asked}, err)
	}
	return nil
}

func membership(err error) error {
	if errors.Is(err, coordinator.ErrMembership) {
		return fmt.Errorf("%w: %w", api.ErrInvalidState, err)
	}
	return err
}
