package node_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/mongotest"
)

// A resistance is one way in which clusters refuse what they are asked.
type resistance struct {
	name  string
	fault mongotest.Fault
	doubt bool // not in steps that ask too many things in a row to doubt them all
}

func refuses(code int32, labels ...string) mongotest.Fault {
	return mongotest.Fault{Error: &mongotest.ServerError{Code: code, Message: "refused by the test", Labels: labels}}
}

var resistances = []resistance{
	{name: "the reply is lost", fault: mongotest.Fault{DropReply: true}},
	{name: "the request is lost", fault: mongotest.Fault{DropRequest: true}},
	{name: "NotWritablePrimary", fault: refuses(10107)},
	{name: "InterruptedDueToReplStateChange", fault: refuses(11602)},
	{name: "PrimarySteppedDown with a label", fault: refuses(189, "RetryableWriteError")},
	{name: "ShutdownInProgress", fault: refuses(91)},
	{name: "TooManyLogicalSessions", fault: refuses(261)},
	{name: "ExceededTimeLimit", fault: refuses(262)},
	{name: "MaxTimeMSExpired", fault: refuses(50)},
	{name: "WriteConflict", fault: refuses(112)},
	{name: "LockTimeout", fault: refuses(24)},
	{name: "OutOfDiskSpace", fault: refuses(14031)},
	{name: "ConflictingOperationInProgress", fault: refuses(117)},
	{name: "StaleConfig", fault: refuses(13388)},
	{name: "a code that nobody knows", fault: refuses(987654), doubt: true},
}

// unharmed are commands that drivers send to find and to enter a cluster.
var unharmed = map[string]bool{
	"hello": true, "isMaster": true, "ismaster": true, "ping": true, "endSessions": true, "saslStart": true, "saslContinue": true, "killCursors": true,
}

// A resister lets the first try of each command of the node fail, in every
// phase anew.
type resister struct {
	resistance

	mu  sync.Mutex
	met map[string]int // by cluster, phase and command
	all map[string]int // by command
}

