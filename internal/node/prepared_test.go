package node_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

// coordinatorPoint switches a fail point of the source's first shard, which
// coordinates the transactions of these stories.
func (s *stage) coordinatorPoint(name string, mode string) {
	s.t.Helper()
	addr, err := s.src.Addr(s.src.Shards()[0])
	require.NoError(s.t, err)
	shard, err := mongo.Connect(options.Client().SetHosts([]string{addr}).SetDirect(true).SetDialer(s.src.Dialer()))
	require.NoError(s.t, err)
	defer func() { assert.NoError(s.t, shard.Disconnect(s.t.Context())) }()
	s.command(shard, bson.D{{"configureFailPoint", name}, {"mode", mode}})
}

// transaction writes to both shards of the source in one, and returns how its
// commit ends.
func (s *stage) transaction(cl *mongo.Client, ids ...int) <-chan error {
	s.t.Helper()
	session, err := cl.StartSession()
	require.NoError(s.t, err)
	require.NoError(s.t, session.StartTransaction())
	ctx := mongo.NewSessionContext(s.t.Context(), session)
	for _, id := range ids {
		_, err := cl.Database("d").Collection("c").InsertOne(ctx, bson.D{{"_id", id}, {"x", id}})
		require.NoError(s.t, err)
	}
	done := make(chan error, 1)
	go func() {
		done <- session.CommitTransaction(ctx)
		session.EndSession(ctx)
	}()
	return done
}

// A transaction that is prepared when the commit begins is on both sides when it
// ends, however long it stays so. The source's write block waits for those of
// applications; for those of users who may write past it the node waits.
func TestACommitWaitsForPreparedTransactions(t *testing.T) {
	for name, user := range map[string]func(s *stage) *mongo.Client{
		"of an application":                 func(s *stage) *mongo.Client { return s.app },
		"of a user who writes past a block": func(s *stage) *mongo.Client { return s.from },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, setting{srcShards: 2, dstShards: 2}, func(t *testing.T, s *stage) {
				s.sharded()
				require.NoError(t, s.insert(s.app, -3, -2, 2, 3))
				s.up()
				s.start()
				s.stream()
				s.coordinatorPoint("hangBeforeWritingDecision", "alwaysOn")
				done := s.transaction(user(s), -10, 10)
				time.Sleep(time.Second)
				s.commit()
				time.Sleep(30 * time.Second)
				st, _ := s.node.State()
				require.NotNil(t, st.Leg.Cutover)
				assert.True(t, st.Leg.Cutover.End.IsZero(), "no end time while something may still commit: %+v", st.Leg.Cutover)
				s.coordinatorPoint("hangBeforeWritingDecision", "off")
				require.NoError(t, <-done)
				st = s.reach(shardferry.StateCommitted)
				assert.Empty(t, st.Last.Failure)
				assert.Len(t, docs(t, s.to), 6)
				s.equal()
			})
		})
	}
}

// A transaction on two shards arrives whole, at the time of its commit: that
// positions have passed the time when it was prepared loses nothing of it, and
// neither does a crash in between.
func TestAPreparedTransactionArrivesWhole(t *testing.T) {
	for name, point := range map[string]string{
		"committed": "hangBeforeWritingDecision", "aborted": "",
	} {
		t.Run(name, func(t *testing.T) {
			play(t, setting{srcShards: 2, dstShards: 2, dir: t.TempDir() + "/data"}, func(t *testing.T, s *stage) {
				s.sharded()
				require.NoError(t, s.insert(s.app, -3, 3))
				s.up()
				s.start()
				s.stream()
				if point == "" { // the second shard forgets its part
					point = "hangBeforeSendingPrepare"
				}
				s.coordinatorPoint(point, "alwaysOn")
				done := s.transaction(s.app, -10, 10)
				time.Sleep(time.Second)
				prepared := s.src.ClusterTime()
				if point == "hangBeforeSendingPrepare" {
					require.NoError(t, s.src.StepDown(t.Context(), s.src.Shards()[1], time.Second))
				}
				require.NoError(t, s.insert(s.app, -4, 4))
				s.until("later position", func(st *state.Sync) bool { return st.Leg.ResumePoint().After(prepared) })
				assert.Len(t, docs(t, s.to), 4)
				s.kill()
				s.coordinatorPoint(point, "off")
				err := <-done
				s.up()
				time.Sleep(10 * time.Second)
				want := 6
				if point == "hangBeforeSendingPrepare" {
					require.Error(t, err)
					want = 4
				} else {
					require.NoError(t, err)
				}
				assert.Len(t, docs(t, s.to), want)
				s.commit()
				s.reach(shardferry.StateCommitted)
				assert.Len(t, docs(t, s.to), want)
			})
		})
	}
}
