package state_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// drained returns a commit that has applied everything.
func drained(t *testing.T, withUsers bool) *state.Sync {
	t.Helper()
	s := stations(t)["drained"]
	require.True(t, s.Leg.Drained())
	s.Job.WithUsers = withUsers
	return s
}

// Users come in one place of a commit, and nothing is compared before they came.
func TestUsersComeBeforeTheComparison(t *testing.T) {
	u, r := shardferry.Account{ID: "d.u"}, shardferry.Account{ID: "a.r", Role: true}
	s := drained(t, true)
	verify := state.Advance{Leg: 1, To: state.StepVerifying, At: at(50)}
	require.Error(t, verify.Apply(s), "compared before users came")
	require.Error(t, state.Carried{Leg: 1}.Apply(s), "nothing was announced")
	require.Error(t, state.Carrying{Leg: 2}.Apply(s), "another leg")
	apply(t, s, state.Carrying{Leg: 1, Accounts: []shardferry.Account{r, u}})
	assert.Equal(t, []shardferry.Account{u, r}, s.Accounts.Carried)
	assert.True(t, s.Accounts.Temporary)
	require.Error(t, verify.Apply(s), "credentials are still there")
	apply(t, s, state.Carrying{Leg: 1, Accounts: []shardferry.Account{r, u}}, state.Carried{Leg: 1, Accounts: []shardferry.Account{u}})
	assert.Equal(t, state.Accounts{Carried: []shardferry.Account{u}}, s.Accounts)
	require.Error(t, state.Carrying{Leg: 1}.Apply(s), "once is enough")
	apply(t, s, state.Carried{Leg: 1, Accounts: []shardferry.Account{u}}, verify)
	require.Error(t, state.Carried{Leg: 1}.Apply(s), "it has gone on")

	require.Error(t, state.Carrying{Leg: 1}.Apply(drained(t, false)), "nobody asked for it")
	require.Error(t, state.Carrying{Leg: 1}.Apply(stations(t)["streaming"]), "no commit")
}

// What the new source has of its own is known on the way back.
func TestTheWayBackKnowsWhatStays(t *testing.T) {
	s := stations(t)["opening"]
	own := []shardferry.Account{{ID: "admin.keeper"}}
	s.Leg.Cutover.Next.Own = own
	apply(t, s, state.Committed{Leg: 1, At: at(60)})
	assert.Equal(t, own, s.Accounts.Own)
}