func (r *resister) hook(on *mongotest.Cluster, c mongotest.Command, st *state.Sync) mongotest.Fault {
	if !ours(c) || unharmed[c.Name] || st.State == shardferry.StateIdle || r.doubt && (st.Leg.Phase == state.PhasePlanning || st.Leg.Cutover != nil) {
		return mongotest.Fault{}
	}
	key := fmt.Sprintf("%s %d %s %s", on.URI(), st.Leg.Number, st.Leg.Phase, c.Name)
	if st.Leg.Cutover != nil {
		key += string(st.Leg.Cutover.Step)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.met[key]++; r.met[key] > 1 {
		return mongotest.Fault{}
	}
	r.all[c.Name]++
	return r.fault
}

// Whatever may pass, wherever it is met: the sync goes through it, and nothing is
// lost or done twice.
func TestEveryFailureInEveryPhase(t *testing.T) {
	for _, kind := range testedResistances {
		for _, shards := range testedSizes {
			t.Run(fmt.Sprintf("%s, %d shards", kind.name, shards), func(t *testing.T) {
				play(t, setting{srcShards: shards, dstShards: shards, batchDocs: 20}, func(t *testing.T, s *stage) {
					r := &resister{resistance: kind, met: map[string]int{}, all: map[string]int{}}
					s.ordeal(func() { s.faults.set(r.hook) }, func(string) {})
					for _, name := range []string{
						"insert", "update", "delete", "create", "createIndexes", "collMod", "drop", "dropIndexes", "renameCollection",
						"setUserWriteBlockMode", "appendOplogNote", "find", "aggregate",
					} {
						assert.Positive(t, r.all[name], "%s was never refused", name)
					}
				})
			})
		}
	}
}

// A write that took effect but is not known to be durable is neither taken for
// done nor done twice.
func TestWriteConcernErrorsInEveryPhase(t *testing.T) {
	for code, name := range map[int]string{64: "WriteConcernFailed", 91: "ShutdownInProgress", 11602: "InterruptedDueToReplStateChange", 987654: "unknown"} {
		t.Run(name, func(t *testing.T) {
			play(t, setting{batchDocs: 20}, func(t *testing.T, s *stage) {
				direct, err := mongo.Connect(options.Client().SetHosts([]string{s.dst.Addrs()[0]}).SetDirect(true).SetDialer(s.dst.Dialer()))
				require.NoError(t, err)
				defer func() { require.NoError(t, direct.Disconnect(t.Context())) }()
				point := func(what string) {
					s.command(direct, bson.D{
						{"configureFailPoint", "failCommand"},
						{"mode", bson.D{{"times", 4}}},
						{"data", bson.D{
							{"failCommands", bson.A{
								"insert", "update", "delete", "create", "createIndexes", "collMod", "drop", "dropIndexes", "renameCollection",
							}},
							{"writeConcernError", bson.D{{"code", code}, {"errmsg", what}}},
						}},
					})
				}
				s.ordeal(func() { point("copy") }, point)
			})
		})
	}
}

// ordeal moves everything there and back, under writes and schema changes.
func (s *stage) ordeal(resist func(), phase func(string)) {
	t := s.t
	db := s.app.Database("d")
	if s.srcShards > 0 {
		s.command(s.from, bson.D{{"shardCollection", "d.c"}, {"key", bson.D{{"x", 1}}}})
		s.command(s.from, bson.D{{"split", "d.c"}, {"middle", bson.D{{"x", 100}}}})
		s.command(s.from, bson.D{{"moveChunk", "d.c"}, {"find", bson.D{{"x", 100}}}, {"to", s.other("d")}})
	}
	require.NoError(t, s.insert(s.app, upTo(200)...))
	_, err := db.Collection("c").Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{"x", 1}, {"_id", 1}}})
	require.NoError(t, err)
	require.NoError(t, db.RunCommand(t.Context(), bson.D{{"create", "capped"}, {"capped", true}, {"size", 1 << 20}}).Err())
	change := func(n int) {
		coll := db.Collection("c")
		for i := 0; i < 200; i += 7 {
			_, err := coll.UpdateOne(t.Context(), bson.D{{"_id", i}, {"x", i}}, bson.D{{"$set", bson.D{{"n", n}}}})
			require.NoError(t, err)
			_, err = coll.DeleteOne(t.Context(), bson.D{{"_id", i + 1}, {"x", i + 1}})
			require.NoError(t, err)
			// Not exact as a delta: it becomes a repair.
			_, err = coll.UpdateOne(t.Context(), bson.D{{"_id", i}, {"x", i}}, bson.D{{"$set", bson.D{{"list", bson.A{n, 2, 3}}}}})
			require.NoError(t, err)
			_, err = coll.UpdateOne(t.Context(), bson.D{{"_id", i}, {"x", i}}, bson.D{{"$push", bson.D{{"list", bson.D{{"$each", bson.A{n}}, {"$slice", -2}}}}}})
			require.NoError(t, err)
		}
		require.NoError(t, s.insert(s.app, 1000+n, 2000+n))
		_, err := db.Collection("capped").InsertOne(t.Context(), bson.D{{"_id", n}})
		require.NoError(t, err)
	}
	s.up()
	resist()
	s.start()
	s.later("copy", func(st *state.Sync) bool {
		return st.Leg.Phase != state.PhasePlanning && st.Leg.Phase != state.PhaseCreating
	})
	change(1)
	s.later("stream", func(st *state.Sync) bool { return st.Leg.Phase == state.PhaseStreaming })
	phase("stream")
	change(2)
	phase("schema changes")
	for i, cmd := range []bson.D{
		{{"create", "new"}},
		{{"createIndexes", "new"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"n", 1}}}, {"name", "n_1"}}}}},
		{{"dropIndexes", "new"}, {"index", "n_1"}},
		{{"collMod", "new"}, {"validator", bson.D{{"n", bson.D{{"$gte", 0}}}}}},
		{{"renameCollection", "d.new"}, {"to", "d.newer"}},
		{{"drop", "newer"}},
		{{"create", "last"}},
		{{"createIndexes", "last"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"n", 1}}}, {"name", "n_1"}, {"unique", true}}}}},
	} {
		on := db
		if cmd[0].Key == "renameCollection" {
			on = s.from.Database("admin")
		}
		require.NoError(t, on.RunCommand(t.Context(), cmd).Err(), "%v", cmd)
		require.NoError(t, s.insert(s.app, 3000+i))
	}
	time.Sleep(2 * time.Minute)
	phase("commit")
	for range 100 {
		if err = s.node.Commit(t.Context(), "test"); err == nil {
			break
		}
		time.Sleep(time.Second)
	}
	require.NoError(t, err)
	s.later("the commit", func(st *state.Sync) bool { return st.Leg.Number == 2 && st.State == shardferry.StateCommitted })
	assert.ElementsMatch(t, docs(t, s.from), docs(t, s.to))
	require.NoError(t, s.insert(s.guest, 5000, 5001))
	phase("rollback")
	time.Sleep(time.Minute)
	require.NoError(t, s.node.Rollback(t.Context(), "test"))
	s.later("the way home", func(st *state.Sync) bool { return st.Leg.Number == 3 && st.State == shardferry.StateCommitted })
	s.faults.set(nil)
	assert.ElementsMatch(t, docs(t, s.from), docs(t, s.to))
	s.equal()
}

// other returns a shard of the source that is not the primary shard of a database.
func (s *stage) other(db string) string {
	s.t.Helper()
	owner, err := s.from.Database("config").Collection("databases").FindOne(s.t.Context(), bson.D{{"_id", db}}).Raw()
	require.NoError(s.t, err)
	for _, sh := range s.src.Shards() {
		if sh != owner.Lookup("primary").StringValue() {
			return sh
		}
	}
	return ""
}

// later is until for what takes long, because much fails on the way.
func (s *stage) later(what string, holds func(st *state.Sync) bool) {
	s.t.Helper()
	for range 600 {
		st, _ := s.node.State()
		if holds(st) {
			return
		}
		require.NotEqual(s.t, shardferry.StatePaused, st.State, "%s", st.Hold)
		time.Sleep(time.Second)
	}
	st, _ := s.node.State()
	s.t.Fatalf("after ten minutes there is no %s: it is %s, %s, last %+v", what, st.State, st.Leg.Phase, st.Last)
}
