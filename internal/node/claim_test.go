package node_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/mongotest"
	"github.com/shardferry/shardferry/shardworker"
)

// writes are the commands with which a worker changes documents.
var writes = []string{"insert", "update", "delete"}

// deaf makes the destination hear no write of the node.
func (s *stage) deaf() {
	s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
		if on == s.dst && ours(c) && slices.Contains(writes, c.Name) {
			return mongotest.Fault{Delay: time.Second, DropRequest: true}
		}
		return mongotest.Fault{}
	})
}

// written makes the applications insert documents, and returns a cluster time of
// the source that is not after any of them.
func (s *stage) written(ids ...int) shardferry.ClusterTime {
	s.t.Helper()
	first := shardferry.Succ(s.src.ClusterTime())
	require.NoError(s.t, s.insert(s.app, ids...))
	return first
}

// sharded spreads d.c over the shards of the source, if it has any: documents
// below 0 on one, the others on another.
func (s *stage) sharded() {
	s.t.Helper()
	if s.srcShards == 0 {
		return
	}
	s.command(s.from, bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"_id", 1}}}})
	s.command(s.from, bson.D{{"split", "d.c"}, {"middle", bson.D{{"_id", 0}}}})
	for i, id := range []int{-1, 1} {
		s.command(s.from, bson.D{{"moveChunk", "d.c"}, {"find", bson.D{{"_id", id}}}, {"to", s.src.Shards()[i]}})
	}
}

// staysBefore watches for a while that neither the resume point nor what the
// API tells of it reaches a time.
func (s *stage) staysBefore(at shardferry.ClusterTime, why string) {
	s.t.Helper()
	for range 25 {
		time.Sleep(300 * time.Millisecond)
		st, _ := s.node.State()
		require.True(s.t, st.Leg.ResumePoint().Before(at), "%s: the resume point is %v, not before %v", why, st.Leg.ResumePoint(), at)
		p, err := s.node.Progress(s.t.Context())
		require.NoError(s.t, err)
		require.True(s.t, shardferry.ClusterTime(p.Detail.ResumePoint).Before(at), why)
	}
}

// Where nothing could be applied, nothing is claimed: not while it is running,
// not by the node that follows on a crash, not when that one ends in order.
func TestTheResumePointIsNeverAheadOfWhatWasApplied(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			set := setting{srcShards: shards, dstShards: shards, dir: filepath.Join(t.TempDir(), "data")}
			play(t, set, func(t *testing.T, s *stage) {
				s.sharded()
				require.NoError(t, s.insert(s.app, -1, 1))
				s.up()
				s.start()
				s.stream()
				time.Sleep(5 * time.Second)

				s.deaf()
				lost := s.written(-10, 10)
				require.NoError(t, s.insert(s.app, 11)) // and the other shard goes on
				s.staysBefore(lost, "nothing lands")

				s.kill()
				s.deaf()
				require.NoError(t, s.insert(s.app, 12))
				s.up()
				resumed, _ := s.node.Resumed()
				assert.True(t, resumed.ResumePoint.Before(lost))
				s.staysBefore(lost, "after a crash")

				s.down()
				s.up()
				s.staysBefore(lost, "after an orderly end")

				s.faults.set(nil)
				time.Sleep(5 * time.Second)
				assert.ElementsMatch(t, docs(t, s.from), docs(t, s.to))
				st, _ := s.node.State()
				assert.True(t, st.Leg.ResumePoint().After(lost), "and then it goes on")
			})
		})
	}
}

// The first claim of a sync comes with its copy: events that were met before the
// first document landed must be read again, and so must those that overtook it.
func TestTheFirstClaimWaitsForTheCopy(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			set := setting{srcShards: shards, dstShards: shards, dir: filepath.Join(t.TempDir(), "data"), batchDocs: 2}
			play(t, set, func(t *testing.T, s *stage) {
				s.sharded()
				require.NoError(t, s.insert(s.app, -3, -2, -1, 1, 2, 3))
				s.up()
				s.deaf()
				s.start()
				s.until("copy", func(st *state.Sync) bool { return st.Leg.Phase == state.PhaseCopying })
				first := s.written(-20, 20)
				_, err := s.app.Database("d").Collection("c").DeleteOne(t.Context(), bson.D{{"_id", 2}})
				require.NoError(t, err)
				s.staysBefore(first, "no document has landed")
				st, _ := s.node.State()
				assert.Equal(t, state.PhaseCopying, st.Leg.Phase)

				s.kill()
				s.up()
				s.stream()
				time.Sleep(5 * time.Second)
				assert.ElementsMatch(t, docs(t, s.from), docs(t, s.to))
				assert.Len(t, docs(t, s.to), 7)
			})
		})
	}
}

