package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/api"
)

// A journal is a log that can be read while it is written.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// A keyring is a tokens file with one token of each role, and one that has expired.
type keyring struct {
	path   string
	log    *journal
	tokens *api.Tokens
	of     map[string]string // token by its name
}

func newKeyring(t *testing.T) *keyring {
	t.Helper()
	k := &keyring{path: filepath.Join(t.TempDir(), "tokens.yaml"), log: &journal{}, of: map[string]string{}}
	text := "tokens:\n"
	for _, e := range []struct {
		name    string
		role    api.Role
		expires time.Time
	}{
		{"vera", api.RoleViewer, time.Now().Add(time.Hour)},
		{"otto", api.RoleOperator, time.Time{}},
		{"ada", api.RoleAdmin, time.Time{}},
		{"gone", api.RoleAdmin, time.Now().Add(-time.Minute)},
	} {
		token, entry, err := api.NewToken(e.name, e.role, e.expires)
		require.NoError(t, err)
		k.of[e.name] = token
		text += fmt.Sprintf("  - {name: %s, role: %s, sha256: %q, expires: %q}\n", entry.Name, entry.Role, entry.SHA256, entry.Expires)
	}
	k.write(t, text)
	var err error
	k.tokens, err = api.OpenTokens(k.path, slog.New(slog.NewTextHandler(k.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	require.NoError(t, err)
	return k
}

func (k *keyring) write(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(k.path, []byte(text), 0o600))
}

func (k *keyring) config(ctl api.Controller) api.Config {
	return api.Config{Controller: ctl, Tokens: k.tokens, Logger: slog.New(slog.NewTextHandler(k.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
}

func bearer(token string) http.Header {
	if token == "" {
		return nil
	}
	return http.Header{"Authorization": {"Bearer " + token}}
}

// ask returns the status and the headers of an answer.
func ask(t *testing.T, method, url string, header http.Header) (int, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	if header != nil {
		req.Header = header
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, resp.Header
}

func statusOf(t *testing.T, url string, header http.Header) int {
	t.Helper()
	status, _ := ask(t, http.MethodGet, url, header)
	return status
}

func TestRoles(t *testing.T) {
	k := newKeyring(t)
	questions, commands := []string{"progress", "verify", "audit"}, []string{"start", "pause", "resume", "commit", "reverse", "rollback"}
	const no, forbidden, ok = http.StatusUnauthorized, http.StatusForbidden, http.StatusOK
	for _, tt := range []struct {
		who               string
		asks, steers, all int
	}{
		{"", no, no, no},
		{"unknown", no, no, no},
		{"gone", no, no, no},
		{"vera", ok, forbidden, forbidden},
		{"otto", ok, ok, forbidden},
		{"ada", ok, ok, ok},
	} {
		ctl := &fixed{}
		_, url := serveWith(t, k.config(ctl))
		token := k.of[tt.who]
		if tt.who == "unknown" {
			token = strings.ToUpper(k.of["ada"])
		}
		for _, q := range questions {
			status, header := ask(t, http.MethodGet, url+"/api/v1/"+q, bearer(token))
			assert.Equal(t, tt.asks, status, "%s asks for %s", tt.who, q)
			assert.Equal(t, tt.asks == no, header.Get("WWW-Authenticate") != "")
		}
		assert.Equal(t, tt.all, statusOf(t, url+"/api/v1/tokens", bearer(token)), tt.who)
		before := len(ctl.calls)
		for _, c := range commands {
			status, answer := post(t, url+"/api/v1/"+c, "", bearer(token))
			assert.Equal(t, tt.steers, status, "%s sends %s", tt.who, c)
			switch status {
			case forbidden:
				assert.Equal(t, api.Result{Outcome: "refused", Error: "Forbidden", Description: "not allowed: it needs the role operator, and " + tt.who + " has the role viewer"}, answer)
			case no:
				assert.Equal(t, "Unauthorized", answer.Error)
			default:
				assert.Equal(t, api.Result{Success: true, Outcome: "accepted"}, answer)
			}
		}
		if tt.steers != ok {
			assert.Len(t, ctl.calls, before, "nothing is done")
			assert.Empty(t, ctl.asked)
		} else {
			require.Len(t, ctl.asked, len(commands))
			assert.Equal(t, tt.who, ctl.asked[0].By)
			assert.NotEmpty(t, ctl.asked[0].From)
		}
	}
	for _, token := range k.of {
		assert.NotContains(t, k.log.String(), token)
	}
	assert.Contains(t, k.log.String(), "has expired at")
}

// What is presented must be the token itself: not its hash, not a part of it.
func TestWhatIsAlmostATokenIsNone(t *testing.T) {
	k := newKeyring(t)
	_, url := serveWith(t, k.config(&fixed{}))
	token := k.of["ada"]
	sum := sha256.Sum256([]byte(token))
	for _, header := range []string{
		"Bearer " + hex.EncodeToString(sum[:]), "Bearer " + token[:len(token)-1], "Bearer " + token + "x", "Bearer", "Bearer ", token, "Basic " + token, "Token " + token,
	} {
		assert.Equal(t, http.StatusUnauthorized, statusOf(t, url+"/api/v1/progress", http.Header{"Authorization": {header}}), header)
	}
	assert.Equal(t, http.StatusOK, statusOf(t, url+"/api/v1/progress", http.Header{"Authorization": {"bearer " + token}}))
	assert.Equal(t, http.StatusUnauthorized, statusOf(t, url+"/api/v1/progress?token="+token, nil), "a URL is in too many logs")
	assert.Equal(t, http.StatusUnauthorized, statusOf(t, url+"/nothing", nil))
}

func TestATokenExpires(t *testing.T) {
	k := newKeyring(t)
	_, url := serveWith(t, k.config(&fixed{}))
	_, answer := post(t, url+"/api/v1/pause", "", bearer(k.of["gone"]))
	assert.Contains(t, answer.Description, "the token of gone has expired at ")
}

// The file counts as it is now; a broken one changes nothing.
func TestTheTokensFileIsReadAgain(t *testing.T) {
	k := newKeyring(t)
	_, url := serveWith(t, k.config(&fixed{}))
	status := func(name string) int {
		return statusOf(t, url+"/api/v1/progress", bearer(k.of[name]))
	}
	require.Equal(t, http.StatusOK, status("vera"))
	own := filepath.Join(t.TempDir(), "nora.token")
	k.of["nora"] = "sfy_" + strings.Repeat("n", 40)
	require.NoError(t, os.WriteFile(own, []byte(k.of["nora"]+"\n"), 0o600))
	good := "tokens: [{name: nora, role: viewer, file: " + own + "}]\n"
	k.write(t, good)
	assert.Equal(t, http.StatusUnauthorized, status("vera"))
	assert.Equal(t, http.StatusOK, status("nora"))

	for _, broken := range []string{"tokens: [", "", "tokens: []", strings.Replace(good, "viewer", "king", 1), "tokens: [{name: x, role: admin, file: /none}]"} {
		k.write(t, broken)
		assert.Equal(t, http.StatusOK, status("nora"), broken)
	}
	require.NoError(t, os.Remove(k.path))
	assert.Equal(t, http.StatusOK, status("nora"))
	status("nora")
	assert.Equal(t, 6, strings.Count(k.log.String(), "the old one counts"), "each once:\n%s", k.log)

	k.write(t, good)
	old := k.of["nora"]
	k.of["nora"] = "sfy_" + strings.Repeat("m", 40)
	require.NoError(t, os.WriteFile(own, []byte(k.of["nora"]), 0o600))
	assert.Equal(t, http.StatusOK, status("nora"), "a token's own file is looked at too")
	assert.Equal(t, http.StatusUnauthorized, statusOf(t, url+"/api/v1/progress", bearer(old)))
}

// Whoever puts a token where it does not belong must not find it in the message.
func TestBrokenTokensFilesAreRefusedByTheirPlace(t *testing.T) {
	dir := t.TempDir()
	sum := strings.Repeat("ab", 32)
	short := filepath.Join(dir, "short")
	require.NoError(t, os.WriteFile(short, []byte("c4n4ry\n"), 0o600))
	for text, says := range map[string]string{
		"tokens: [{name: c4n4ry x, role: viewer, sha256: '" + sum + "'}]":                                                              "tokens[0].name",
		"tokens: [{name: a, role: c4n4ry, sha256: '" + sum + "'}]":                                                                     "tokens[0].role: want viewer, operator or admin",
		"tokens: [{name: a, role: viewer, sha256: c4n4ry}]":                                                                            "tokens[0].sha256",
		"tokens: [{name: a, role: viewer}]":                                                                                            "tokens[0].sha256",
		"tokens: [{name: a, role: viewer, sha256: '" + sum + "', file: x}]":                                                            "tokens[0].sha256",
		"tokens: [{name: a, role: viewer, sha256: '" + sum + "', expires: c4n4ry}]":                                                    "tokens[0].expires",
		"tokens: [{name: a, role: viewer, sha256: '" + sum + "'}, {name: a, role: admin, sha256: '" + strings.Repeat("cd", 32) + "'}]": "tokens[1].name",
		"tokens: [{name: a, role: viewer, sha256: '" + sum + "'}, {name: b, role: admin, sha256: '" + sum + "'}]":                      "the same token as tokens[0]",
		"tokens: [{name: a, role: viewer, file: " + short + "}]":                                                                       "tokens[0].file: the token is shorter",
		"tokens:\n  - c4n4ry: a":    "line 2",
		"tokens: c4n4ry":            "line 1",
		"c4n4ry":                    "want tokens",
		strings.Repeat("#", 2<<20):  "larger than",
		"tokens: []":                "shardferry token new",
		"{\"tokens\":[{\"name\":7}": "want tokens",
	} {
		path := filepath.Join(dir, "tokens.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := api.OpenTokens(path, slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, says, "%.80s", text)
		assert.NotContains(t, err.Error(), "c4n4ry")
	}
}

func TestTokensAreListedWithoutTheirSecrets(t *testing.T) {
	k := newKeyring(t)
	_, url := serveWith(t, k.config(&fixed{}))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/tokens", nil)
	require.NoError(t, err)
	req.Header = bearer(k.of["ada"])
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Contains(t, b.String(), `{"name":"otto","role":"operator"}`)
	assert.Contains(t, b.String(), `"expired":true`)
	for _, token := range k.of {
		sum := sha256.Sum256([]byte(token))
		assert.NotContains(t, b.String(), hex.EncodeToString(sum[:]))
	}
}

// A page that somebody on this machine looks at must not be able to commit.
func TestWebPagesOfOthersAreRefused(t *testing.T) {
	ctl := &fixed{}
	_, url := serveWith(t, api.Config{Controller: ctl, LoopbackOnly: true})
	for _, header := range []http.Header{
		{"Origin": {"https://evil.example"}},
		{"Sec-Fetch-Site": {"cross-site"}},
	} {
		status, answer := post(t, url+"/api/v1/commit", "", header)
		assert.Equal(t, http.StatusForbidden, status)
		assert.Equal(t, "Forbidden", answer.Error)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/v1/commit", nil)
	require.NoError(t, err)
	req.Host = "evil.example" // a name that was made to lead here
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusForbidden, resp.StatusCode)
	assert.Empty(t, ctl.asked)
	status, _ := post(t, url+"/api/v1/commit", "", nil)
	assert.Equal(t, http.StatusOK, status)
}

func TestLoopbackIsThisMachineOnly(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "localhost:1": true, "localhost": true, "[::1]:1": true, "[::1]": true, "[::ffff:127.0.0.1]:1": true,
		":1": false, "": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "localhost.example:1": false, "127.0.0.1.example:1": false, "2130706433:1": false,
	} {
		assert.Equal(t, want, api.Loopback(addr), addr)
	}
}

func TestATokenDoesNotTravelInTheClear(t *testing.T) {
	for addr, sent := range map[string]bool{
		"ferry.example:1": false, "10.0.0.1:1": false, "http://ferry.example:1": false,
		"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "https://ferry.invalid:1": true,
	} {
		_, err := api.NewClient(addr).With(api.Access{Token: "c4n4ry"}).Progress(t.Context())
		require.Error(t, err)
		assert.Equal(t, !sent, strings.Contains(err.Error(), "in the clear"), "%s: %v", addr, err)
		assert.NotContains(t, err.Error(), "c4n4ry")
	}
	_, err := api.NewClient("http://u:c4n4ry@127.0.0.1:1").Progress(t.Context())
	require.ErrorContains(t, err, "holds a user")
	assert.NotContains(t, err.Error(), "c4n4ry")
}
