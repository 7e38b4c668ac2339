package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/verify"
)

// fixed answers every command with err.
type fixed struct {
	err   error
	calls []string
	asked []api.Request

	begun api.StartRequest
}

func (f *fixed) note(name string) error {
	f.calls = append(f.calls, name)
	return f.err
}

func (f *fixed) Start(_ context.Context, r api.StartRequest, _ string) error {
	f.begun = r
	return f.note("start " + r.Source + " " + r.Destination)
}
func (f *fixed) Pause(context.Context, string) error      { return f.note("pause") }
func (f *fixed) Resume(context.Context, string) error     { return f.note("resume") }
func (f *fixed) RecopyLost(context.Context, string) error { return f.note("recopy") }
func (f *fixed) Commit(context.Context, string) error     { return f.note("commit") }
func (f *fixed) Reverse(context.Context, string) error    { return f.note("reverse") }
func (f *fixed) Rollback(context.Context, string) error   { return f.note("rollback") }

func (f *fixed) Progress(context.Context) (api.Progress, error) {
	return api.Progress{State: shardferry.StateRunning, CanCommit: true, Warnings: []string{}}, f.note("progress")
}

func (f *fixed) Verify(context.Context) (verify.Report, error) {
	return verify.Report{Documents: 7}, f.note("verify")
}

func (f *fixed) Answer(ctx context.Context, req api.Request, do func(context.Context) error) error {
	f.asked = append(f.asked, req)
	return do(ctx)
}

func (f *fixed) Audit(_ context.Context, since time.Time) ([]api.AuditEntry, error) {
	return []api.AuditEntry{{Command: "pause", By: "alice", At: since}}, f.note("audit")
}

func serve(t *testing.T, ctl api.Controller) (*api.Client, string) {
	return serveWith(t, api.Config{Controller: ctl})
}

func serveWith(t *testing.T, cfg api.Config) (*api.Client, string) {
	srv := httptest.NewServer(api.NewServer(cfg).Handler())
	t.Cleanup(srv.Close)
	return api.NewClient(srv.URL), srv.URL
}

func TestClientReachesEveryMethod(t *testing.T) {
	ctl := &fixed{}
	c, _ := serve(t, ctl)
	ctx := t.Context()

	require.NoError(t, c.Start(ctx, api.StartRequest{Source: "cluster0", Destination: "cluster1"}))
	for _, name := range []string{"pause", "resume", "commit", "reverse", "rollback"} {
		require.NoError(t, c.Command(ctx, name))
	}
	p, err := c.Progress(ctx)
	require.NoError(t, err)
	assert.True(t, p.CanCommit)
	r, err := c.Verify(ctx)
	require.NoError(t, err)
	assert.EqualValues(t, 7, r.Documents)
	assert.Equal(t, []string{"start cluster0 cluster1", "pause", "resume", "commit", "reverse", "rollback", "progress", "verify"}, ctl.calls)
}

// A filter of documents arrives as it was sent, types and order included.
func TestAFilterArrives(t *testing.T) {
	ctl := &fixed{}
	c, _ := serve(t, ctl)
	q, err := shardferry.ParseFilter([]byte(`{"b":{"$gt":{"$numberLong":"1"}},"a":{"$in":["x",null]}}`))
	require.NoError(t, err)
	req := api.StartRequest{Source: "cluster0", Destination: "cluster1", Selection: shardferry.Selection{
		Documents: []shardferry.DocumentFilter{{Database: "d", Collection: "c", Filter: q}},
	}}
	require.NoError(t, c.Start(t.Context(), req))
	assert.Equal(t, req, ctl.begun)
}

func TestErrorsKeepTheirMeaning(t *testing.T) {
	for _, want := range []error{api.ErrBadRequest, api.ErrNotYet, api.ErrRefused, shardferry.ErrOutcomeUnknown, shardferry.ErrNotLeader} {
		c, _ := serve(t, &fixed{err: fmt.Errorf("commit: %w", want)})
		require.ErrorIs(t, c.Command(t.Context(), "commit"), want)
	}
	c, _ := serve(t, &fixed{err: &shardferry.StateError{Command: "commit", State: shardferry.StateIdle}})
	require.ErrorIs(t, c.Command(t.Context(), "commit"), api.ErrInvalidState)
}