// A document that was read for the copy and deleted before it landed is there,
// and only an event that has been applied already says that it must not be. So
// nothing is claimed beyond the time at which the batch was read until all that
// overtook it is repaired.
func TestABatchThatWasOvertakenHoldsTheClaim(t *testing.T) {
	set := setting{dir: filepath.Join(t.TempDir(), "data")}
	play(t, set, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, 1, 2, 3))
		s.up()
		var once sync.Once
		read, landing := make(chan struct{}), make(chan struct{})
		s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) (f mongotest.Fault) {
			if on == s.dst && ours(c) && c.Name == "insert" {
				once.Do(func() {
					close(read)
					time.Sleep(10 * time.Second)
					s.faults.end()
					close(landing)
					f.DropReply = true
				})
			}
			return f
		})
		s.start()
		s.meets(read)
		overtaking := shardferry.Succ(s.src.ClusterTime())
		_, err := s.app.Database("d").Collection("c").DeleteOne(t.Context(), bson.D{{"_id", 2}})
		require.NoError(t, err)
		s.staysBefore(overtaking, "the batch has not landed")
		s.meets(landing)
		s.kill()
		assert.Len(t, docs(t, s.to), 3, "the deleted one has landed late")
		s.up()
		s.stream()
		time.Sleep(3 * time.Second)
		assert.ElementsMatch(t, docs(t, s.from), docs(t, s.to))
	})
}

// What a node wrote before it died cannot land after its successor has begun:
// the sessions are recorded before the first write and ended before the next.
func TestASuccessorEndsTheSessionsOfTheDead(t *testing.T) {
	play(t, setting{dir: filepath.Join(t.TempDir(), "data")}, func(t *testing.T, s *stage) {
		require.NoError(t, s.insert(s.app, upTo(5)...))
		s.up()
		s.start()
		s.stream()
		before := s.until("sessions", func(st *state.Sync) bool { return len(st.Leg.Shards[0].Sessions) > 0 }).Leg.Shards[0]
		s.kill()
		var ended atomic.Bool
		var early, closed atomic.Int64
		s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
			switch {
			case on != s.dst || !ours(c):
			case c.Name == "killSessions":
				ended.Store(true)
			case c.Name == "find" && slices.ContainsFunc(before.Sessions, func(id bson.Raw) bool { return bytes.Equal(id, c.Body.Lookup("lsid").Document()) }):
				assert.True(t, ended.Load(), "what runs in a session is ended before it is closed")
				assert.Greater(t, c.Body.Lookup("txnNumber").Int64(), int64(shardworker.FirstNumber), "writes with this number or a lower one are refused")
				closed.Add(1)
			case slices.Contains(writes, c.Name) && closed.Load() < int64(len(before.Sessions)):
				early.Add(1)
			}
			return mongotest.Fault{}
		})
		require.NoError(t, s.insert(s.app, 5))
		s.up()
		time.Sleep(5 * time.Second)
		assert.Len(t, before.Sessions, int(closed.Load()))
		assert.Zero(t, early.Load(), "written before the fence")
		st, _ := s.node.State()
		after := st.Leg.Shards[0]
		assert.Greater(t, after.Epoch, before.Epoch)
		for _, id := range before.Sessions {
			assert.NotContains(t, after.Sessions, id, "a session that has ended is not kept")
		}
		assert.NotEmpty(t, after.Sessions)
		assert.Len(t, docs(t, s.to), 6)
	})
}

// That the sessions of an earlier worker cannot be closed at first is no reason to
// pause: the destination has an election, or loses its connections.
func TestClosingSessionsIsTriedUntilItWorks(t *testing.T) {
	for name, f := range map[string]mongotest.Fault{
		"not primary":     refuses(10107),
		"interrupted":     refuses(11602),
		"connection lost": {DropRequest: true},
		"answer lost":     {DropReply: true},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, setting{dir: filepath.Join(t.TempDir(), "data")}, func(t *testing.T, s *stage) {
				require.NoError(t, s.insert(s.app, upTo(5)...))
				s.up()
				s.start()
				s.stream()
				s.kill()
				var met atomic.Int64
				s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
					if on == s.dst && ours(c) && c.Name == "find" && c.Body.Lookup("startTransaction").Type != 0 && met.Add(1) <= 5 {
						return f
					}
					return mongotest.Fault{}
				})
				require.NoError(t, s.insert(s.app, 5))
				s.up()
				time.Sleep(20 * time.Second)
				assert.Greater(t, met.Load(), int64(5))
				st, _ := s.node.State()
				assert.Equal(t, shardferry.StateRunning, st.State, st.Hold)
				assert.Len(t, docs(t, s.to), 6)
			})
		})
	}
}
