package mongod_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestTheProfilerRecordsOperations(t *testing.T) {
	f := newFixture(t)
	f.insert(doc(1, 1))
	assert.EqualValues(t, 0, num(f.run("db", "profile", 2), "was"))
	assert.EqualValues(t, 2, num(f.run("db", "profile", -1), "was"))
	f.run("db", "find", "c", "filter", value.D("a", 1))
	f.run("other", "find", "c")
	f.fail(mongoerr.BadValue, "db", "find", "c", "filter", value.D("$nonsense", 1))
	seen := batch(t, f.run("db", "find", "system.profile", "projection", value.D("_id", 0, "op", 1, "ns", 1, "errCode", 1)))
	assert.Equal(t, []string{
		`{"op": "query","ns": "db.c"}`, `{"op": "query","ns": "db.c","errCode": {"$numberInt":"2"}}`,
	}, seen)
	f.run("db", "profile", 1, "filter", value.D("op", "insert"))
	f.run("db", "find", "c")
	f.insert(doc(2, 2))
	assert.Len(t, batch(t, f.run("db", "find", "system.profile")), 3)
	f.run("db", "profile", 0)
	f.insert(doc(3, 3))
	assert.Len(t, batch(t, f.run("db", "find", "system.profile")), 3)
	f.fail(mongoerr.BadValue, "db", "profile", 1, "sampleRate", 1.5)
}

func TestSlowOperationsAloneAreRecordedAtLevelOne(t *testing.T) {
	f := newFixture(t)
	f.run("db", "profile", 1, "slowms", 100_000)
	f.insert(doc(1, 1))
	f.run("db", "profile", 1, "slowms", -1)
	f.insert(doc(2, 2))
	assert.Len(t, batch(t, f.run("db", "find", "system.profile")), 1)
}

func TestAnFsyncLockHoldsWrites(t *testing.T) {
	f := newFixture(t)
	assert.EqualValues(t, 1, num(f.run("admin", "fsync", 1, "lock", true), "lockCount"))
	assert.EqualValues(t, 2, num(f.run("admin", "fsync", 1, "lock", true), "lockCount"))
	f.fail(mongoerr.MaxTimeMSExpired, "db", "insert", "c", "documents", []bson.Raw{doc(1, 1)}, "maxTimeMS", 20)
	f.run("db", "find", "c")
	f.run("admin", "fsyncUnlock", 1)
	assert.EqualValues(t, 0, num(f.run("admin", "fsyncUnlock", 1), "lockCount"))
	f.insert(doc(1, 1))
	f.fail(mongoerr.IllegalOperation, "admin", "fsyncUnlock", 1)
}

func TestDefaultConcernsHoldForThoseWhoNameNone(t *testing.T) {
	f := newFixture(t)
	f.run("admin", "setDefaultRWConcern", 1, "defaultWriteConcern", value.D("w", 1), "defaultReadConcern", value.D("level", "majority"))
	got := f.run("admin", "getDefaultRWConcern", 1)
	assert.Equal(t, "global", got.Lookup("defaultWriteConcernSource").StringValue())
	assert.Equal(t, "majority", got.Lookup("defaultReadConcern", "level").StringValue())
	f.fail(mongoerr.IllegalOperation, "admin", "setDefaultRWConcern", 1, "defaultWriteConcern", value.D())
	f.run("admin", "setDefaultRWConcern", 1, "defaultReadConcern", value.D("level", "local"))
	f.aggregate(value.D("$changeStream", value.D())) // which is majority whatever the default
	f.run("admin", "setDefaultRWConcern", 1, "defaultReadConcern", value.D())
	assert.Equal(t, "implicit", f.run("admin", "getDefaultRWConcern", 1).Lookup("defaultReadConcernSource").StringValue())
	f.fail(mongoerr.BadValue, "admin", "setDefaultRWConcern", 1, "defaultWriteConcern", value.D("w", 0))
}

func TestParametersAreSetTogetherOrNot(t *testing.T) {
	f := newFixture(t)
	f.fail(mongoerr.BadValue, "admin", "setParameter", 1, "quiet", true, "logLevel", 9)
	assert.False(t, f.run("admin", "getParameter", 1, "quiet", 1).Lookup("quiet").Boolean())
	f.run("admin", "setParameter", 1, "logLevel", 2, "logComponentVerbosity", value.D("storage", value.D("journal", 3)))
	levels := f.run("admin", "getParameter", 1, "logComponentVerbosity", 1).Lookup("logComponentVerbosity").Document()
	assert.EqualValues(t, 2, num(levels, "verbosity"))
	assert.EqualValues(t, 3, num(levels, "storage", "journal", "verbosity"))
	details := f.run("admin", "getParameter", value.D("showDetails", true), "authSchemaVersion", 1).Lookup("authSchemaVersion").Document()
	assert.False(t, details.Lookup("settableAtRuntime").Boolean())
	f.fail(mongoerr.NoSuchKey, "admin", "setClusterParameter", value.D("nonsense", value.D()))
	f.run("admin", "setClusterParameter", value.D("changeStreams", value.D("expireAfterSeconds", 60)))
	got := f.run("admin", "getClusterParameter", "changeStreams").Lookup("clusterParameters", "0").Document()
	assert.EqualValues(t, 60, num(got, "expireAfterSeconds"))
}
