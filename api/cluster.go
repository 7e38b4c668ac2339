package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// A ClusterController changes which nodes belong together. Methods are called from
// many goroutines at once.
type ClusterController interface {
	ClusterNodes(ctx context.Context) ([]Node, error)
	InitCluster(ctx context.Context) error
	JoinCluster(ctx context.Context, addr string, voter bool) error
	LeaveCluster(ctx context.Context, id string) error
	TransferLeader(ctx context.Context, id string) error
	SaveCluster(ctx context.Context, to io.Writer) error

	// AnswerCluster is Controller.Answer for InitCluster, JoinCluster, LeaveCluster
	// and TransferLeader.
	AnswerCluster(ctx context.Context, req Request, do func(context.Context) error) error
}

// ClusterRequest is the body of the commands under /api/v1/cluster/.
type ClusterRequest struct {
	NodeID  string `json:"nodeID,omitempty" doc:"leave, transfer-leader: which node; default this one, or any other"`
	Address string `json:"address,omitempty" doc:"join: the port for other nodes of any member"`
	NoVote  bool   `json:"noVote,omitempty" doc:"join: do work, and do not count for a majority"`
}

// ClusterResponse is the answer to GET /api/v1/cluster.
type ClusterResponse struct {
	Result
	Nodes []Node `json:"nodes"`
}

// cluster adds what concerns the nodes of a cluster, if this is one of several.
func (s *Server) cluster(mux *http.ServeMux) {
	ctl := s.cfg.Cluster
	if ctl == nil {
		return
	}
	for name, do := range map[string]func(context.Context, ClusterRequest) error{
		"init":            func(ctx context.Context, _ ClusterRequest) error { return ctl.InitCluster(ctx) },
		"join":            func(ctx context.Context, r ClusterRequest) error { return ctl.JoinCluster(ctx, r.Address, !r.NoVote) },
		"leave":           func(ctx context.Context, r ClusterRequest) error { return ctl.LeaveCluster(ctx, r.NodeID) },
		"transfer-leader": func(ctx context.Context, r ClusterRequest) error { return ctl.TransferLeader(ctx, r.NodeID) },
	} {
		ordered(s, mux, "cluster/"+name, RoleAdmin, ctl.AnswerCluster, func(ctx context.Context, r ClusterRequest, _ string) error { return do(ctx, r) })
	}
	mux.HandleFunc("GET /api/v1/cluster", s.needs(RoleViewer, func(w http.ResponseWriter, r *http.Request) {
		nodes, err := ctl.ClusterNodes(r.Context())
		s.answer(w, r, ClusterResponse{Result: Result{Success: true}, Nodes: nodes}, err)
	}))
	mux.HandleFunc("GET /api/v1/cluster/snapshot", s.needs(RoleAdmin, func(w http.ResponseWriter, r *http.Request) {
		var b wholeBuffer
		if err := ctl.SaveCluster(r.Context(), &b); err != nil {
			s.answer(w, r, nil, err)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(b.bytes) // whoever asked may be gone
	}))
}

// wholeBuffer holds a snapshot before it is sent, so that one that fails is an
// error and not half a file.
type wholeBuffer struct{ bytes []byte }

func (b *wholeBuffer) Write(p []byte) (int, error) {
	b.bytes = append(b.bytes, p...)
	return len(p), nil
}

// Cluster lists the nodes of the cluster.
func (c *Client) Cluster(ctx context.Context) ([]Node, error) {
	var resp ClusterResponse
	err := c.call(ctx, http.MethodGet, "cluster", nil, &resp)
	return resp.Nodes, err
}

// ClusterCommand sends init, join, leave or transfer-leader.
func (c *Client) ClusterCommand(ctx context.Context, name string, req ClusterRequest) error {
	return c.call(ctx, http.MethodPost, "cluster/"+name, req, nil)
}

// ClusterSnapshot writes a snapshot of the state to a writer.
func (c *Client) ClusterSnapshot(ctx context.Context, to io.Writer) error {
	if err := c.call(ctx, http.MethodGet, "cluster/snapshot", nil, to); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}
