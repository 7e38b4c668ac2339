package coordinator

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
)

// Who takes over from a leader knows that it has been silent since before, and does
// not wait for it as for a node that has just stopped answering.
func TestAFormerLeaderIsSilentSinceItWasMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLookout()
		leads := func(id raft.ServerID) { l.note(raft.LeaderObservation{LeaderID: id}) }
		fails := func(id raft.ServerID) {
			l.note(raft.FailedHeartbeatObservation{PeerID: id, LastContact: time.Now().Add(-100 * time.Millisecond)})
		}
		leads("n1")
		time.Sleep(time.Minute)
		missed := time.Now()
		leads("")
		time.Sleep(time.Second)
		leads("n2") // this node
		time.Sleep(time.Second)
		fails("n1")
		fails("n3")
		assert.Equal(t, missed, l.failing()["n1"])
		assert.Equal(t, time.Now().Add(-100*time.Millisecond), l.failing()["n3"], "it was not missed before")

		l.note(raft.ResumedHeartbeatObservation{PeerID: "n1"})
		assert.NotContains(t, l.failing(), raft.ServerID("n1"))
		time.Sleep(time.Second)
		fails("n1")
		assert.Equal(t, time.Now().Add(-100*time.Millisecond), l.failing()["n1"], "it was heard of in between")

		leads("")
		leads("n3")
		time.Sleep(time.Minute)
		fails("n2")
		assert.Equal(t, time.Now().Add(-100*time.Millisecond), l.failing()["n2"], "it did not fail when it had been missed: raft tells nothing of what works")
	})
}
