package coordinator

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// termKey is where raft keeps its term (raft: keyCurrentTerm).
var termKey = []byte("CurrentTerm")

// voteKey is where raft keeps the last term in which the node has voted (raft:
// keyLastVoteTerm).
var voteKey = []byte("LastVoteTerm")

// bootstrap writes who votes into the log of a node that has none yet, if it is
// alone. One that has state from before keeps it.
func bootstrap(rc *raft.Config, st *stores, alone bool) error {
	if err := forgetHalfBootstrap(st); err != nil || !alone {
		return err
	}
	err := raft.BootstrapCluster(rc, st.logs, st.stable, st.snapshots, st.transport, raft.Configuration{Servers: st.voters})
	if errors.Is(err, raft.ErrCantBootstrap) {
		return nil
	}
	return err
}

// forgetHalfBootstrap repairs what a bootstrap leaves that was killed in the
// middle: it writes a term first and the voters second. Raft would take the term
// for a state from before and wait for ever for a leader among no voters. What a
// node has voted for it must not forget, so only a term without a vote goes.
func forgetHalfBootstrap(st *stores) error {
	last, err := st.logs.LastIndex()
	if err != nil || last > 0 {
		return err
	}
	snapshots, err := st.snapshots.List()
	if err != nil || len(snapshots) > 0 {
		return err
	}
	if voted, err := st.stable.GetUint64(voteKey); err == nil && voted > 0 {
		return nil
	}
	if term, err := st.stable.GetUint64(termKey); err != nil || term != 1 {
		return nil //nolint:nilerr // without a term there is nothing to forget
	}
	return st.stable.SetUint64(termKey, 0)
}

// ErrOtherNode reports a data directory that is not this node's.
var ErrOtherNode = errors.New("the data directory belongs to another node")

// knowsItself makes sure that the data directory can be this node's. One that
// works alone would wait for ever for others, and others for one of another name.
func (c *Coordinator) knowsItself() error {
	future := c.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return err
	}
	all := future.Configuration().Servers
	switch {
	case c.cfg.Peers == nil && c.cfg.Transport == nil && len(all) > 1:
		return fmt.Errorf("%s: %w: it is one of %d nodes: use shardferry node", c.cfg.Dir, ErrOtherNode, len(all))
	case len(all) == 1 && string(all[0].ID) != c.cfg.ID && string(all[0].Address) == string(all[0].ID):
		return fmt.Errorf("%s: %w: its node is %s: give it that --node-id", c.cfg.Dir, ErrOtherNode, all[0].ID)
	}
	return nil
}

// tellAddress corrects where this node is found. It is another place when the node
// has worked alone before, or was given another address.
func (c *Coordinator) tellAddress(ctx context.Context) error {
	if c.cfg.Peers == nil {
		return nil
	}
	me, _, index, err := c.server(withID(c.cfg.ID))
	if err != nil || me == nil || string(me.Address) == c.cfg.Peers.Addr() {
		return err
	}
	return c.change(ctx, func() raft.IndexFuture {
		return c.raft.AddVoter(me.ID, raft.ServerAddress(c.cfg.Peers.Addr()), index, changeLimit)
	})
}
