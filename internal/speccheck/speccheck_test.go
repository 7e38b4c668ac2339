package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const output = `=== RUN   TestUnifiedSpec
--- FAIL: TestUnifiedSpec (1.00s)
    --- FAIL: TestUnifiedSpec/crud/unified (1.00s)
        --- FAIL: TestUnifiedSpec/crud/unified/find.json (1.00s)
            --- PASS: TestUnifiedSpec/crud/unified/find.json/finds (0.50s)
            --- FAIL: TestUnifiedSpec/crud/unified/find.json/fails_(often) (0.50s)
        --- SKIP: TestUnifiedSpec/crud/unified/later.json (0.00s)
            --- SKIP: TestUnifiedSpec/crud/unified/new.json/needs_9.0 (0.00s)
--- PASS: TestRetryableWritesSpec (0.10s)
        --- PASS: TestRetryableWritesSpec/insertOne.json/retries (0.10s)
--- PASS: TestEntityMap/something.json/else (0.00s)
--- FAIL: TestCursor (0.10s)
    --- FAIL: TestCursor/all (0.10s)
        --- PASS: TestCursor/all/of_them (0.10s)
        --- SKIP: TestCursor/all/again (0.10s)
    --- FAIL: TestCursor/next (0.10s)
        --- FAIL: TestCursor/next/none (0.10s)
--- PASS: TestHintErrors (0.10s)
FAIL
`

var rs8 = run{replicaSet, "8.0"}

func TestOutputIsReadCaseByCase(t *testing.T) {
	assert.Equal(t, results{
		"crud/unified/find.json/finds":                   pass,
		"crud/unified/find.json/fails_(often)":           fail,
		"crud/unified/new.json/needs_9.0":                skipped,
		"retryable-writes/legacy/insertOne.json/retries": pass,
		"prose/TestCursor/all":                           fail, // by itself
		"prose/TestCursor/all/of_them":                   pass,
		"prose/TestCursor/all/again":                     skipped,
		"prose/TestCursor/next/none":                     fail,
		"prose/TestHintErrors":                           pass,
	}, parse(output))
	assert.True(t, completed(output))
	assert.False(t, completed(output+"panic: oh\n\ngoroutine 1 [running]:\n"))
}

func TestAnEntryCoversCasesOfSomeRuns(t *testing.T) {
	for line, want := range map[string]bool{
		"fail all a/b.json/c # x":             true,
		"fail 8.0 a/b.json/c # x":             true,
		"fail replica-set a/b.json/* # x":     true,
		"fail replica-set-8.0 a/b.json/c # x": true,
		"fail sharded a/b.json/c # x":         false,
		"fail 7.0 a/b.json/c # x":             false,
		"fail all a/b.json/d # x":             false,
		"# fail all a/b.json/c # x":           false,
	} {
		l, err := parseList(line)
		require.NoError(t, err)
		assert.Equal(t, want, l.knows(rs8, "a/b.json/c"), line)
	}
	for _, line := range []string{"fail all a/b.json/c", "maybe all a/b.json/c # x", "fail a/b.json/c # x", "fail all a b # x"} {
		_, err := parseList(line)
		assert.Error(t, err, line)
	}
}

func TestSkippedCasesAreNamedExactly(t *testing.T) {
	l, err := parseList("skip all crud/v1/a.json/why_(not)? # x\nfail all crud/v1/b.json/c # x\nskip sharded crud/v1/d.json/e # x")
	require.NoError(t, err)
	var last string
	for part := range strings.SplitSeq(l.skipPattern(rs8), "|") {
		last = part
	}
	names := strings.Split("TestCrudSpec/a.json/why_(not)?", "/")
	for i, element := range strings.Split(last, "/") {
		assert.Regexp(t, element, names[i])
	}
	assert.NotContains(t, l.skipPattern(rs8), "b")
	assert.Equal(t, "^TestCursor$/^all$", exactly([]string{"prose/TestCursor/all"}))
	assert.NotContains(t, l.skipPattern(rs8), "d.json")
}

func TestAReportTellsWhatIsNew(t *testing.T) {
	found := results{"crud/x.json/a": fail, "gridfs/x.json/b": skipped}
	for i := range 60 {
		found["crud/y.json/"+strings.Repeat("c", i+1)] = pass
	}
	known, err := parseList("fail all crud/x.json/a # x\nskip all gridfs/x.json/z # x\nfail all crud/gone.json/a # x\nfail sharded crud/gone.json/a # x")
	require.NoError(t, err)
	r := &report{run: rs8, known: known, results: []results{found}}
	var out strings.Builder
	assert.False(t, r.print(&out), "60 of 62 are too few")
	assert.Equal(t, "replica-set-8.0: only 60 of 62 pass\n", out.String())
	assert.Equal(t, counts{pass: 60, fail: 1}, r.counts("crud"))
	assert.Equal(t, counts{fail: 1, skipped: 1}, r.counts("gridfs"), "a case that is not run does not pass")

	stale := known.stale([]*report{r})
	require.Len(t, stale, 1, "an entry for other runs cannot be judged")
	assert.Equal(t, "fail all crud/gone.json/a", stale[0].String())

	r.known = nil
	assert.Equal(t, []string{"crud/x.json/a"}, found.unexpected(rs8, r.known))
	assert.True(t, strings.HasPrefix(table([]*report{r}), "| specification | replica set, 8.0 |\n| --- | --- |\n| crud | 60 of 61 |\n"))
}

func TestOnlyWhatIsBetweenTheMarkersChanges(t *testing.T) {
	got, err := between("head\n"+begin+"old\n"+end+"tail\n", "new\n")
	require.NoError(t, err)
	assert.Equal(t, "head\n"+begin+"new\n"+end+"tail\n", got)
	for _, page := range []string{"", begin, end + begin} {
		_, err := between(page, "new\n")
		assert.Error(t, err)
	}
}