func TestMalformedRequestsChangeNothing(t *testing.T) {
	tests := []struct {
		name, method, path, body string
		want                     int
	}{
		{"not JSON", http.MethodPost, "/api/v1/start", "start!", http.StatusBadRequest},
		{"unknown field", http.MethodPost, "/api/v1/start", `{"sauce":"cluster0"}`, http.StatusBadRequest},
		{"wrong type", http.MethodPost, "/api/v1/start", `{"source":7}`, http.StatusBadRequest},
		{"two objects", http.MethodPost, "/api/v1/commit", `{}{}`, http.StatusBadRequest},
		{"a field where none is known", http.MethodPost, "/api/v1/commit", `{"force":true}`, http.StatusBadRequest},
		{"too large", http.MethodPost, "/api/v1/start", `{"source":"` + strings.Repeat("x", 2<<20) + `"}`, http.StatusRequestEntityTooLarge},
		{"too large, of nothing", http.MethodPost, "/api/v1/start", strings.Repeat(" ", 2<<20), http.StatusRequestEntityTooLarge},
		{"no object", http.MethodPost, "/api/v1/start", `null`, http.StatusBadRequest},
		{"a list", http.MethodPost, "/api/v1/start", `[]`, http.StatusBadRequest},
		{"half an object", http.MethodPost, "/api/v1/start", `{"source":"cluster0"`, http.StatusBadRequest},
		{"not UTF-8", http.MethodPost, "/api/v1/start", "{\"source\":\"\xff\"}", http.StatusBadRequest},
		{"wrong method", http.MethodGet, "/api/v1/commit", "", http.StatusNotFound},
		{"wrong path", http.MethodPost, "/api/v2/commit", "{}", http.StatusNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctl := &fixed{}
			_, url := serve(t, ctl)
			req, err := http.NewRequestWithContext(t.Context(), tt.method, url+tt.path, strings.NewReader(tt.body))
			require.NoError(t, err)
			resp, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, tt.want, resp.StatusCode)
			assert.Empty(t, ctl.calls)
			assert.Empty(t, ctl.asked, "it is no command")
		})
	}
}

// What is wrong is said by the name of its field, and hostile bodies take neither
// time nor the program down.
func TestMalformedBodiesNameTheirField(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	for body, says := range map[string]string{
		`{"sauce":"cluster0"}`:                                    `unknown field "sauce"`,
		`{"source":7}`:                                            "source",
		`{"reversible":"yes"}`:                                    "reversible",
		`{"includeNamespaces":{"database":"shop"}}`:               "includeNamespaces",
		`{"includeNamespaces":[{"database":["shop"]}]}`:           "includeNamespaces.database",
		`{"includeNamespaces":[{"databaseRegex":{"pattern":1}}]}`: "includeNamespaces.databaseRegex.pattern",
		`{"source":"cluster0","source":"cluster1"}`:               `"source" stands there twice`,
		`{"source":"cluster0","Source":"cluster1"}`:               `"Source" stands there twice`,
		`{"includeNamespaces":[{"database":"a","database":"b"}]}`: `"database" stands there twice`,
		`{"` + strings.Repeat("x", 1<<19) + `":1}`:                "unknown field",
		deep(33):                             "levels",
		deep(100_000):                        "levels",
		strings.Repeat("[", 1<<19):           "want a JSON object",
		`{"a":` + strings.Repeat("[", 1<<19): "levels",
		`{"source":` + strings.Repeat("9", 1<<19) + `}`: "source",
		`{"source":"cluster0"} x`:                       "something after",
		`{"source":"cluster0"}{}`:                       "something after",
		`{"source":"cluster0",}`:                        "the body",
		`{"withUsers":1e400}`:                           "withUsers",
	} {
		ctl := &fixed{}
		_, url := serve(t, ctl)
		status, answer := post(t, url+"/api/v1/start", body, nil)
		assert.Equal(t, http.StatusBadRequest, status, "%.60s", body)
		assert.Equal(t, "BadRequest", answer.Error)
		assert.Contains(t, answer.Description, says, "%.60s", body)
		assert.Less(t, len(answer.Description), 1000)
		assert.Empty(t, ctl.asked)
	}
}

// post sends a command, and returns what was answered.
func post(t *testing.T, url, body string, header http.Header) (int, api.Result) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	var res api.Result
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&res))
	return resp.StatusCode, res
}
