package node

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/shardworker"
	"github.com/shardferry/shardferry/topology"
)

// fence makes sure that nothing of an earlier worker of a shard is written any
// more: what its sessions are doing is ended, and what is yet to arrive in them is
// refused, however late it is.
func (n *Node) fence(ctx context.Context, leg int, sh *state.Shard, to *end) error {
	if len(sh.Sessions) == 0 {
		return nil
	}
	attempt := 0
	err := mongoconn.Retry(ctx, n.cfg.Logger, "close the sessions of an earlier worker", func(ctx context.Context) error {
		if err := to.client.Database("admin").RunCommand(ctx, bson.D{{"killSessions", sh.Sessions}}).Err(); err != nil {
			return fmt.Errorf("end the sessions: %w", err)
		}
		attempt++
		return to.closeSessions(ctx, sh.Sessions, shardworker.ClosingNumber(sh.Epoch, attempt))
	})
	if err != nil {
		return fmt.Errorf("%s: %w", to.name, err)
	}
	return n.coord.Propose(ctx, state.Fenced{Leg: leg, Shard: sh.ID, Epoch: sh.Epoch, IDs: sh.Sessions})
}

// closeSessions closes sessions on every shard that can be written to.
func (e *end) closeSessions(ctx context.Context, ids []bson.Raw, number int64) (err error) {
	reach, err := topology.Reach(ctx, e.client, e.info.Kind)
	if err != nil {
		return err
	}
	c, err := mongoconn.NewCloser(ctx, e.reach)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Disconnect(ctx)) }()
	return c.Close(ctx, ids, number, reach)
}
