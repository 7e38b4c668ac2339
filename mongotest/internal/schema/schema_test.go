package schema_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/schema"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func request(db string, pairs ...any) *command.Request {
	return &command.Request{Name: pairs[0].(string), DB: db, Body: value.D(append(pairs, "$db", db)...)}
}

func decimal(t *testing.T, s string) bson.Decimal128 {
	d, err := bson.ParseDecimal128(s)
	require.NoError(t, err)
	return d
}

func TestCheckRefuses(t *testing.T) {
	id := value.NewUUID().Binary()
	for name, tc := range map[string]struct {
		code mongoerr.Code
		cmd  []any
	}{
		"an unknown field":                        {mongoerr.IDLUnknownField, []any{"find", "c", "unknown", 1}},
		"a field of other commands":               {mongoerr.IDLUnknownField, []any{"drop", "c", "filter", value.D()}},
		"a field in the wrong case":               {mongoerr.IDLUnknownField, []any{"find", "c", "Filter", value.D()}},
		"a wrong type":                            {mongoerr.TypeMismatch, []any{"find", "c", "filter", "x"}},
		"null where it is no omission":            {mongoerr.TypeMismatch, []any{"find", "c", "filter", nil}},
		"an int where only a long will do":        {mongoerr.TypeMismatch, []any{"getMore", int32(1), "collection", "c"}},
		"a number for a strict bool":              {mongoerr.TypeMismatch, []any{"insert", "c", "documents", []bson.Raw{value.D()}, "ordered", 1}},
		"a wrong element of an array":             {mongoerr.TypeMismatch, []any{"killCursors", "c", "cursors", []any{int64(1), "x"}}},
		"a missing field":                         {mongoerr.IDLFailedToParse, []any{"insert", "c"}},
		"null for a required field":               {mongoerr.IDLFailedToParse, []any{"killCursors", "c", "cursors", nil}},
		"null for a required first field":         {mongoerr.IDLFailedToParse, []any{"killSessions", nil}},
		"a limit of count that is no number":      {mongoerr.BadValue, []any{"count", "c", "limit", "x"}},
		"null for a pipeline":                     {mongoerr.TypeMismatch, []any{"aggregate", "c", "pipeline", nil}},
		"a number for explain":                    {mongoerr.TypeMismatch, []any{"aggregate", "c", "pipeline", []bson.Raw{}, "explain", 1}},
		"a negative count":                        {mongoerr.BadValue, []any{"find", "c", "limit", -1}},
		"a decimal that rounds to a negative one": {mongoerr.BadValue, []any{"find", "c", "skip", decimal(t, "-0.51")}},
		"a value outside an enumeration":          {mongoerr.BadValue, []any{"create", "c", "validationLevel", "none"}},
		"no name of a collection":                 {mongoerr.InvalidNamespace, []any{"drop", 1}},
		"null as a collection":                    {mongoerr.InvalidNamespace, []any{"drop", nil}},
		"a hint that is none":                     {mongoerr.FailedToParse, []any{"find", "c", "hint", 1}},
		"a short UUID":                            {mongoerr.InvalidUUID, []any{"drop", "c", "collectionUUID", value.Binary(4, []byte{1})}},
		"other binary data for a UUID":            {mongoerr.TypeMismatch, []any{"drop", "c", "collectionUUID", value.Binary(0, make([]byte, 16))}},
		"an inner field that is missing":          {mongoerr.IDLFailedToParse, []any{"delete", "c", "deletes", []bson.Raw{value.D("q", value.D())}}},
		"an inner field that is unknown":          {mongoerr.IDLUnknownField, []any{"killSessions", []bson.Raw{value.D("id", id, "x", 1)}}},
		"another database than admin":             {mongoerr.Unauthorized, []any{"commitTransaction", 1}},
		"an unknown operation of bulkWrite":       {mongoerr.IDLUnknownField, []any{"bulkWrite", 1, "ops", []bson.Raw{value.D("replace", 0)}, "nsInfo", []bson.Raw{}}},
	} {
		err := schema.Check(request("db", tc.cmd...))
		assert.True(t, mongoerr.Is(err, tc.code), "%s: %v", name, err)
	}
}

