package query_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
)

const textIndex = `{"key": {"_fts": "text", "_ftsx": 1}, "weights": {"t": 1, "o.s": 2}, "default_language": "english"}`

// searching compiles a filter with $text and binds it to an index.
func searching(t *testing.T, filter, index string) *query.Matcher {
	t.Helper()
	m, err := query.Compile(doc(t, filter), query.Options{Text: query.TextAllowed})
	require.NoError(t, err)
	require.True(t, m.HasText())
	m, err = m.WithText(doc(t, index))
	require.NoError(t, err)
	return m
}

func TestTextSearchesTheIndexedFields(t *testing.T) {
	for _, tt := range []struct{ filter, index, yes, no string }{
		{`{"$text": {"$search": "cats"}}`, textIndex, `{"t": "a cat"}`, `{"u": "a cat"}`},
		{`{"$text": {"$search": "cats"}}`, textIndex, `{"t": ["dog", "cat"]}`, `{"t": 5}`},
		{`{"$text": {"$search": "cats"}}`, textIndex, `{"o": {"s": "cat"}}`, `{"o": "cat"}`},
		{`{"$text": {"$search": "cats"}, "n": 1}`, textIndex, `{"t": "cat", "n": 1}`, `{"t": "cat", "n": 2}`},
		{`{"$text": {"$search": "cat", "$language": "none"}}`, textIndex, `{"t": "cats"}`, `{"t": "the catalogue"}`},
		{`{"$or": [{"$text": {"$search": "cat"}}]}`, textIndex, `{"t": "cat"}`, `{}`},
		{`{"$text": {"$search": "cat"}}`, `{"weights": {"$**": 1}, "default_language": "none"}`, `{"x": [{"y": "cat"}]}`, `{"x": "cats"}`},
	} {
		m := searching(t, tt.filter, tt.index)
		for d, want := range map[string]bool{tt.yes: true, tt.no: false} {
			ok, err := m.Match(doc(t, d))
			require.NoError(t, err)
			assert.Equal(t, want, ok, "%s on %s", tt.filter, d)
		}
	}
}

func TestTextScoresCanBeShownAndSortedBy(t *testing.T) {
	m := searching(t, `{"$text": {"$search": "cat"}}`, textIndex)
	p, err := query.CompileProjection(doc(t, `{"score": {"$meta": "textScore"}}`), query.Options{Matcher: m})
	require.NoError(t, err)
	got, err := p.Apply(doc(t, `{"_id": 1, "t": "cat and dog"}`), -1)
	require.NoError(t, err)
	assert.Equal(t, doc(t, `{"_id": 1, "t": "cat and dog", "score": 0.75}`), got)

	s, err := m.CompileSort(doc(t, `{"score": {"$meta": "textScore"}, "_id": 1}`))
	require.NoError(t, err)
	assert.Negative(t, s.Compare(doc(t, `{"t": "cat"}`), doc(t, `{"t": "cat and dog"}`)), "the best comes first")
	assert.Negative(t, s.Compare(doc(t, `{"_id": 1, "t": "cat"}`), doc(t, `{"_id": 2, "t": "cat"}`)))
}

func TestBadTextSearchesAreRefused(t *testing.T) {
	for filter, code := range map[string]mongoerr.Code{
		`{"$text": 1}`:              mongoerr.BadValue,
		`{"$text": {}}`:             mongoerr.NoSuchKey,
		`{"$text": {"$search": 1}}`: mongoerr.TypeMismatch,
		`{"$text": {"$search": "x", "$caseSensitive": 1}}`:       mongoerr.TypeMismatch,
		`{"$text": {"$search": "x", "$language": "klingon"}}`:    mongoerr.BadValue,
		`{"$text": {"$search": "x", "$other": 1}}`:               mongoerr.BadValue,
		`{"$nor": [{"$text": {"$search": "x"}}]}`:                mongoerr.BadValue,
		`{"a": {"$elemMatch": {"$text": {"$search": "x"}}}}`:     mongoerr.BadValue,
		`{"$and": [{"$text": {"$search": "x"}}, {"$text": {}}]}`: mongoerr.BadValue,
		`{"$or": [{"$text": {"$search": "x"}}, {"a": 1}]}`:       mongoerr.NoQueryExecutionPlans,
		`{"$text": {"$search": "x"}, "a": {"$near": [0, 0]}}`:    mongoerr.BadValue,
	} {
		_, err := query.Compile(doc(t, filter), query.Options{Text: query.TextAllowed, Near: true})
		assert.True(t, mongoerr.Is(err, code), "%s: %v", filter, err)
	}
	search := doc(t, `{"$text": {"$search": "x"}}`)
	_, err := query.Compile(search, query.Options{})
	assert.True(t, mongoerr.Is(err, mongoerr.BadValue), "%v", err)
	_, err = query.Compile(search, query.Options{Text: query.TextTooLate})
	assert.True(t, mongoerr.Is(err, 17313), "%v", err)
	m, err := query.Compile(search, query.Options{Text: query.TextAllowed})
	require.NoError(t, err)
	_, err = m.Match(doc(t, `{"t": "x"}`))
	assert.True(t, mongoerr.Is(err, mongoerr.IndexNotFound), "%v", err)
}
