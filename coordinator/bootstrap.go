package coordinator

import (
	"errors"

	"github.com/hashicorp/raft"
)

// termKey is where raft keeps its term (raft: keyCurrentTerm).
var termKey = []byte("CurrentTerm")

// bootstrap writes who votes into the log of a node that has none yet. One that
// has state from before keeps it.
func bootstrap(rc *raft.Config, st *stores) error {
	if err := forgetHalfBootstrap(st); err != nil {
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
// for a state from before and wait for ever for a leader among no voters. A node
// without an entry and without a snapshot has never voted for anything, because
// raft starts only after the bootstrap.
func forgetHalfBootstrap(st *stores) error {
	last, err := st.logs.LastIndex()
	if err != nil || last > 0 {
		return err
	}
	snapshots, err := st.snapshots.List()
	if err != nil || len(snapshots) > 0 {
		return err
	}
	return st.stable.SetUint64(termKey, 0)
}
