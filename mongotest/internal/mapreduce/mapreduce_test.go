package mapreduce_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mapreduce"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func body(out any, more ...any) bson.Raw {
	return value.D(append([]any{"mapReduce", "c", "map", "m", "reduce", "r", "out", out}, more...)...)
}

func TestWhatIsRefused(t *testing.T) {
	scoped := bson.CodeWithScope{Code: "m", Scope: bson.D{}}
	for name, c := range map[string]struct {
		body bson.Raw
		code mongoerr.Code
	}{
		"no collection":         {value.D("mapReduce", "", "map", "m", "reduce", "r", "out", "o"), mongoerr.InvalidNamespace},
		"code with scope":       {value.D("mapReduce", "c", "map", scoped, "reduce", "r", "out", "o"), mongoerr.BadValue},
		"finalize of no code":   {body("o", "finalize", 1), mongoerr.BadValue},
		"no limit":              {body("o", "limit", 0), 15958},
		"no sort key":           {body("o", "sort", value.D()), 15976},
		"out of another type":   {body(1), mongoerr.BadValue},
		"out without a mode":    {body(value.D("db", "x")), mongoerr.BadValue},
		"unknown option of out": {body(value.D("merge", "o", "more", 1)), mongoerr.BadValue},
		"inline with others":    {body(value.D("inline", 1, "db", "x")), mongoerr.InvalidOptions},
		"inline of 2":           {body(value.D("inline", 2)), mongoerr.BadValue},
		"name of another type":  {body(value.D("merge", 1)), mongoerr.BadValue},
		"not sharded":           {body(value.D("merge", "o", "sharded", false)), mongoerr.BadValue},
		"atomic":                {body(value.D("merge", "o", "nonAtomic", false)), mongoerr.BadValue},
		"internal database":     {body(value.D("merge", "o", "db", "config")), mongoerr.CommandNotSupported},
		"system collection":     {body("system.x"), 17385},
		"invalid name":          {body("a$b"), mongoerr.InvalidNamespace},
	} {
		_, err := mapreduce.Parse("mapReduce", "d", c.body)
		assert.True(t, mongoerr.Is(err, c.code), "%s: %v", name, err)
	}
}

func TestReplies(t *testing.T) {
	for out, want := range map[string]string{
		`{"out": {"inline": 1}}`:                 `{"results": [{"_id": {"$numberInt":"1"}}]}`,
		`{"out": "o"}`:                           `{"result": "o"}`,
		`{"out": {"merge": "o", "db": "other"}}`: `{"result": {"db": "other","collection": "o"}}`,
	} {
		var spec bson.Raw
		require.NoError(t, bson.UnmarshalExtJSON([]byte(out), false, &spec))
		c, err := mapreduce.Parse("mapReduce", "d", body(spec.Lookup("out"), "finalize", nil))
		require.NoError(t, err)
		r, err := c.Reply([]bson.Raw{value.D("_id", 1)})
		require.NoError(t, err)
		assert.Equal(t, want, r.String())
	}
}
