package release_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/release"
)

func parse(t *testing.T, s string) release.Version {
	t.Helper()
	v, err := release.Parse(s)
	require.NoError(t, err)
	return v
}

// What came later is unknown in the words of its place, and known to the release
// that brought it.
func TestOperatorsOfLaterReleasesAreUnknown(t *testing.T) {
	median := bson.D{{"$median", bson.D{{"input", "$a"}, {"method", "approximate"}}}}
	pipeline := func(stage bson.D) bson.D { return bson.D{{"aggregate", "c"}, {"pipeline", bson.A{stage}}} }
	for name, tc := range map[string]struct {
		cmd   bson.D
		since string
		code  mongoerr.Code
	}{
		"expression":       {pipeline(bson.D{{"$set", bson.D{{"m", median}}}}), "7.0", mongoerr.InvalidPipelineOperator},
		"accumulator":      {pipeline(bson.D{{"$group", bson.D{{"_id", 1}, {"m", median}}}}), "7.0", 15952},
		"in $bucket":       {pipeline(bson.D{{"$bucket", bson.D{{"groupBy", "$a"}, {"output", bson.D{{"m", median}}}}}}), "7.0", 15952},
		"group key":        {pipeline(bson.D{{"$group", bson.D{{"_id", median}}}}), "7.0", mongoerr.InvalidPipelineOperator},
		"window function":  {pipeline(bson.D{{"$setWindowFields", bson.D{{"output", bson.D{{"m", median}}}}}}), "7.0", mongoerr.FailedToParse},
		"in $expr":         {bson.D{{"find", "c"}, {"filter", bson.D{{"$and", bson.A{bson.D{{"$expr", bson.D{{"$bitNot", "$a"}}}}}}}}}, "7.0", mongoerr.InvalidPipelineOperator},
		"projection":       {bson.D{{"find", "c"}, {"projection", bson.D{{"u", bson.D{{"$toUUID", "$a"}}}}}}, "8.0", mongoerr.InvalidPipelineOperator},
		"update pipeline":  {bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{}}, {"u", bson.A{bson.D{{"$set", bson.D{{"m", median}}}}}}}}}}, "7.0", mongoerr.InvalidPipelineOperator},
		"within $facet":    {pipeline(bson.D{{"$facet", bson.D{{"f", bson.A{bson.D{{"$group", bson.D{{"_id", 1}, {"m", median}}}}}}}}}), "7.0", 15952},
		"within $lookup":   {pipeline(bson.D{{"$lookup", bson.D{{"from", "d"}, {"pipeline", bson.A{bson.D{{"$querySettings", bson.D{}}}}}, {"as", "x"}}}}), "8.0", 40324},
		"stage":            {pipeline(bson.D{{"$queryStats", bson.D{}}}), "7.0", 40324},
		"explained":        {bson.D{{"explain", pipeline(bson.D{{"$queryStats", bson.D{}}})}}, "7.0", 40324},
		"new as collector": {pipeline(bson.D{{"$group", bson.D{{"_id", 1}, {"m", bson.D{{"$setUnion", "$a"}}}}}}), "8.0", 15952},
		"sorted update":    {bson.D{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{}}, {"u", bson.D{}}, {"sort", bson.D{{"a", 1}}}}}}}, "8.0", mongoerr.IDLUnknownField},
		"empty timestamps": {bson.D{{"insert", "c"}, {"bypassEmptyTsReplacement", true}}, "8.0", mongoerr.IDLUnknownField},
		"compound index":   {bson.D{{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"a", 1}, {"b.$**", 1}}}}}}}, "7.0", mongoerr.CannotCreateIndex},
		"splitting events": {pipeline(bson.D{{"$changeStreamSplitLargeEvent", bson.D{}}}), "6.0.9", 40324},
	} {
		req := request(t, tc.cmd)
		assert.True(t, mongoerr.Is(parse(t, "6.0.4").Check(req), tc.code), "%s: %v", name, parse(t, "6.0.4").Check(req))
		require.NoError(t, parse(t, tc.since).Check(req), name)
	}
}

// Only operators are refused: not data of such a name, nor what was known
// elsewhere before.
func TestNamesElsewhereAreNoOperators(t *testing.T) {
	old := parse(t, "6.0.4")
	for _, cmd := range []bson.D{
		{{"aggregate", "c"}, {"pipeline", bson.A{bson.D{{"$set", bson.D{{"a", bson.D{{"$literal", bson.D{{"$median", 1}}}}}}}}}}},
		{{"aggregate", "c"}, {"pipeline", bson.A{bson.D{{"$set", bson.D{{"a", bson.D{{"$setUnion", bson.A{"$a", "$b"}}}}}}}}}},
		{{"find", "c"}, {"filter", bson.D{{"a.$median", 1}}}},
		{{"update", "c"}, {"updates", bson.A{bson.D{{"q", bson.D{}}, {"u", bson.D{{"$set", bson.D{{"a", bson.D{{"$median", 1}}}}}}}}}}},
		{{"createIndexes", "c"}, {"indexes", bson.A{bson.D{{"key", bson.D{{"$**", 1}}}}, bson.D{{"key", bson.D{{"a", 1}, {"b", 1}}}}}}},
		{{"insert", "c"}, {"documents", bson.A{bson.D{{"a", bson.D{{"$median", 1}}}}}}},
	} {
		require.NoError(t, old.Check(request(t, cmd)), cmd)
	}
}

func TestCommandsOfLaterReleasesAreUnknown(t *testing.T) {
	has := func(version string) map[string]bool {
		table := map[string]bool{"find": true, "checkMetadataConsistency": true, "bulkWrite": true, "moveRange": true}
		release.Commands(parse(t, version), table)
		return table
	}
	assert.Equal(t, map[string]bool{"find": true, "moveRange": true}, has("6.0.4"))
	assert.Equal(t, map[string]bool{"find": true, "moveRange": true, "checkMetadataConsistency": true}, has("7.0.4"))
	assert.Len(t, has("8.0.4"), 4)
}

func TestVersions(t *testing.T) {
	for s, wire := range map[string]int32{"6.0": 17, "6.0.19": 17, "7.0.4": 21, "8.0.4": 25} {
		assert.Equal(t, wire, parse(t, s).Wire(), s)
	}
	assert.Equal(t, "6.0", parse(t, "6.0.19").FCV())
	assert.True(t, parse(t, "6.1.0").AtLeast(6, 1))
	assert.False(t, parse(t, "6.0.19").AtLeast(6, 1))
	for _, s := range []string{"", "6", "6.0.1.2", "6.x", "-6.0"} {
		_, err := release.Parse(s)
		require.Error(t, err, s)
	}
}

func request(t *testing.T, cmd bson.D) *command.Request {
	t.Helper()
	body, err := bson.Marshal(cmd)
	require.NoError(t, err)
	return &command.Request{Name: cmd[0].Key, DB: "d", Body: body, Client: &command.Client{}}
}
