package node_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
)

// A moment in a commit: the first time that the node sends a command of a kind
// to a cluster while a step is recorded as current.
type moment struct {
	step    state.Step
	to      func(s *stage) *mongotest.Cluster
	command string
}

func source(s *stage) *mongotest.Cluster      { return s.src }
func destination(s *stage) *mongotest.Cluster { return s.dst }

// commitMoments has what each step does on the clusters, in the order of the
// steps.
var commitMoments = []moment{
	{state.StepBlocking, source, "setUserWriteBlockMode"},
	{state.StepBlocked, source, "appendOplogNote"},
	{state.StepDraining, source, "getMore"},
	{state.StepVerifying, destination, "find"},
	{state.StepFinishing, destination, "collMod"},
	{state.StepArming, destination, "appendOplogNote"},
	{state.StepOpening, destination, "setUserWriteBlockMode"},
}

// struck returns a channel that is closed at the moment, at which the node
// hears nothing more: before the command took effect, or right after.
func (s *stage) struck(at moment, late bool) <-chan struct{} {
	met := make(chan struct{})
	s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, st *state.Sync) mongotest.Fault {
		s.guardOpening(on, c, st)
		if !ours(c) || on != at.to(s) || c.Name != at.command || st.Leg.Cutover == nil || st.Leg.Cutover.Step != at.step {
			return mongotest.Fault{}
		}
		select {
		case <-met:
			return mongotest.Fault{DropRequest: true}
		default:
		}
		s.faults.end()
		close(met)
		return mongotest.Fault{DropRequest: !late, DropReply: late}
	})
	return met
}

// guardOpening asserts that a cluster is opened only while an application
// cannot write to the other one, and the destination only when the way back is
// recorded.
func (s *stage) guardOpening(on *mongotest.Cluster, c mongotest.Command, st *state.Sync) {
	if c.Name != "setUserWriteBlockMode" || c.Body.Lookup("global").Boolean() {
		return
	}
	other := s.app
	if on == s.src {
		other = s.guest
	}
	_, err := other.Database("d").Collection("c").UpdateOne(s.t.Context(), bson.D{{"_id", 0}}, bson.D{{"$inc", bson.D{{"twice", 1}}}})
	assert.True(s.t, mongoconn.IsCode(err, mongoconn.CodeUserWritesBlocked), "both clusters take writes: %v", err)
	if on == s.dst {
		assert.Equal(s.t, state.StepOpening, st.Leg.Cutover.Step)
		assert.NotNil(s.t, st.Leg.Cutover.Next, "opened before the way back was recorded")
	}
}

// laden brings a stage to streaming, with indexes and a capped collection that
// have not their final form.
func (s *stage) laden() {
	s.t.Helper()
	s.load()
	s.up()
	s.start()
	s.stream()
	require.NoError(s.t, s.insert(s.app, 20))
}

// load fills the source.
func (s *stage) load() {
	s.t.Helper()
	require.NoError(s.t, s.insert(s.app, upTo(20)...))
	_, err := s.app.Database("d").Collection("c").Indexes().CreateMany(s.t.Context(), []mongo.IndexModel{
		{Keys: bson.D{{"x", 1}}, Options: unique}, {Keys: bson.D{{"at", 1}}, Options: expiring},
	})
	require.NoError(s.t, err)
	require.NoError(s.t, s.from.Database("d").RunCommand(s.t.Context(), bson.D{{"create", "recent"}, {"capped", true}, {"size", 4096}, {"max", 5}}).Err())
}

// A node that dies anywhere in a commit and comes back brings it to the same
// end. At no time do both clusters take writes, and what an application writes
// to its new home the moment it opens finds the way back.
func TestACommitSurvivesACrashAnywhere(t *testing.T) {
	for _, at := range commitMoments {
		for when, late := range testedDeaths {
			t.Run(string(at.step)+" "+when, func(t *testing.T) {
				play(t, setting{dir: filepath.Join(t.TempDir(), "data")}, func(t *testing.T, s *stage) {
					s.laden()
					met := s.struck(at, late)
					s.commit()
					s.meets(met)
					s.kill()
					early := s.insert(s.guest, 100)
					opened := at.step == state.StepOpening && late
					assert.Equal(t, opened, early == nil, "the destination is opened by the last step: %v", early)

					s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, st *state.Sync) mongotest.Fault {
						s.guardOpening(on, c, st)
						return mongotest.Fault{}
					})
					s.up()
					st := s.reach(shardferry.StateCommitted)
					assert.Equal(t, 2, st.Leg.Number)
					assert.Empty(t, st.Last.Failure)
					require.Error(t, s.insert(s.app, 101), "the old source is closed")
					require.NoError(t, s.insert(s.guest, 102))
					time.Sleep(5 * time.Second)
					want := 22
					if opened {
						want++
					}
					assert.Len(t, docs(t, s.from), want)
					s.equal()
				})
			})
		}
	}
}