func TestCheckAcceptsWhatTheServerConverts(t *testing.T) {
	for _, cmd := range [][]any{
		{"find", "c", "limit", 2.5, "batchSize", decimal(t, "3"), "singleBatch", 1, "let", nil},
		{"find", "c", "skip", math.NaN(), "limit", decimal(t, "-0.5")},
		{"killCursors", "c", "cursors", []any{nil, int64(1)}},
		{"startSession", value.MinKey(), "unknown", 1},
		{"isMaster", 1, "whatever", true},
		{"insert", "c", "documents", []bson.Raw{value.D("$weird", 1)}, "comment", value.D(), "lsid", value.D("id", value.NewUUID().Binary())},
	} {
		require.NoError(t, schema.Check(request("db", cmd...)), cmd)
	}
}

func TestGenericArgumentsAreCheckedOnEveryCommand(t *testing.T) {
	for _, tc := range []struct {
		code  mongoerr.Code // 0: accepted
		field string
		value any
	}{
		{0, "maxTimeMS", 1000.0},
		{0, "maxTimeMS", nil},
		{mongoerr.FailedToParse, "maxTimeMS", 1.5},
		{mongoerr.FailedToParse, "maxTimeMS", math.NaN()},
		{mongoerr.BadValue, "maxTimeMS", -1},
		{mongoerr.BadValue, "maxTimeMS", int64(1) << 31},
		{mongoerr.TypeMismatch, "maxTimeMS", "1"},
		{0, "readConcern", value.D("level", nil)},
		{mongoerr.BadValue, "readConcern", value.D("level", "")},
		{mongoerr.IDLUnknownField, "readConcern", value.D("lvl", "local")},
		{mongoerr.TypeMismatch, "readConcern", value.D("afterClusterTime", nil)},
		{0, "writeConcern", value.D("w", 1.5, "j", 0, "wtimeout", "x")},
		{0, "writeConcern", value.D("w", value.D("dc", 2))},
		{mongoerr.FailedToParse, "writeConcern", value.D("w", 51)},
		{mongoerr.FailedToParse, "writeConcern", value.D("w", true)},
		{mongoerr.FailedToParse, "writeConcern", value.D("w", math.NaN())},
		{mongoerr.FailedToParse, "writeConcern", value.D("w", value.D())},
		{mongoerr.FailedToParse, "writeConcern", value.D("wtimeout", int64(math.MaxInt64))},
		{mongoerr.TypeMismatch, "writeConcern", value.D("j", "true")},
		{mongoerr.TypeMismatch, "writeConcern", 1},
		{mongoerr.TypeMismatch, "txnNumber", int32(1)},
		{mongoerr.TypeMismatch, "autocommit", 0},
		{mongoerr.IDLFailedToParse, "lsid", value.D()},
		{0, "apiVersion", "1"},
		{mongoerr.APIVersionError, "apiVersion", "2"},
		{4886600, "apiStrict", true},
	} {
		err := schema.Check(request("db", "dropDatabase", 1, tc.field, tc.value))
		accepted := err == nil
		assert.Equal(t, tc.code == 0, accepted, "%s %v: %v", tc.field, tc.value, err)
		assert.True(t, accepted || mongoerr.Is(err, tc.code), "%s %v: %v", tc.field, tc.value, err)
	}
}

func TestAPIStrictKeepsToTheStableCommands(t *testing.T) {
	require.NoError(t, schema.Check(request("db", "find", "c", "apiVersion", "1", "apiStrict", true)))
	err := schema.Check(request("db", "startSession", 1, "apiVersion", "1", "apiStrict", true))
	assert.True(t, mongoerr.Is(err, mongoerr.APIStrictError), "%v", err)
}

func TestDocumentSequencesStandForTheirArrays(t *testing.T) {
	req := request("db", "update", "c")
	req.Sequences = []command.Sequence{{ID: "updates", Docs: []bson.Raw{value.D("q", value.D(), "u", value.D())}}}
	require.NoError(t, schema.Check(req))
	req.Sequences[0].Docs = append(req.Sequences[0].Docs, value.D("q", value.D(), "u", value.D(), "multi", 1))
	assert.True(t, mongoerr.Is(schema.Check(req), mongoerr.TypeMismatch))
	req.Sequences[0].ID = "inserts"
	assert.True(t, mongoerr.Is(schema.Check(req), mongoerr.IDLUnknownField))
}
