package api_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/api"
)

// Whatever is sent, it is either a command or refused with a JSON error; and what
// is a command means the same when it is read again.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", `{"source":"cluster0","destination":"cluster1","reversible":false}`, `{"includeNamespaces":[{"database":"a","collections":["b"]}]}`,
		`{"source":"a","SOURCE":"b"}`, `{"namespaceRemap":[{"from":{"database":"a"},"to":{"database":"b"}}]}`, "{\"source\":\"\xff\"}", `{"source":"\ud800"}`, `[[[[`, `{"a":{"a":{"a":`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		ctl := &fixed{}
		h := api.NewServer(api.Config{Controller: ctl, Rate: -1}).Handler()
		send := func(text string) (int, api.Result) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/start", strings.NewReader(text)))
			var res api.Result
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &res))
			return w.Code, res
		}
		status, res := send(string(body))
		if status != http.StatusOK {
			assert.Contains(t, []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge}, status)
			assert.NotEmpty(t, res.Description)
			assert.Empty(t, ctl.asked)
			return
		}
		require.Len(t, ctl.asked, 1)
		status, _ = send(ctl.asked[0].With)
		require.Equal(t, http.StatusOK, status)
		assert.Equal(t, ctl.asked[0].With, ctl.asked[1].With)
	})
}

// A tokens file is read or refused.
func FuzzTokensFile(f *testing.F) {
	f.Add([]byte("tokens:\n- {name: a, role: viewer, sha256: " + strings.Repeat("ab", 32) + "}\n"))
	f.Add([]byte("tokens: [{name: a, role: viewer, file: ./a}]"))
	f.Add([]byte("tokens: &a [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "tokens")
		require.NoError(t, os.WriteFile(path, text, 0o600))
		_, err := api.OpenTokens(path, slog.New(slog.DiscardHandler))
		if err != nil {
			assert.Contains(t, err.Error(), "tokens file")
		}
	})
}
