package api

import (
	"context"
	"io"
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
}
