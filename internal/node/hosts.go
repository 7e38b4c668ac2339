package node

import (
	"time"

	"github.com/shardferry/shardferry/coordinator"
)

// lostAfter is how long a node must not have answered the leader for its shards to
// be given to others. That costs little where it is only slow: its successor closes
// its sessions, and goes on from where it was.
const lostAfter = 1500 * time.Millisecond

// hosts are the nodes that can run workers, as the leader sees them.
func (n *Node) hosts() []coordinator.Host {
	var out []coordinator.Host
	for _, m := range n.coord.Members() {
		out = append(out, coordinator.Host{ID: m.ID, Lost: !m.FailingSince.IsZero() && time.Since(m.FailingSince) >= lostAfter})
	}
	return out
}
