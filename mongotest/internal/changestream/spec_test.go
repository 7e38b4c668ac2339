package changestream_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/changestream"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func TestBadStagesAreRefusedWithTheServersCodes(t *testing.T) {
	ts := bson.Timestamp{T: 5, I: 1}
	hwm := changestream.HighWater(ts, 2).BSON()
	invalidate := event(2, ts, value.UUID{1}, value.D("operationType", "drop"))
	invalidate.FromInvalidate = true
	noUUID := event(2, ts, value.UUID{}, value.D("operationType", "dropDatabase"))
	tests := map[string]struct {
		opts     bson.Raw
		db, coll string
		code     mongoerr.Code
	}{
		"two tokens":             {value.D("resumeAfter", hwm, "startAfter", hwm), "db", "c", 50865},
		"token and time":         {value.D("resumeAfter", hwm, "startAtOperationTime", ts), "db", "c", 40674},
		"start and time":         {value.D("startAfter", hwm, "startAtOperationTime", ts), "db", "c", 40674},
		"unknown field":          {value.D("ignoreRemovedShards", true), "db", "c", mongoerr.IDLUnknownField},
		"wrong type of a flag":   {value.D("showExpandedEvents", 1), "db", "c", mongoerr.TypeMismatch},
		"wrong type of a time":   {value.D("startAtOperationTime", 1), "db", "c", mongoerr.TypeMismatch},
		"wrong type of a token":  {value.D("resumeAfter", "x"), "db", "c", mongoerr.TypeMismatch},
		"bad token":              {value.D("resumeAfter", value.D("_data", 1)), "db", "c", 40647},
		"unknown image":          {value.D("fullDocument", "off"), "db", "c", mongoerr.BadValue},
		"unknown before image":   {value.D("fullDocumentBeforeChange", "default"), "db", "c", mongoerr.BadValue},
		"cluster not on admin":   {value.D("allChangesForCluster", true), "db", "", mongoerr.InvalidOptions},
		"cluster on collection":  {value.D("allChangesForCluster", true), "admin", "c", mongoerr.InvalidOptions},
		"admin":                  {value.D(), "admin", "", mongoerr.InvalidNamespace},
		"local":                  {value.D("allowToRunOnConfigDB", true), "local", "oplog.rs", mongoerr.InvalidNamespace},
		"config":                 {value.D(), "config", "shards", mongoerr.InvalidNamespace},
		"system collection":      {value.D(), "db", "system.js", mongoerr.InvalidNamespace},
		"resume from invalidate": {value.D("resumeAfter", invalidate.BSON()), "db", "c", mongoerr.InvalidResumeToken},
		"no UUID on collection":  {value.D("startAfter", noUUID.BSON()), "db", "c", mongoerr.InvalidResumeToken},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := changestream.ParseSpec(value.D("$changeStream", tc.opts), tc.db, tc.coll)
			require.Error(t, err)
			assert.Equal(t, tc.code, mongoerr.From(err).Code, "%v", err)
		})
	}
	_, err := changestream.ParseSpec(value.D("$changeStream", 1), "db", "c")
	assert.True(t, mongoerr.Is(err, 6188500))
}

func TestOnlyStreamingStagesMayFollow(t *testing.T) {
	log := newLog()
	for stage, code := range map[string]mongoerr.Code{
		"$group": mongoerr.IllegalOperation, "$sort": mongoerr.IllegalOperation, "$nonsense": 40324,
	} {
		_, err := changestream.Open(log, docs{}, spec(t), []bson.Raw{value.D(stage, value.D("_id", 1))}, version)
		require.Error(t, err)
		assert.Equal(t, code, mongoerr.From(err).Code, "%v", err)
	}
	_, err := changestream.Open(log, docs{}, spec(t), []bson.Raw{
		value.D("$changeStreamSplitLargeEvent", value.D()), value.D("$match", value.D()),
	}, version)
	assert.True(t, mongoerr.Is(err, 7182802))
}