// A commit that is given up leaves the source open and the destination closed,
// whenever the node dies meanwhile, and can be tried again.
func TestACommitThatIsGivenUpSurvivesACrash(t *testing.T) {
	abort := moment{state.StepAborting, source, "setUserWriteBlockMode"}
	for when, late := range testedDeaths {
		t.Run(when, func(t *testing.T) {
			play(t, setting{dir: filepath.Join(t.TempDir(), "data")}, func(t *testing.T, s *stage) {
				s.laden()
				// Somebody has written past the block: the clusters differ.
				_, err := s.to.Database("d").Collection("c").DeleteOne(t.Context(), bson.D{{"_id", 7}})
				require.NoError(t, err)
				met := s.struck(abort, late)
				s.commit()
				s.meets(met)
				s.kill()
				assert.Equal(t, late, s.insert(s.app, 101) == nil)
				s.up()
				st := s.reach(shardferry.StateRunning)
				assert.Contains(t, st.Last.Failure, "the clusters differ in 1 places, first d.c")
				require.NoError(t, s.insert(s.app, 102))
				require.Error(t, s.insert(s.guest, 103), "the destination stays closed")

				require.NoError(t, s.insert(s.to, 7))
				s.faults.set(nil)
				s.commit()
				s.reach(shardferry.StateCommitted)
				s.equal()
			})
		})
	}
}

// What a step needs of a cluster that refuses for good gives the commit up, as
// long as it can be: the source is open again, and the reason is told.
func TestAStepThatFailsForGoodGivesTheCommitUp(t *testing.T) {
	refused := &mongotest.ServerError{Code: 13, Message: "not authorized to do that"}
	for _, at := range commitMoments {
		if at.step == state.StepDraining {
			continue // nothing is asked of a cluster but what the workers do
		}
		t.Run(string(at.step), func(t *testing.T) {
			play(t, setting{}, func(t *testing.T, s *stage) {
				s.laden()
				revocable := at.step != state.StepOpening
				s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, st *state.Sync) mongotest.Fault {
					if ours(c) && on == at.to(s) && c.Name == at.command && st.Leg.Cutover != nil && st.Leg.Cutover.Step == at.step {
						return mongotest.Fault{Error: refused}
					}
					s.guardOpening(on, c, st)
					return mongotest.Fault{}
				})
				s.commit()
				if revocable {
					st := s.reach(shardferry.StateRunning)
					assert.Contains(t, st.Last.Failure, refused.Message)
					require.NoError(t, s.insert(s.app, 101))
					require.Error(t, s.insert(s.guest, 102))
				} else {
					time.Sleep(10 * time.Minute) // the budget is over
					s.reach(shardferry.StateCommitting)
					require.Error(t, errors.Join(s.insert(s.app, 101)))
				}
				s.faults.set(nil)
				if revocable {
					s.commit()
				}
				s.reach(shardferry.StateCommitted)
				require.NoError(t, s.insert(s.guest, 103))
			})
		})
	}
}

// Forth and back twice: each leg takes over where the other one was armed.
func TestEachLegBeginsWhereTheOtherWasArmed(t *testing.T) {
	play(t, setting{srcShards: 2}, func(t *testing.T, s *stage) {
		s.laden()
		s.commit()
		s.reach(shardferry.StateCommitted)
		homes := []*mongo.Client{s.guest, s.app, s.guest}
		for i, home := range homes {
			require.NoError(t, s.insert(home, 100+i))
			require.Error(t, s.insert(homes[(i+1)%2], 200), "the other cluster is closed")
			time.Sleep(5 * time.Second)
			s.equal()
			if i < 2 {
				require.NoError(t, s.node.Rollback(t.Context(), "test"))
				s.until("next leg", func(st *state.Sync) bool { return st.Leg.Number == 3+i && st.State == shardferry.StateCommitted })
			}
		}
		a, b := docs(t, s.from), docs(t, s.to)
		slices.Sort(a)
		slices.Sort(b)
		assert.Equal(t, a, b)
		assert.Len(t, a, 24)
	})
}
