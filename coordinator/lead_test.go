package coordinator_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
)

// A node is in charge from when it knows all that was recorded until it leads no more.
func TestOnlyTheLeaderIsInCharge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := settled(t, "", 3)
		for range 3 {
			old := leads(t, all)
			for _, m := range all {
				require.Equal(t, m == old, m.c.InCharge(), m.host)
			}
			require.NoError(t, old.c.TransferLeadership(t.Context(), follower(all, old).host))
			time.Sleep(3 * time.Second)
		}
	})
}

// What another node has said before it was asked does not count: it may have made
// another the leader since. Such an answer is under way while the leader stands still.
func TestAnAnswerFromBeforeIsNoAnswer(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			all := settled(t, "", 3)
			old := leads(t, all)
			require.NoError(t, old.c.Propose(t.Context(), begin))
			time.Sleep(100 * time.Millisecond)
			next := follower(all, old)
			rest := follower(all, old, next)
			for _, o := range []*member{next, rest} { // what it is told comes late
				old.net.Delay(o.host, old.host, 250*time.Millisecond)
			}
			time.Sleep(time.Second)
			var asked sync.WaitGroup
			asked.Go(func() { _ = old.c.TransferLeadership(t.Context(), next.host) })
			for next.c.LeadsIn() == 0 {
				time.Sleep(time.Millisecond)
			}
			require.NoError(t, rest.c.Propose(t.Context(), planned), "another leads")
			require.ErrorIs(t, old.c.StillLeads(t.Context()), shardferry.ErrNotLeader)
			asked.Wait()
		})
	}
}
