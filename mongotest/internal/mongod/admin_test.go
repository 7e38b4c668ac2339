package mongod_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongod"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/release"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestAnUnknownCommandIsSaidToBe(t *testing.T) {
	f := newFixture(t)
	e := f.failure(mongoerr.CommandNotFound, "admin", "atlasVersion", 1)
	assert.Equal(t, "no such command: 'atlasVersion'", e.Message)
}

func TestEveryCommandAnswersWithoutItsArguments(t *testing.T) {
	f := newFixture(t)
	list := f.run("admin", "listCommands", 1).Lookup("commands").Document()
	for name := range value.Elements(list) {
		if name == "replSetStepDown" {
			continue
		}
		_, err := f.try(t.Context(), "admin", name, 1)
		if err != nil {
			assert.NotEqual(t, mongoerr.InternalError, mongoerr.From(err).Code, "%s: %v", name, err)
		}
		_, err = f.try(t.Context(), "db", name, "c")
		if err != nil {
			assert.NotEqual(t, mongoerr.InternalError, mongoerr.From(err).Code, "%s: %v", name, err)
		}
	}
}

func TestParameters(t *testing.T) {
	f := newFixture(t)
	reply := f.run("admin", "getParameter", 1, "featureCompatibilityVersion", 1)
	assert.JSONEq(t, `{"featureCompatibilityVersion": {"version": "8.0"}}`, relaxed(t, value.Doc(reply)))
	f.fail(mongoerr.InvalidOptions, "admin", "getParameter", 1, "nope", 1)
	f.fail(mongoerr.InvalidOptions, "admin", "setParameter", 1, "nope", 1)
	assert.EqualValues(t, 60, num(f.run("admin", "setParameter", 1, "ttlMonitorSleepSecs", 5), "was"))
	assert.EqualValues(t, 5, num(f.run("admin", "getParameter", "*"), "ttlMonitorSleepSecs"))
	f.fail(7369100, "admin", "setFeatureCompatibilityVersion", "7.0")
	f.run("admin", "setFeatureCompatibilityVersion", "7.0", "confirm", true)
	fcv := f.run("admin", "find", "system.version", "filter", value.D("_id", "featureCompatibilityVersion"))
	assert.Equal(t, "7.0", fcv.Lookup("cursor", "firstBatch", "0", "version").StringValue())
}

func TestANoteIsAppendedUnlessTheLogIsThereAlready(t *testing.T) {
	f := newFixture(t)
	note := []any{"appendOplogNote", 1, "data", value.D("msg", "x")}
	f.run("admin", note...)
	last := f.Log().Last()
	f.fail(mongoerr.StaleClusterTime, "admin", append(note, "maxClusterTime", last)...)
	assert.Equal(t, last, f.Log().Last())
	f.run("admin", append(note, "maxClusterTime", bson.Timestamp{T: last.T + 1})...)
	assert.True(t, f.Log().Last().After(last))
}

func TestAReadWaitsForTheTimeItNames(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	later := bson.Timestamp{T: uint32(time.Now().Unix()) + 100, I: 7}
	r, err := f.try(t.Context(), "db", "find", "c", "readConcern", value.D("level", "majority", "afterClusterTime", later),
		"$clusterTime", value.D("clusterTime", later))
	require.NoError(t, err)
	assert.False(t, r.OperationTime.Before(later))
	assert.False(t, r.ClusterTime.Before(later))
	count := f.Log().Len()
	f.run("db", "find", "c", "readConcern", value.D("afterClusterTime", later))
	assert.Equal(t, count, f.Log().Len())
	f.fail(mongoerr.BadValue, "db", "find", "c", "readConcern", value.D("level", "nope"))
}

func TestTheClockFollowsTheClusterTimeOfRequests(t *testing.T) {
	f := newFixture(t)
	ahead := bson.Timestamp{T: uint32(time.Now().Unix()) + 50, I: 3}
	r, err := f.try(t.Context(), "db", "insert", "c", "documents", []bson.Raw{doc(1, 1)}, "$clusterTime", value.D("clusterTime", ahead))
	require.NoError(t, err)
	assert.True(t, r.OperationTime.After(ahead))
	f.fail(205, "db", "ping", 1, "$clusterTime", value.D("clusterTime", bson.Timestamp{T: ^uint32(0)}))
}

func TestPrivilegesShowTheBypass(t *testing.T) {
	f := newFixture(t)
	privileges := func(c *command.Client) string {
		return relaxed(t, f.as(c).run("admin", "connectionStatus", 1, "showPrivileges", true).Lookup("authInfo", "authenticatedUserPrivileges"))
	}
	assert.NotContains(t, privileges(&command.Client{User: "admin.a", Roles: []command.Role{{Role: "readWriteAnyDatabase", DB: "admin"}}}), "bypassWriteBlockingMode")
	restore := privileges(&command.Client{User: "admin.a", Roles: []command.Role{{Role: "restore", DB: "admin"}}, BypassWriteBlock: true})
	assert.Contains(t, restore, "bypassWriteBlockingMode")
	assert.Contains(t, restore, `"cluster":true`)
}

func TestAnOlderServerSaysWhatItIs(t *testing.T) {
	f := newFixture(t, func(c *mongod.Config) { c.Version = release.Version{6, 0, 19} })
	assert.EqualValues(t, 17, num(f.run("admin", "hello", 1), "maxWireVersion"))
	f.fail(mongoerr.CommandNotFound, "admin", "bulkWrite", 1)
	f.fail(mongoerr.NamespaceNotFound, "db", "drop", "none")
	assert.JSONEq(t, "[6, 0, 19, 0]", relaxed(t, f.run("admin", "buildInfo", 1).Lookup("versionArray")))
}

func TestSplitVectorCutsAtTheSizeAsked(t *testing.T) {
	f := newFixture(t)
	for i := range 10 {
		f.insert(doc(i, i))
	}
	size := len(doc(1, 1)) * 3
	reply := f.run("admin", "splitVector", "db.c", "keyPattern", value.D("_id", 1), "maxChunkSizeBytes", size)
	assert.JSONEq(t, `[{"_id": 3}, {"_id": 6}, {"_id": 9}]`, relaxed(t, reply.Lookup("splitKeys")))
}
